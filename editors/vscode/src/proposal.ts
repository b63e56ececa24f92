// An edit beside the text it changes: a diff that grows while the model writes, then to be accepted or rejected.

import * as vscode from 'vscode';
import type { EditEvent, Edited } from './protocol';
import type { Server } from './server';

const SCHEME = 'cerium-edit';

/** A text as it will be, as far as that is known: new lines as they come, old ones below them. */
export class Growing {
  private head: string[] = [];
  private at = 0;
  private readonly scopes: { start_line: number; end_line: number }[] = [];

  constructor(private readonly old: string[]) {}

  take(event: EditEvent): void {
    switch (event.kind) {
      case 'scope':
        // Asked again: what was told before is void.
        this.head = [];
        this.at = 0;
        this.scopes.splice(0, Infinity, ...event.regions);
        break;
      case 'keep':
        this.skipTo(event.line - 1);
        this.head.push(event.text);
        this.at = event.line;
        break;
      case 'remove':
        this.skipTo(event.line - 1);
        this.at = event.line;
        break;
      case 'add':
        this.skipTo((this.scopes.find((it) => it.end_line > this.at)?.start_line ?? 1) - 1);
        this.head.push(event.text);
        break;
    }
  }

  text(): string {
    return [...this.head, ...this.old.slice(this.at)].join('\n');
  }

  private skipTo(line: number): void {
    if (line > this.at) {
      this.head.push(...this.old.slice(this.at, line));
      this.at = line;
    }
  }
}

interface Shown {
  document: vscode.TextDocument;
  preview: vscode.Uri;
  edited?: Edited;
  /** The step of the plan that it carries out. */
  step?: number;
  cancel: vscode.CancellationTokenSource;
}

/** The edit that is shown, if any. */
export class Proposals implements vscode.Disposable, vscode.TextDocumentContentProvider {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly texts = new Map<string, string>();
  private readonly registration: vscode.Disposable;
  private shown: Shown | undefined;
  private nShown = 0;

  constructor(
    private readonly server: Server,
    private readonly onApplied: () => void,
  ) {
    this.registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.toString()) ?? '';
  }

  /** Has an edit made, and shows it while it is written. */
  async propose(
    document: vscode.TextDocument,
    title: string,
    command: string,
    argument: object,
    step?: number,
  ): Promise<void> {
    await this.reject();
    const preview = vscode.Uri.from({
      scheme: SCHEME,
      path: document.uri.path,
      query: String(this.nShown++),
    });
    const cancel = new vscode.CancellationTokenSource();
    const shown: Shown = { document, preview, cancel, ...(step === undefined ? {} : { step }) };
    this.shown = shown;
    const old = document.getText();
    this.show(preview, old);
    await set('proposed', true);
    await vscode.commands.executeCommand('vscode.diff', document.uri, preview, `cerium: ${title}`, {
      preview: true,
    });
    const growing = new Growing(old.split(/\r?\n/));
    const onEvent = (event: EditEvent): void => {
      if (this.shown === shown) {
        growing.take(event);
        this.show(preview, growing.text());
      }
    };
    try {
      const given = { ...argument, preview: true };
      const edited = await this.server.command<Edited | null, EditEvent>(
        command,
        given,
        onEvent,
        cancel.token,
      );
      if (this.shown !== shown) {
        return;
      }
      if (!edited) {
        await this.reject();
        return;
      }
      shown.edited = edited;
      this.show(preview, patched(document, edited));
      await set('complete', true);
    } catch (error) {
      if (this.shown === shown) {
        await this.reject();
        void vscode.window.showWarningMessage(`cerium: ${(error as Error).message}`);
      }
    }
  }

  /** Makes the edit that is shown; a single step of undo. */
  async accept(): Promise<boolean> {
    const shown = this.shown;
    if (!shown?.edited) {
      return false;
    }
    const version = versionOf(shown.edited, shown.document);
    if (version !== undefined && version !== shown.document.version) {
      void vscode.window.showWarningMessage('cerium: the text changed meanwhile; ask again.');
      await this.reject();
      return false;
    }
    const edit = await this.server.edit(shown.edited.edit);
    const applied = edit !== undefined && (await vscode.workspace.applyEdit(edit));
    if (applied && shown.step !== undefined) {
      const uri = shown.document.uri.toString();
      await this.server.command('cerium.plan.done', { uri, step: shown.step });
    }
    await this.close(shown);
    this.onApplied();
    return applied;
  }

  /** Takes the edit away; what is still being written stops. */
  async reject(): Promise<void> {
    if (this.shown) {
      this.shown.cancel.cancel();
      await this.close(this.shown);
    }
  }

  private show(uri: vscode.Uri, text: string): void {
    this.texts.set(uri.toString(), text);
    this.changed.fire(uri);
  }

  private async close(shown: Shown): Promise<void> {
    this.shown = undefined;
    await set('proposed', false);
    await set('complete', false);
    const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
    const ours = tabs.filter(
      (tab) =>
        tab.input instanceof vscode.TabInputTextDiff &&
        tab.input.modified.toString() === shown.preview.toString(),
    );
    await vscode.window.tabGroups.close(ours);
    this.texts.delete(shown.preview.toString());
    await vscode.window.showTextDocument(shown.document);
  }

  dispose(): void {
    this.shown?.cancel.cancel();
    this.registration.dispose();
    this.changed.dispose();
  }
}

/** Says how it stands with the edit to the keys and buttons: it is `proposed` while it is shown, and `complete` at last. */
function set(what: 'proposed' | 'complete', is: boolean): Thenable<void> {
  return vscode.commands.executeCommand('setContext', `cerium.${what}`, is);
}

type Change = { range: { start: Place; end: Place }; newText: string };
type Place = { line: number; character: number };
type Changes = { textDocument: { uri: string; version: number | null }; edits: Change[] };

function changesOf(edited: Edited, document: vscode.TextDocument): Changes | undefined {
  const all = (edited.edit.documentChanges ?? []) as Changes[];
  return all.find((it) => vscode.Uri.parse(it.textDocument.uri).fsPath === document.uri.fsPath);
}

function versionOf(edited: Edited, document: vscode.TextDocument): number | undefined {
  return changesOf(edited, document)?.textDocument.version ?? undefined;
}

/** The text of a document with an edit made. */
function patched(document: vscode.TextDocument, edited: Edited): string {
  let text = document.getText();
  const offset = (place: Place) =>
    document.offsetAt(new vscode.Position(place.line, place.character));
  for (const { range, newText } of [...(changesOf(edited, document)?.edits ?? [])].reverse()) {
    text = text.slice(0, offset(range.start)) + newText + text.slice(offset(range.end));
  }
  return text;
}
