// cerium in VS Code: the language server suggests, and its commands edit, plan and answer.

import * as vscode from 'vscode';
import { AskPanel } from './ask';
import { offer } from './binary';
import { PlanView } from './plan';
import { Proposals } from './proposal';
import type { Plan, Step, TextEvent } from './protocol';
import { Server } from './server';
import { chooseModel, StatusItem } from './status';

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const server = new Server();
  const plan = new PlanView(server);
  const proposals = new Proposals(server, () => void plan.refresh());
  const panel = new AskPanel(server);
  const status = new StatusItem(server);
  const started = async (): Promise<void> => {
    if (await server.restart()) {
      await plan.refresh();
    } else {
      await offer();
    }
  };
  const command = (name: string, run: (...given: never[]) => Promise<unknown>): void => {
    const told = async (...given: never[]): Promise<void> => {
      try {
        await run(...given);
      } catch (error) {
        void vscode.window.showErrorMessage(`cerium: ${(error as Error).message}`);
      }
    };
    context.subscriptions.push(vscode.commands.registerCommand(`cerium.${name}`, told));
  };

  command('editSelection', async () => {
    const editor = vscode.window.activeTextEditor;
    const instruction = editor && (await input('What to change'));
    if (instruction) {
      const { start, end } = editor.selection;
      const uri = editor.document.uri.toString();
      const argument = { uri, range: { start, end }, instruction };
      await proposals.propose(editor.document, instruction, 'cerium.edit', argument);
    }
  });
  command('accept', () => proposals.accept());
  command('reject', () => proposals.reject());
  command('askQuestion', async () => {
    const question = await input('Question about the code');
    await (question && panel.ask(question));
  });
  command('explainSelection', async () => {
    const editor = vscode.window.activeTextEditor;
    await (editor && panel.explain(editor.document, editor.selection));
  });
  const write = async (name: string, prompt: string): Promise<void> => {
    const text = await input(prompt);
    if (text) {
      // It may be folded up.
      await vscode.commands.executeCommand('cerium.plan.focus', { preserveFocus: true });
      const location = { viewId: 'cerium.plan' };
      await vscode.window.withProgress({ location }, async () =>
        plan.set(await server.command<Plan, TextEvent>(name, { text })),
      );
    }
  };
  command('writePlan', () => write('cerium.plan.write', 'What is to be reached'));
  command('revisePlan', () =>
    write('cerium.plan.revise', 'What to change, such as: step 2: keep the old name'),
  );
  command('refreshPlan', () => plan.refresh());
  command('applyStep', async (step: Step) => {
    const folder = vscode.workspace.workspaceFolders?.[0];
    const file = step.files.find((it) => !it.new);
    if (folder && file) {
      const document = await vscode.workspace.openTextDocument(
        vscode.Uri.joinPath(folder.uri, file.path),
      );
      const argument = { uri: document.uri.toString(), step: step.number };
      await proposals.propose(document, step.title, 'cerium.plan.apply', argument, step.number);
    }
  });
  command('chooseModel', async () => {
    const chosen = await chooseModel();
    if (chosen) {
      status.name(chosen);
      await started();
    }
  });
  command('restart', started);

  context.subscriptions.push(
    server,
    proposals,
    panel,
    status,
    vscode.window.registerTreeDataProvider('cerium.plan', plan),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('cerium.path')) {
        void started();
      }
    }),
  );
  await started();
}

async function input(prompt: string): Promise<string | undefined> {
  const text = await vscode.window.showInputBox({ title: `cerium: ${prompt}` });
  return text?.trim() || undefined;
}
