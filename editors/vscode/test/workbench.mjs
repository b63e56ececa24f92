// Drives the extension in a real workbench: code-server, in Chromium, by Playwright.
//
//   node test/workbench.mjs --cerium PATH --code-server DIR --pictures DIR [--model NAME|PATH]
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
const installed = spawnSync(
  process.execPath,
  [server, ...dirs, '--install-extension', here('cerium-0.1.0.vsix')],
  { env: environment, encoding: 'utf8' },
);
assert.equal(installed.status, 0, installed.stdout + installed.stderr);

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

try {
  await until('the server', () => log.includes('HTTP server listening'));
  await page.goto(`http://127.0.0.1:${port}/?folder=${encodeURIComponent(path('tree'))}`);
  await page.waitForSelector('.monaco-workbench');
  await page.waitForSelector('text=shapes.py');
  await page.dblclick('.explorer-folders-view >> text=shapes.py');
  await page.waitForSelector('.editor-instance .view-line');
  await page.waitForSelector('.statusbar-item:has-text("cerium")');

  // Ghost text: shown behind the cursor, accepted by a key.
  await goTo('7:12');
  await page.waitForTimeout(1000);
  await page.keyboard.type('s');
  const ghost = page.locator('.ghost-text, .ghost-text-decoration').first();
  await ghost.waitFor();
  const suggested = (await page.locator('.ghost-text, .ghost-text-decoration').allInnerTexts()).join('');
  await picture('ghost-text');
  await press('Tab');
  await press('Control+s');
  await until('the file', () => onDisk() !== SHAPES);
  const line = onDisk().split('\n')[6];
  const plain = (text) => text.replaceAll('\u00a0', ' ');
  assert.equal(line, `    return s${plain(suggested)}`);
  console.log(`ghost text accepted: ${line.trim()}`);

  // An edit by an instruction: the diff is shown, nothing is changed; then it is.
  const edit = async (instruction, lines) => {
    await goTo(lines);
    await press('Control+Alt+e');
    await page.waitForSelector('.quick-input-widget:visible >> text=What to change');
    await page.keyboard.type(instruction);
    await press('Enter');
    await page.waitForSelector('.monaco-diff-editor .line-insert');
  };
  const before = onDisk();
  await edit('rename rectangle to oblong', '10:1');
  await page.waitForSelector('.monaco-diff-editor >> text=oblong');
  await picture('edit-shown');
  await press('Escape');
  await page.waitForSelector('.monaco-diff-editor', { state: 'detached' });
  assert.equal(onDisk(), before, 'rejected: nothing changes');

  await edit('rename rectangle to oblong', '10:1');
  await page.waitForSelector('.monaco-diff-editor >> text=oblong');
  await page.waitForTimeout(500);
  await press('Control+Enter');
  await page.waitForSelector('.monaco-diff-editor', { state: 'detached' });
  await press('Control+s');
  await until('the edit', () => onDisk() !== before);
  assert.equal(onDisk(), before.replaceAll('rectangle(', 'oblong('));
  await picture('edit-accepted');
  await press('Control+z');
  await press('Control+s');
  await until('the undo', () => onDisk() === before);
  console.log('edit by an instruction shown, rejected, accepted, taken back');

  // By the model, on the declaration around the cursor: the diff grows while it is written.
  await edit('add a docstring', '7:5');
  await picture('edit-written');
  await until('the proposal', async () => {
    await press('Control+Enter');
    return (await page.locator('.monaco-diff-editor').count()) === 0;
  });
  await press('Control+s');
  await until('the edit', () => onDisk() !== before);
  console.log(`edit by the model accepted:\n${onDisk()}`);
  await picture('edit-by-the-model');
  const status = await page.locator('.statusbar-item:has-text("tok/s")').innerText();
  console.log(`status bar: ${status.trim()}`);
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
