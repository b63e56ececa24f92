// Drives the extension in a real workbench: code-server, in Chromium, by Playwright.
//
//   node test/workbench.mjs --cerium PATH --code-server DIR --pictures DIR [--model NAME|PATH] [--parts first,ghost,...]
//
// DIR of code-server is the folder of its npm package; `playwright-core` is looked for beside it. See docs/editors.md.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    cerium: { type: 'string' },
    'code-server': { type: 'string' },
    pictures: { type: 'string' },
    model: { type: 'string', default: 'qwen2.5-coder-0.5b' },
    parts: { type: 'string', default: 'ghost,edit,write,ask,plan,choose' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
  },
});
const server = resolve(values['code-server']);
const { chromium } = createRequire(join(server, 'package.json'))('playwright-core');

const SHAPES = `def rectangle(width, height):
    """The area of a rectangle."""
    return width * height


def square(side):
    return 


print(square(3))
print(rectangle(2, 3))
`;

const place = mkdtempSync(join(tmpdir(), 'cerium-workbench-'));
const path = (...parts) => join(place, ...parts);
const here = (name) => resolve(import.meta.dirname, '..', name);
mkdirSync(path('tree', '.git'), { recursive: true });
mkdirSync(path('user', 'User'), { recursive: true });
mkdirSync(path('run'), { mode: 0o700 });
writeFileSync(path('tree', 'shapes.py'), SHAPES);
writeFileSync(
  path('user', 'User', 'settings.json'),
  JSON.stringify({
    'cerium.path': resolve(values.cerium),
    'cerium.model': values.model,
    'editor.acceptSuggestionOnEnter': 'off',
    'files.autoSave': 'off',
    'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
    'security.workspace.trust.enabled': false,
    'workbench.startupEditor': 'none',
    'workbench.tips.enabled': false,
    'telemetry.telemetryLevel': 'off',
  }),
);
const dirs = ['--user-data-dir', path('user'), '--extensions-dir', path('extensions')];
const environment = { ...process.env, XDG_RUNTIME_DIR: path('run'), XDG_STATE_HOME: path('state') };
// From here on as a person would: what is told of times counts from the installation of the extension.
const began = performance.now();
const since = (what) => console.log(`${((performance.now() - began) / 1000).toFixed(1)} s: ${what}`);
const installed = spawnSync(
  process.execPath,
  [server, ...dirs, '--install-extension', here('cerium-0.1.0.vsix')],
  { env: environment, encoding: 'utf8' },
);
assert.equal(installed.status, 0, installed.stdout + installed.stderr);
since('installed');

const port = await new Promise((found) => {
  const listener = createServer().listen(0, '127.0.0.1', () => {
    const { port } = listener.address();
    listener.close(() => found(port));
  });
});
const flags = ['--auth', 'none', '--bind-addr', `127.0.0.1:${port}`, '--disable-telemetry'];
const workbench = spawn(
  process.execPath,
  [server, ...dirs, ...flags, '--disable-update-check', '--disable-workspace-trust', path('tree')],
  { env: environment, stdio: ['ignore', 'pipe', 'pipe'] },
);
let log = '';
for (const stream of [workbench.stdout, workbench.stderr]) {
  stream.on('data', (data) => {
    log += data;
  });
}

const browser = await chromium.launch({ executablePath: values.chromium, args: ['--no-sandbox'] });
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
// What the model takes is waited for with patience.
page.setDefaultTimeout(120_000);
const picture = (name) => page.screenshot({ path: join(values.pictures, `${name}.png`) });
const onDisk = () => readFileSync(path('tree', 'shapes.py'), 'utf8');
const until = async (what, isSo) => {
  for (const begun = Date.now(); !(await isSo()); ) {
    assert(Date.now() - begun < 120_000, `waited in vain for ${what}`);
    await page.waitForTimeout(100);
  }
};
const press = (keys) => page.keyboard.press(keys);
const goTo = async (position) => {
  const asks = page.locator('.quick-input-widget:visible');
  // A key before the editor has the focus is lost.
  await until('the question for a line', async () => {
    await press('Control+g');
    await page.waitForTimeout(300);
    return asks.isVisible();
  });
  await page.keyboard.type(position);
  await press('Enter');
};

/** A command by its title, as one finds it. */
const run = async (title) => {
  await press('F1');
  const asks = page.locator('.quick-input-widget:visible');
  await asks.waitFor();
  await page.keyboard.type(title);
  await asks.locator('.monaco-list-row', { hasText: title }).first().waitFor();
  await press('Enter');
};
/** Answers the question that a command asks. */
const tell = async (question, text) => {
  await page.locator('.quick-input-widget:visible', { hasText: question }).waitFor();
  await page.keyboard.type(text);
  await press('Enter');
};
const diff = page.locator('.monaco-diff-editor');
const edit = async (instruction, place) => {
  await goTo(place);
  await press('Control+Alt+e');
  await tell('What to change', instruction);
  await page.waitForSelector('.monaco-diff-editor .line-insert');
};
/** Accepts what is shown, once it is complete. */
const accept = async () => {
  await page.locator('.editor-actions').getByRole('button', { name: 'Accept the Edit' }).waitFor();
  await press('Control+Enter');
  await diff.waitFor({ state: 'detached' });
  await press('Control+s');
};

const parts = {
  /** What a newcomer does first. */
  async first() {
    const before = onDisk();
    await edit('add a docstring', '7:5');
    since('the first edit is being written');
    await accept();
    await until('the edit', () => onDisk() !== before);
    since('the first edit is accepted');
    await picture('first');
  },

  /** Ghost text: shown behind the cursor, accepted by a key. */
  async ghost() {
    await goTo('7:12');
    await page.waitForTimeout(1000);
    await page.keyboard.type('s');
    const ghost = page.locator('.ghost-text, .ghost-text-decoration');
    await ghost.first().waitFor();
    const suggested = (await ghost.allInnerTexts()).join('').replaceAll('\u00a0', ' ');
    await picture('ghost-text');
    await press('Tab');
    await press('Control+s');
    await until('the file', () => onDisk() !== SHAPES);
    const line = onDisk().split('\n')[6];
    assert.equal(line, `    return s${suggested}`);
    console.log(`ghost text accepted: ${line.trim()}`);
  },

  /** An edit by an instruction: the diff is shown, nothing is changed; then it is, and is taken back. */
  async edit() {
    const before = onDisk();
    await edit('rename rectangle to oblong', '10:1');
    await page.waitForSelector('.monaco-diff-editor >> text=oblong');
    await picture('edit-shown');
    await press('Escape');
    await diff.waitFor({ state: 'detached' });
    assert.equal(onDisk(), before, 'rejected: nothing changes');

    await edit('rename rectangle to oblong', '10:1');
    await page.waitForSelector('.monaco-diff-editor >> text=oblong');
    await accept();
    await until('the edit', () => onDisk() !== before);
    assert.equal(onDisk(), before.replaceAll('rectangle(', 'oblong('));
    await picture('edit-accepted');
    await press('Control+z');
    await press('Control+s');
    await until('the undo', () => onDisk() === before);
    console.log('edit by an instruction shown, rejected, accepted, taken back');
  },

  /** By the model, on the declaration around the cursor: the diff grows while it is written. */
  async write() {
    const before = onDisk();
    await edit('add a docstring', '7:5');
    await picture('edit-written');
    await accept();
    await until('the edit', () => onDisk() !== before);
    console.log(`edit by the model accepted:\n${onDisk()}`);
    await picture('edit-by-the-model');
    const status = await page.locator('.statusbar-item:has-text("tok/s")').innerText();
    console.log(`status bar: ${status.trim()}`);
  },

  /** A question, one that goes on from it in the panel, and a place of the answer opened. */
  async ask() {
    await run('cerium: Ask about the Code');
    await tell('Question about the code', 'What does rectangle return?');
    let panel;
    await until('the panel', async () => {
      const isPanel = async (frame) => (await frame.locator('main[aria-live]').count()) > 0;
      for (const frame of page.frames()) {
        panel ??= (await isPanel(frame).catch(() => false)) ? frame : undefined;
      }
      return panel;
    });
    const done = (n) => until('the answer', async () => (await panel.locator('pre[aria-busy="false"]').count()) === n);
    await done(1);
    assert.match(await panel.locator('pre').innerText(), /area|width|height/);
    await picture('ask');
    await panel.getByLabel('Question').fill('And square?');
    await panel.getByLabel('Question').press('Enter');
    await done(2);
    assert.deepEqual(await panel.locator('h2').allInnerTexts(), ['What does rectangle return?', 'And square?']);
    await picture('ask-more');
    const place = panel.locator('a').first();
    const [, line] = /^shapes\.py:(\d+) /.exec(await place.innerText());
    await place.click();
    await page.locator('.statusbar-item', { hasText: `Ln ${line},` }).waitFor();
    console.log(`asked, asked on, line ${line} opened:\n${await panel.locator('main').innerText()}`);
    await run('View: Close Other Editors in Group');
    await page.locator('.tab', { hasText: 'cerium: ask' }).locator('.codicon-close').click();
  },

  /** A plan is written, a step revised, and one carried out. */
  async plan() {
    const view = page.locator('.pane', { hasText: 'cerium: plan' });
    const steps = view.locator('.monaco-list-row');
    await run('cerium: Write a Plan');
    await tell('What is to be reached', 'raise ValueError in rectangle and in square when a side is negative');
    await steps.first().waitFor();
    await picture('plan');
    const before = await steps.allInnerTexts();
    await run('cerium: Revise the Plan');
    await tell('What to change', 'step 1: name the error "a side is negative"');
    await until('the revision', async () => String(await steps.allInnerTexts()) !== String(before));
    await picture('plan-revised');
    const text = onDisk();
    await steps.first().hover();
    await steps.first().getByRole('button', { name: 'Carry out the Step' }).click();
    await page.waitForSelector('.monaco-diff-editor .line-insert');
    await picture('plan-step');
    await accept();
    await until('the edit', () => onDisk() !== text);
    await view.locator('.codicon-pass-filled').first().waitFor();
    await picture('plan-step-done');
    console.log(`plan:\n${before.join('\n')}\nrevised:\n${(await steps.allInnerTexts()).join('\n')}\n${onDisk()}`);
  },

  /** Another model, by a click on the status bar. */
  async choose() {
    await page.locator('.statusbar-item', { hasText: 'qwen' }).click();
    const asks = page.locator('.quick-input-widget:visible', { hasText: 'Model of cerium' });
    await asks.waitFor();
    await picture('models');
    await page.keyboard.type('smollm2-135m');
    await press('Enter');
    await page.locator('.statusbar-item', { hasText: 'smollm2-135m' }).waitFor();
    await run('cerium: Ask about the Code');
    await tell('Question about the code', 'What does square return?');
    const item = page.locator('.statusbar-item', { hasText: /smollm2.*tok\/s/i });
    await item.waitFor();
    console.log(`status bar: ${(await item.innerText()).trim()}`);
    await picture('another-model');
  },
};

try {
  await until('the server', () => log.includes('HTTP server listening'));
  await page.goto(`http://127.0.0.1:${port}/?folder=${encodeURIComponent(path('tree'))}`);
  await page.waitForSelector('.monaco-workbench');
  await page.waitForSelector('text=shapes.py');
  await page.dblclick('.explorer-folders-view >> text=shapes.py');
  await page.waitForSelector('.editor-instance .view-line');
  await page.waitForSelector('.statusbar-item:has-text("cerium")');
  since('the file is open');
  for (const name of values.parts.split(',')) {
    await parts[name]();
  }
} catch (error) {
  await picture('failed');
  console.error(log.slice(-4000));
  throw error;
} finally {
  await browser.close();
  workbench.kill();
  spawnSync(values.cerium, ['stop'], { env: environment });
  rmSync(place, { recursive: true, force: true });
}
