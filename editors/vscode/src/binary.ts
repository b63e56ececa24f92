// Finds the cerium program, and offers to install it.

import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import * as vscode from 'vscode';

/** The program of the settings, of the PATH, or where `cargo install` puts it; nothing when there is none. */
export function find(): string | undefined {
  const set = vscode.workspace.getConfiguration('cerium').get<string>('path');
  if (set) {
    return isProgram(set) ? set : undefined;
  }
  const name = process.platform === 'win32' ? 'cerium.exe' : 'cerium';
  const places = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  places.push(join(homedir(), '.cargo', 'bin'), join(homedir(), '.local', 'bin'));
  return places.map((place) => join(place, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Says that there is no program, and offers what helps. */
export async function offer(): Promise<void> {
  const install = 'Install with Cargo';
  const choose = 'Choose a File';
  const answer = await vscode.window.showWarningMessage(
    'The program `cerium` was not found.',
    install,
    choose,
  );
  if (answer === install) {
    const folder = await vscode.window.showOpenDialog({
      canSelectFolders: true,
      canSelectFiles: false,
      title: 'A checkout of cerium',
    });
    if (folder?.[0]) {
      const terminal = vscode.window.createTerminal({ name: 'cerium', cwd: folder[0] });
      terminal.show();
      terminal.sendText('cargo install --locked --path crates/cerium && cerium pull');
    }
  } else if (answer === choose) {
    const file = await vscode.window.showOpenDialog({ title: 'The program cerium' });
    if (file?.[0]) {
      const settings = vscode.workspace.getConfiguration('cerium');
      await settings.update('path', file[0].fsPath, vscode.ConfigurationTarget.Global);
    }
  }
}
