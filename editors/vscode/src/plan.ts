// The plan of the tree as a view: its steps, and what they change.

import * as vscode from 'vscode';
import type { Plan, Step } from './protocol';
import type { Server } from './server';

/** The plan of the first folder, one item a step. */
export class PlanView implements vscode.TreeDataProvider<Step> {
  private readonly changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  plan: Plan | null = null;

  constructor(private readonly server: Server) {}

  /** Asks for the plan anew. */
  async refresh(): Promise<void> {
    this.set(await this.server.command<Plan | null>('cerium.plan', {}));
  }

  set(plan: Plan | null): void {
    this.plan = plan;
    this.changed.fire(undefined);
  }

  getChildren(step?: Step): Step[] {
    return step ? [] : (this.plan?.steps ?? []);
  }

  getTreeItem(step: Step): vscode.TreeItem {
    const item = new vscode.TreeItem(`${step.number}. ${step.title}`);
    const open = step.state.is === 'open';
    item.description = step.files.map((file) => file.path).join(', ');
    item.tooltip = step.detail;
    item.contextValue = open ? 'open' : 'done';
    item.iconPath = new vscode.ThemeIcon(open ? 'circle-large-outline' : 'pass-filled');
    return item;
  }
}
