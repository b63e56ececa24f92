// The language server: started, asked, restarted.

import * as vscode from 'vscode';
import { LanguageClient, ProgressType } from 'vscode-languageclient/node';
import { find } from './binary';
import type { Stats } from './protocol';

let nStreams = 0;

/** A server that runs while the editor does. */
export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private readonly statsEmitter = new vscode.EventEmitter<Stats>();
  /** What each answer took. */
  readonly onStats = this.statsEmitter.event;

  /** Starts it; false when there is no program. */
  async start(): Promise<boolean> {
    const program = find();
    if (!program) {
      return false;
    }
    const settings = vscode.workspace.getConfiguration('cerium');
    const model = settings.get<string>('model');
    const client = new LanguageClient(
      'cerium',
      'cerium',
      { command: program, args: ['lsp', ...(model ? ['--model', model] : [])] },
      {
        documentSelector: [{ scheme: 'file' }, { scheme: 'untitled' }],
        initializationOptions: { stats: true },
        middleware: {
          provideInlineCompletionItems: (document, position, context, token, next) =>
            vscode.workspace.getConfiguration('cerium').get<boolean>('suggestions')
              ? next(document, position, context, token)
              : undefined,
        },
      },
    );
    client.onNotification('cerium/stats', (stats: Stats) => this.statsEmitter.fire(stats));
    this.client = client;
    await client.start();
    return true;
  }

  async restart(): Promise<boolean> {
    await this.stop();
    return this.start();
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    await client?.stop();
  }

  /** Asks for a command; what it tells on the way comes to `onEvent`. */
  async command<T, E = never>(
    command: string,
    argument: object,
    onEvent?: (event: E) => void,
    token?: vscode.CancellationToken,
  ): Promise<T> {
    if (!this.client) {
      throw new Error('the server does not run');
    }
    const stream = `stream/${nStreams++}`;
    const told = onEvent && this.client.onProgress(new ProgressType<E>(), stream, onEvent);
    try {
      const given = { ...argument, ...(onEvent ? { stream } : {}) };
      const params = { command, arguments: [given] };
      // A token that is absent would be taken for a second parameter.
      const rest = token ? [token] : [];
      return await this.client.sendRequest<T>('workspace/executeCommand', params, ...rest);
    } finally {
      told?.dispose();
    }
  }

  /** The editor's form of an edit. */
  async edit(edit: object): Promise<vscode.WorkspaceEdit | undefined> {
    return this.client?.protocol2CodeConverter.asWorkspaceEdit(edit);
  }

  dispose(): void {
    this.statsEmitter.dispose();
    void this.stop();
  }
}
