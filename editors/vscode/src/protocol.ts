// What the server is asked beyond the language server protocol, and what it says: see docs/editors.md.

import type { WorkspaceEdit } from 'vscode-languageclient/node';

/** What an answer took. */
export interface Stats {
  model: string | null;
  prompt_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  accepted_tokens: number;
  ttft_ms: number;
  decode_ms: number;
  total_ms: number;
}

/** An edit that was made. */
export interface Edited {
  applied: boolean;
  reason?: string;
  edit: WorkspaceEdit;
  diff: string;
  stats: Stats;
}

/** What is told of an edit while it is written: lines count from 1. */
export type EditEvent =
  | { kind: 'scope'; uri: string; regions: { start_line: number; end_line: number }[] }
  | { kind: 'keep' | 'remove'; line: number; text: string }
  | { kind: 'add'; text: string };

/** Words of an answer, while they come. */
export interface TextEvent {
  kind: 'text';
  text: string;
}

/** An answer to a question. */
export interface Answer {
  text: string;
  citations: { path: string; start_line: number; end_line: number; quote: string }[];
  root: string;
  stats: Stats;
}

/** One step of a plan. */
export interface Step {
  number: number;
  title: string;
  files: { path: string; new: boolean }[];
  symbol?: string;
  detail: string;
  state: { is: 'open' | 'done' | 'edited' };
}

/** The plan of a tree. */
export interface Plan {
  goal: string;
  steps: Step[];
}
