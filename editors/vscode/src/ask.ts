// Answers about the code, in a panel beside it: they stream, and the places they cite can be opened.

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { Answer, TextEvent } from './protocol';
import type { Server } from './server';

/** What a page says: somebody typed a question, or clicked on a place. */
type Said = { ask: string } | { open: string; line: number };

/** The panel with all that was asked since it was opened. */
export class AskPanel implements vscode.Disposable {
  private panel: vscode.WebviewPanel | undefined;
  private root = '';
  private asked = false;

  constructor(private readonly server: Server) {}

  /** Asks, and shows the answer while it comes. */
  async ask(question: string): Promise<void> {
    const command = 'cerium.ask';
    await this.show(question, command, { question, continue: this.asked });
    this.asked = true;
  }

  /** Explains some of a document. */
  async explain(document: vscode.TextDocument, range: vscode.Range): Promise<void> {
    const { start, end } = range;
    const title = `What does ${vscode.workspace.asRelativePath(document.uri)}:${start.line + 1} do?`;
    await this.show(title, 'cerium.explain', {
      uri: document.uri.toString(),
      range: { start, end },
    });
  }

  private async show(title: string, command: string, argument: object): Promise<void> {
    const page = this.open();
    await page.postMessage({ question: title });
    try {
      const answer = await this.server.command<Answer | null, TextEvent>(
        command,
        argument,
        (event) => void page.postMessage({ text: event.text }),
      );
      this.root = answer?.root ?? this.root;
      await page.postMessage({ done: true, citations: answer?.citations ?? [] });
    } catch (error) {
      await page.postMessage({ done: true, failed: (error as Error).message, citations: [] });
    }
  }

  private open(): vscode.Webview {
    if (!this.panel) {
      const panel = vscode.window.createWebviewPanel(
        'cerium.ask',
        'cerium: ask',
        { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
        { enableScripts: true, retainContextWhenHidden: true, localResourceRoots: [] },
      );
      panel.webview.html = page();
      panel.webview.onDidReceiveMessage((said: Said) => void this.heard(said));
      panel.onDidDispose(() => {
        this.panel = undefined;
        this.asked = false;
      });
      this.panel = panel;
    }
    this.panel.reveal(undefined, true);
    return this.panel.webview;
  }

  private async heard(said: Said): Promise<void> {
    if ('ask' in said) {
      await this.ask(said.ask);
    } else {
      const document = await vscode.workspace.openTextDocument(join(this.root, said.open));
      const place = new vscode.Position(Math.max(said.line - 1, 0), 0);
      await vscode.window.showTextDocument(document, {
        selection: new vscode.Range(place, place),
        viewColumn: vscode.ViewColumn.One,
      });
    }
  }

  dispose(): void {
    this.panel?.dispose();
  }
}

/** The page: text only ever becomes text, and nothing is loaded from anywhere. */
function page(): string {
  const nonce = randomBytes(16).toString('base64');
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'">
<title>cerium: ask</title>
<style nonce="${nonce}">
  body { font: var(--vscode-font-size) var(--vscode-font-family); }
  h2 { font-size: 1em; margin: 1.2em 0 .3em; }
  pre { white-space: pre-wrap; margin: 0; font-family: var(--vscode-font-family); }
  a { display: block; color: var(--vscode-textLink-foreground); cursor: pointer; }
  form { position: sticky; bottom: 0; padding: .5em 0; background: var(--vscode-editor-background); }
  input { width: 100%; box-sizing: border-box; padding: .4em; color: var(--vscode-input-foreground);
    background: var(--vscode-input-background); border: 1px solid var(--vscode-input-border, transparent); }
</style></head><body>
<main aria-live="polite"></main>
<form><input aria-label="Question" placeholder="Ask about the code"></form>
<script nonce="${nonce}">
  const vscode = acquireVsCodeApi();
  const main = document.querySelector('main');
  const add = (name, text, parent = main) => {
    const element = parent.appendChild(document.createElement(name));
    element.textContent = text;
    return element;
  };
  let answer;
  addEventListener('message', ({ data }) => {
    if (data.question) {
      add('h2', data.question);
      answer = add('pre', '');
      answer.ariaBusy = 'true';
    }
    if (data.text) answer.textContent += data.text;
    if (data.failed) answer.textContent += data.failed;
    for (const { path, start_line: line, quote } of data.citations ?? []) {
      const link = add('a', path + ':' + line + '  ' + quote.trim());
      link.href = '#';
      link.onclick = () => vscode.postMessage({ open: path, line });
    }
    if (data.done) {
      const parts = answer.textContent.split(/\`([^\`\\n]+)\`/);
      answer.textContent = '';
      parts.forEach((part, i) => add(i % 2 ? 'code' : 'span', part, answer));
      answer.ariaBusy = 'false';
    }
    scrollTo(0, document.body.scrollHeight);
  });
  document.querySelector('form').onsubmit = (event) => {
    event.preventDefault();
    const input = document.querySelector('input');
    if (input.value.trim()) vscode.postMessage({ ask: input.value });
    input.value = '';
  };
</script></body></html>`;
}
