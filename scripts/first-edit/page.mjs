// How long it takes from `cerium serve` to a first edit accepted on the page, the model being here already:
//
//   node scripts/first-edit/page.mjs --cerium PATH --playwright DIR [--model NAME|PATH]
//
// DIR is the folder of the npm package `playwright-core`. A browser runs before the clock does; nobody reads or hesitates.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    cerium: { type: 'string' },
    playwright: { type: 'string' },
    model: { type: 'string', default: 'qwen2.5-coder-0.5b' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
  },
});
const { chromium } = createRequire(join(resolve(values.playwright), 'package.json'))('playwright-core');
const browser = await chromium.launch({ executablePath: values.chromium, args: ['--no-sandbox'] });
const page = await browser.newPage();
page.setDefaultTimeout(120_000);
const place = mkdtempSync(join(tmpdir(), 'cerium-first-edit-'));

const began = performance.now();
const since = (what) => console.log(`${((performance.now() - began) / 1000).toFixed(2)} s: ${what}`);
const server = spawn(values.cerium, ['serve', '--listen', '127.0.0.1:0', '--model', values.model, '--json'], {
  env: { ...process.env, XDG_RUNTIME_DIR: place, XDG_STATE_HOME: place, XDG_CONFIG_HOME: place },
  stdio: ['ignore', 'pipe', 'ignore'],
});
try {
  let told = '';
  while (!told.includes('}')) {
    const [data] = await once(server.stdout, 'data');
    told += data;
  }
  since('the door is open');
  await page.goto(`http://${JSON.parse(told).address}/`);
  await page.getByLabel('What should change?').fill('add a docstring to spread');
  since('the page is there, the instruction is written');
  await page.getByRole('button', { name: 'Write edit' }).click();
  await page.locator('.row.add').first().waitFor();
  since('the first new line is seen');
  await page.getByRole('button', { name: 'Accept' }).click();
  assert.match(await page.getByLabel('The text to work on').inputValue(), /def spread\(values\):\n\s+("""|''')/);
  since('the edit is accepted');
} finally {
  await browser.close();
  server.kill();
  rmSync(place, { recursive: true, force: true });
}
