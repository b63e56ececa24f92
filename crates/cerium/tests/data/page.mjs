// Uses the page as a person would, in Chromium: node page.mjs ADDRESS DIRECTORY_OF_PICTURES [KEY]
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { once } from "node:events";
import { chromium } from "playwright-core";

const [address, pictures, key] = process.argv.slice(2);
const port = address.split(":").pop();
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PATIENCE = 90_000;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  // Tests may run as root, where Chromium has no sandbox of its own.
  args: ["--no-sandbox", "--host-resolver-rules=MAP *.test 127.0.0.1"],
});
const troubles = [];

async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => troubles.push(`error: ${error.message}`));
  page.on("console", (message) => message.type() === "error" && troubles.push(`console: ${message.text()}`));
  page.on("request", (request) => {
    const { host, protocol } = new URL(request.url());
    if (protocol !== "blob:" && host !== address) troubles.push(`asked elsewhere: ${request.url()}`);
  });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective}`));
  });
  await page.goto(`http://${address}/`);
  return page;
}

/** Takes all of the engine's places, so that whoever comes next waits until they are given back. */
async function occupy() {
  const leaving = new AbortController();
  // Without the tokens that end it.
  const logit_bias = { 151643: -100, 151645: -100 };
  const { data } = await (await fetch(`http://${address}/v1/models`)).json();
  const body = JSON.stringify({ model: data[0].id, prompt: "1, 2, 3,", max_tokens: 4000, stream: true, logit_bias });
  const headers = { "content-type": "application/json" };
  const begin = async () => {
    const answer = await fetch(`http://${address}/v1/completions`, { method: "POST", headers, body, signal: leaving.signal });
    assert.equal(answer.status, 200);
    await answer.body.getReader().read();
  };
  await Promise.all([1, 2, 3, 4].map(begin));
  return () => leaving.abort();
}

async function fair(page, where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const told = grave.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
  assert.deepEqual(told, [], where);
}

const text = (page) => page.getByLabel("The text to work on").inputValue();
const picture = (page, name) => page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });

async function editing() {
  const page = await open({ viewport: { width: 1280, height: 860 }, colorScheme: "light" });
  const before = await text(page);
  await fair(page, "edit, light");

  // By keyboard, with the model; looked at while it is written.
  await page.getByLabel("What should change?").focus();
  await page.keyboard.type("add a docstring to spread");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Stop" }).waitFor();
  await page.getByRole("link", { name: "Live" }).click();
  const answer = page.getByRole("article").first();
  // Once the rest of the answer is known, it is ended.
  await answer.getByText(/completed|ended early/).waitFor();
  const written = await answer.locator(".drafted").textContent();
  assert.match(written, /def spread/);
  assert.ok((await answer.locator(".drafted span").count()) > 0, "drafts are coloured");
  // How everything stands is told a little later.
  await page.getByLabel("Computed prompts").filter({ hasText: /pages in \d+ branch/ }).first().waitFor();
  await page.getByLabel("In short").filter({ hasText: /Drafts accepted\d+%/ }).waitFor();
  await fair(page, "live, light");
  await picture(page, "live-light");

  await page.getByRole("link", { name: "Edit" }).click();
  await page.getByRole("button", { name: "Accept" }).waitFor();
  assert.ok((await page.locator(".row.add").count()) > 0);
  await fair(page, "a proposal, light");
  await picture(page, "edit-light");
  await page.getByRole("button", { name: "Accept" }).click();
  const after = await text(page);
  assert.notEqual(after, before);
  assert.match(after, /def spread\(values\):\n\s+("""|''')/);
  await page.getByRole("button", { name: "Undo" }).click();
  assert.equal(await text(page), before);
  await page.getByRole("button", { name: "Redo" }).click();
  assert.equal(await text(page), after);
  await page.getByRole("button", { name: "Undo" }).click();

  // Carried out by code; one of its changes is left out.
  await page.getByLabel("What should change?").fill("rename centre to center");
  await page.getByRole("button", { name: "Write edit" }).click();
  await page.getByRole("button", { name: "Accept" }).waitFor();
  await page.getByText("without the model").waitFor();
  await page.getByRole("button", { name: "Discard" }).click();
  assert.equal(await text(page), before);

  // Redirected before its end, which comes when it may: both are asked for. What is stopped leaves the engine.
  const release = await occupy();
  await page.getByLabel("What should change?").fill("write a long comment above every line");
  await page.keyboard.press("Enter");
  await page.getByLabel("What should it do otherwise?").pressSequentially("of three words");
  await page.keyboard.press("Enter");
  await page.locator(".asking", { hasText: "write a long comment above every line. of three words" }).waitFor();
  await fair(page, "an edit that is written, light");
  await picture(page, "edit-redirected-light");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Write edit" }).waitFor();
  assert.match(await page.getByLabel("What should change?").inputValue(), /of three words$/, "to be put better");
  release();
  await page.getByRole("link", { name: "Live" }).click();
  await page.waitForFunction(() => /Being answered0/.test(document.querySelector(".tiles")?.textContent ?? ""));
  assert.equal(await text(page), before);
  await page.context().close();
}

async function talking() {
  const page = await open({ viewport: { width: 1280, height: 860 }, colorScheme: "dark" });
  await page.getByRole("link", { name: "Ask" }).click();
  await page.getByLabel("What do you want to know?").fill("Which function sorts the values?");
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.getByText("Lines that bear it out").waitFor();
  assert.match(await page.locator(".prose").textContent(), /median/);
  await page.locator(".cites button").first().click();
  const selected = await page.getByLabel("The text to work on").evaluate((area) => area.value.slice(area.selectionStart, area.selectionEnd));
  assert.ok(selected.length > 0);

  // A question that goes on from it; little has to be read for it.
  const turns = page.locator(".turn");
  const follow = page.getByLabel("What else do you want to know?");
  await follow.fill("And what does it return for an odd number of values?");
  await page.keyboard.press("Enter");
  await page.getByLabel("What it took").waitFor();
  assert.equal(await turns.count(), 2);
  const [, known, all] = /Prompt known(\d+) of (\d+)/.exec(await page.getByLabel("What it took").textContent());
  assert.ok(known > all / 2, `${known} of ${all} tokens were known`);

  // Redirected while it is answered: what was said stays, and is gone on from.
  await follow.fill("Explain spread line by line, at great length.");
  await page.keyboard.press("Enter");
  await turns.nth(2).locator(".prose").waitFor();
  await page.getByLabel("What should it do otherwise?").pressSequentially("Only what it returns, in one sentence.");
  await fair(page, "an answer that is written, dark");
  await picture(page, "ask-answering-dark");
  await page.keyboard.press("Enter");
  await turns.nth(3).locator(".prose").waitFor();
  assert.ok((await turns.nth(2).locator(".prose").textContent()).length > 0);
  assert.equal(await turns.nth(3).getByRole("heading").first().textContent(), "Only what it returns, in one sentence.");
  await page.getByLabel("What it took").waitFor();
  await fair(page, "ask, dark");
  await picture(page, "ask-dark");
  await page.getByRole("button", { name: /^Theme/ }).click();
  await fair(page, "ask, light");
  await picture(page, "ask-light");
  await page.getByRole("button", { name: /^Theme/ }).click();

  // Stopped, it is as far as it came; and one may begin anew.
  await follow.fill("Write the text again with a comment on every line.");
  await page.keyboard.press("Enter");
  await turns.nth(4).locator(".prose").waitFor();
  await page.keyboard.press("Escape");
  await page.getByText("Stopped here.").waitFor();
  await page.getByRole("button", { name: "Start over" }).click();
  assert.equal(await turns.count(), 0);
  await page.getByLabel("What do you want to know?").waitFor();

  await page.getByRole("link", { name: "Plan" }).click();
  await page.getByLabel("What is to be reached?").fill("raise ValueError for empty lists");
  await page.getByRole("button", { name: "Write plan" }).click();
  await page.getByRole("button", { name: "Carry out step 1" }).waitFor();
  await page.getByRole("button", { name: "Revise step 1" }).click();
  await fair(page, "plan, dark");
  await picture(page, "plan-dark");
  await page.context().close();
}

async function measuring() {
  const page = await open({ viewport: { width: 1280, height: 860 }, colorScheme: "dark" });
  await page.getByRole("link", { name: "Bench" }).click();
  await page.getByRole("button", { name: "Measure" }).click();
  const plot = page.getByRole("img", { name: /^Roofline/ });
  await plot.waitFor();
  assert.match(await plot.getAttribute("aria-label"), /decode at 1 tokens: \d+ of \d+ .*prefill at 512 tokens: \d+ of \d+/);
  assert.equal(await page.locator(".roofline circle").count(), 6);
  await fair(page, "bench, dark");
  await picture(page, "bench-dark");
  await page.getByRole("button", { name: /^Theme/ }).click();
  await page.getByRole("button", { name: "Theme: light" }).waitFor();
  await fair(page, "bench, light");
  await picture(page, "bench-light");
  await page.context().close();
}

async function onAPhone() {
  const page = await open({ viewport: { width: 360, height: 740 }, colorScheme: "dark", isMobile: true, hasTouch: true });
  await page.getByRole("link", { name: "Ask" }).tap();
  await page.getByLabel("What do you want to know?").fill("Which function sorts the values?");
  await page.getByRole("button", { name: "Ask", exact: true }).tap();
  await page.getByLabel("What it took").waitFor();
  await page.getByRole("link", { name: "Edit" }).tap();
  await page.getByLabel("What should change?").fill("rename mean to average");
  await page.getByRole("button", { name: "Write edit" }).tap();
  await page.getByRole("button", { name: "Accept" }).waitFor();
  for (const name of ["Edit", "Ask", "Plan", "Live", "Bench"]) {
    await page.getByRole("link", { name }).tap();
    await page.waitForTimeout(300);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360, name);
    await fair(page, `${name} on a phone`);
    await picture(page, `phone-${name.toLowerCase()}`);
  }
  await page.context().close();
}

/** Where keys are asked for, nothing but the page is given to who has none. */
async function entering() {
  const page = await open({ viewport: { width: 1280, height: 860 }, colorScheme: "light" });
  const dialog = page.getByRole("dialog");
  const field = dialog.getByRole("textbox", { name: "Key" });
  await field.fill("cer-no-such-key");
  await page.keyboard.press("Enter");
  await dialog.getByRole("alert").waitFor();
  await fair(page, "a key is asked for");
  await field.fill(key);
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "hidden" });
  await page.getByLabel("What should change?").fill("rename mean to average");
  await page.getByRole("button", { name: "Write edit" }).click();
  await page.getByRole("button", { name: "Accept" }).click();
  assert.match(await text(page), /def average/);
  // That there was none is what a browser says of an answer with status 401.
  assert.deepEqual(troubles.splice(0).filter((told) => !/401/.test(told)), []);
  await page.context().close();
}

/** A page of another site can neither use the server nor show its page. */
async function elsewhere() {
  const other = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>other</title>"));
  await once(other.listen(0, "127.0.0.1"), "listening");
  const page = await (await browser.newContext()).newPage();
  await page.goto(`http://127.0.0.1:${other.address().port}/`);
  const asked = (path, init) =>
    page.evaluate(([url, init]) => fetch(url, init).then((response) => response.status, () => "refused"), [`http://${address}${path}`, init]);
  const body = JSON.stringify({ name: "a.py", text: "a = 1\n", instruction: "rename a to b" });
  assert.equal(await asked("/page/edit", { method: "POST", body }), "refused");
  assert.equal(await asked("/page/live", { method: "POST", body: "{}" }), "refused");
  assert.equal(await asked("/", {}), "refused");
  await page.evaluate((url) => document.body.append(Object.assign(document.createElement("iframe"), { src: url })), `http://${address}/`);
  await page.waitForTimeout(500);
  assert.equal(await page.frames()[1].locator("#app").count(), 0, "shown within another page");
  // Its own name made to mean this machine.
  const answer = await page.goto(`http://evil.test:${port}/`);
  assert.equal(answer.status(), 403);
  other.close();
}

for (const part of key ? [entering] : [editing, talking, measuring, onAPhone, elsewhere]) {
  const began = performance.now();
  await part();
  console.log(`${part.name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
}
assert.deepEqual(troubles, []);
await browser.close();
