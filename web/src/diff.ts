// Unified diffs: read into hunks, of which some may be taken.

export type Kind = "keep" | "remove" | "add";

export interface Line {
  kind: Kind;
  text: string;
  /** Line numbers before and after, as far as there are any. */
  before?: number;
  after?: number;
  /** The part that differs from the line it stands for, if there is one such. */
  mark?: [number, number];
}

export interface Hunk {
  lines: Line[];
}

export function hunks(diff: string): Hunk[] {
  const found: Hunk[] = [];
  let before = 0;
  let after = 0;
  for (const row of diff.split("\n")) {
    const header = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(row);
    if (header) {
      before = Number(header[1]);
      after = Number(header[2]);
      found.push({ lines: [] });
      continue;
    }
    const lines = found.at(-1)?.lines;
    if (!lines) continue;
    const text = row.slice(1);
    if (row.startsWith(" ")) lines.push({ kind: "keep", text, before: before++, after: after++ });
    else if (row.startsWith("-")) lines.push({ kind: "remove", text, before: before++ });
    else if (row.startsWith("+")) lines.push({ kind: "add", text, after: after++ });
  }
  for (const hunk of found) mark(hunk.lines);
  return found;
}

/** Marks what differs between a line that goes and the one that comes in its place. */
export function mark(lines: Line[]): void {
  for (let at = 0; at < lines.length; ) {
    const removed = run(lines, at, "remove");
    const added = run(lines, at + removed, "add");
    for (let k = 0; k < Math.min(removed, added); k++) pair(lines[at + k]!, lines[at + removed + k]!);
    at += Math.max(removed + added, 1);
  }
}

function run(lines: Line[], from: number, kind: Kind): number {
  let end = from;
  while (lines[end]?.kind === kind) end++;
  return end - from;
}

function pair(old: Line, now: Line): void {
  const [a, b] = [old.text, now.text];
  const shorter = Math.min(a.length, b.length);
  let head = 0;
  while (head < shorter && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < shorter - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  // Lines that have little in common are not versions of each other.
  if ((head + tail) * 3 < shorter) return;
  old.mark = [head, a.length - tail];
  now.mark = [head, b.length - tail];
}

/** The text with some of the hunks that lead from it to `after`. */
export function take(text: string, after: string, all: Hunk[], taken: boolean[]): string {
  if (taken.every(Boolean)) return after;
  const old = split(text);
  const now = split(after);
  const parts: string[] = [];
  let at = 0;
  all.forEach((hunk, i) => {
    const first = hunk.lines.find((line) => line.before !== undefined)?.before;
    const start = first === undefined ? insertion(hunk) : first - 1;
    const n = hunk.lines.filter((line) => line.kind !== "add").length;
    parts.push(...old.slice(at, start));
    const kept = hunk.lines.filter((line) => line.kind !== "remove").map((line) => now[line.after! - 1]!);
    parts.push(...(taken[i] ? kept : old.slice(start, start + n)));
    at = start + n;
  });
  parts.push(...old.slice(at));
  return parts.join("");
}

/** Where a hunk without old lines goes: it is the only one, in an empty text. */
function insertion(hunk: Hunk): number {
  return Math.max((hunk.lines[0]?.after ?? 1) - 1, 0);
}

/** Lines with their endings. */
function split(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}
