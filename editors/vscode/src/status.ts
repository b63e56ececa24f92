// The status bar: which model answers, and how fast it was the last time.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as vscode from 'vscode';
import { find } from './binary';
import type { Stats } from './protocol';
import type { Server } from './server';

/** The item of the status bar; a click chooses a model. */
export class StatusItem implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(vscode.StatusBarAlignment.Right, 100);

  constructor(server: Server) {
    this.item.name = 'cerium';
    this.item.command = 'cerium.chooseModel';
    this.item.text = '$(zap) cerium';
    this.item.show();
    server.onStats((stats) => this.tell(stats));
  }

  /** Another model will answer. */
  name(model: string): void {
    this.item.text = `$(zap) ${model}`;
    this.item.tooltip = 'what it takes is told with its first answer';
  }

  private tell(stats: Stats): void {
    // What was done without a model leaves what the model did.
    if (stats.model === null) {
      return;
    }
    const rate = (stats.output_tokens / Math.max(stats.decode_ms, 1)) * 1e3;
    const speed = stats.output_tokens > 1 ? ` ${rate.toFixed(0)} tok/s` : '';
    this.item.text = `$(zap) ${stats.model}${speed}`;
    this.item.tooltip = [
      `first token after ${stats.ttft_ms.toFixed(0)} ms, all after ${stats.total_ms.toFixed(0)} ms`,
      `${stats.prompt_tokens} tokens read, ${stats.cached_tokens} of them known before`,
      `${stats.output_tokens} tokens written, ${stats.accepted_tokens} of them drafted`,
    ].join('\n');
  }

  dispose(): void {
    this.item.dispose();
  }
}

/** Lets the person choose a model, which is set then. */
export async function chooseModel(): Promise<string | undefined> {
  const program = find();
  if (!program) {
    return undefined;
  }
  const { stdout } = await promisify(execFile)(program, ['models', '--json']);
  const { models } = JSON.parse(stdout) as {
    models: { name: string; installed: boolean; loaded: boolean }[];
  };
  const state = (it: { installed: boolean; loaded: boolean }) =>
    it.loaded ? 'loaded' : it.installed ? 'installed' : 'to be downloaded';
  const items = models.map((it) => ({ label: it.name, description: state(it) }));
  const chosen = await vscode.window.showQuickPick(items, { title: 'Model of cerium' });
  if (!chosen) {
    return undefined;
  }
  const settings = vscode.workspace.getConfiguration('cerium');
  await settings.update('model', chosen.label, vscode.ConfigurationTarget.Global);
  return chosen.label;
}
