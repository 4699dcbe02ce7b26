// The same work through Playwright or Puppeteer: `node browsers.mjs playwright|puppeteer CHROMIUM BASE_URL ROUNDS PAGE,PAGE..`.
// Prints one JSON object; every figure is a list of milliseconds, one for each round. With `asked` in place of ROUNDS it launches
// once for each line that it is given, and says how many milliseconds that took. `barest` in place of a library is the floor: the
// fewest calls of the protocol that bring a page, and all inputs of a form in one write, with nothing seen to.
import { createRequire } from 'node:module';
import { readFileSync, readdirSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const [, , library, executablePath, base, count, names] = process.argv;
if (library === 'barest') {
  if (count === 'asked') await asked(async () => (await barest(1)).launch[0]);
  console.log(JSON.stringify(await barest(Number(count))));
  process.exit(0);
}
const require = createRequire(join(process.cwd(), 'package.json'));
const playwright = library === 'playwright';
const { chromium } = playwright ? require('playwright-core') : {};
const puppeteer = playwright ? null : require('puppeteer-core');
const rounds = Number(count) || 0;
const args = ['--no-sandbox', '--disable-gpu'];
const now = () => performance.now();
const launch = () => (playwright ? chromium.launch({ executablePath, headless: true, args }) : puppeteer.launch({ executablePath, headless: 'shell', args }));
const context = (browser) => (playwright ? browser.newContext() : browser.createBrowserContext());
const mix = ['click', 'type', 'select', 'scroll', 'wait'];

async function act(page, kind, i) {
  if (playwright) {
    if (kind === 'click') await page.locator('#b' + i).click();
    else if (kind === 'type') await page.locator('#i' + i).pressSequentially('abcdefgh');
    else if (kind === 'select') await page.locator('#s' + i).selectOption('c');
    else if (kind === 'scroll') await page.locator('#w' + i).scrollIntoViewIfNeeded();
    else await page.waitForSelector('#w' + i);
  } else {
    if (kind === 'click') await page.click('#b' + i);
    else if (kind === 'type') await page.type('#i' + i, 'abcdefgh');
    else if (kind === 'select') await page.select('#s' + i, 'c');
    else if (kind === 'scroll') await page.$eval('#w' + i, (e) => e.scrollIntoView());
    else await page.waitForSelector('#w' + i);
  }
}

// PSS of all processes below this one, in bytes: [with renderers, without].
function held() {
  const read = (pid, name) => { try { return readFileSync(`/proc/${pid}/${name}`, 'utf8'); } catch { return ''; } };
  const parents = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    const rest = read(pid, 'stat').split(')').pop().trim().split(' ');
    parents.set(Number(pid), Number(rest[1]));
  }
  const below = (pid) => { for (let up = parents.get(pid); up > 1; up = parents.get(up)) if (up === process.pid) return true; return false; };
  let [all, others] = [0, 0];
  for (const pid of [...parents.keys()].filter(below)) {
    const bytes = 1024 * Number(/^Pss:\s+(\d+)/m.exec(read(pid, 'smaps_rollup'))?.[1] ?? 0);
    all += bytes;
    if (!read(pid, 'cmdline').includes('--type=renderer')) others += bytes;
  }
  return [all, others];
}
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const out = { memory: {}, job: [], form: [], form_job: [], chain: [], idle: {}, verified: null };
const launched = async () => {
  const began = now();
  const browser = await launch();
  const page = await (await context(browser)).newPage();
  await page.goto(base + '/page/static');
  await page.content();
  const took = now() - began;
  await browser.close();
  return took;
};
if (count === 'asked') await asked(launched);
const browser = await launch();
const job = async (name, work) => {
  const began = now();
  const own = await context(browser);
  const page = await own.newPage();
  await page.goto(base + '/page/' + name);
  const inner = now();
  await work(page);
  const took = now() - inner;
  await page.content();
  await own.close();
  return [now() - began, took];
};
await job('static', async () => {});
await sleep(1000);
out.memory.idle = held();
const open = [];
for (let i = 0; i < 5; i++) {
  const own = await context(browser);
  await (await own.newPage()).goto(base + '/page/static');
  open.push(own);
}
await sleep(1000);
out.memory.pages = held();
for (const own of open) await own.close();
for (let i = 0; i < rounds; i++) {
  out.job.push((await job('static', async () => {}))[0]);
  const [whole, acts] = await job('form', async (page) => {
    for (let k = 0; k < 20; k++) await act(page, mix[k % 5], k + 1);
    out.verified = await page.evaluate(() => verify());
  });
  out.form_job.push(whole);
  out.form.push(acts);
  out.chain.push((await job('chain', async (page) => {
    for (let k = 1; k <= 20; k++) {
      if (playwright) await page.locator('#c' + k).click();
      else { await page.waitForSelector('#c' + k); await page.click('#c' + k); }
    }
  }))[1]);
}
for (const name of names ? names.split(',') : []) {
  const own = await context(browser);
  const page = await own.newPage();
  const began = now();
  let over = false;
  try { await page.goto(base + '/page/' + name, { waitUntil: playwright ? 'networkidle' : 'networkidle0', timeout: 10000 }); } catch { over = true; }
  const took = now() - began;
  const html = await page.content();
  out.idle[name] = { ms: took, over, complete: html.includes('id="done"') };
  await own.close();
}
await browser.close();
console.log(JSON.stringify(out));

async function asked(launched) {
  for await (const _ of createInterface({ input: process.stdin })) console.log(await launched());
  process.exit(0);
}

// Chromium by its pipe.
function driven() {
  const home = mkdtempSync(join(tmpdir(), 'barest-'));
  const options = ['--headless', '--remote-debugging-pipe', '--no-startup-window', '--no-first-run', '--no-sandbox', '--disable-gpu',
    '--disable-background-networking', `--user-data-dir=${home}`];
  const child = spawn(executablePath, options, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true });
  const [orders, answers] = [child.stdio[3], child.stdio[4]];
  const waiting = new Map();
  let number = 0, rest = Buffer.alloc(0), over = null;
  const end = (why) => { over = why; for (const { no } of waiting.values()) no(why); waiting.clear(); };
  for (const stream of [orders, answers]) stream.on('error', end);
  child.on('exit', () => end(new Error('Chromium ended')));
  // What takes as long does not come any more.
  const patience = setTimeout(() => end(new Error('Chromium does not answer')), 20_000);
  answers.on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    for (let at; (at = rest.indexOf(0)) >= 0; rest = rest.subarray(at + 1)) {
      const said = JSON.parse(rest.subarray(0, at).toString());
      const key = said.id ?? said.method;
      waiting.get(key)?.yes(said.result ?? said.params);
      waiting.delete(key);
    }
  });
  const heard = (key) => new Promise((yes, no) => { if (over) no(over); else waiting.set(key, { yes, no }); });
  const written = (calls) => {
    const text = calls.map(([method, params, sessionId]) => `${JSON.stringify({ id: ++number, method, params, sessionId })}\0`).join('');
    const first = number - calls.length + 1;
    const all = calls.map((_, at) => heard(first + at));
    orders.write(text);
    return Promise.all(all);
  };
  const call = async (method, params = {}, sessionId = undefined) => (await written([[method, params, sessionId]]))[0];
  const evaluate = async (expression, session) => (await call('Runtime.evaluate', { expression, returnByValue: true }, session)).result.value;
  const page = async (name) => {
    const { browserContextId } = await call('Target.createBrowserContext');
    // At its address at once, and held there until it is listened to.
    const attached = heard('Target.attachedToTarget');
    attached.catch(() => {}); // whoever waits for it is told
    const target = { url: `${base}/page/${name}`, browserContextId, width: 1280, height: 800 };
    await written([['Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: true, flatten: true }], ['Target.createTarget', target]]);
    const { sessionId } = await attached;
    const loaded = heard('Page.loadEventFired');
    loaded.catch(() => {});
    await written([['Page.enable', {}, sessionId], ['Runtime.runIfWaitingForDebugger', {}, sessionId]]);
    await loaded;
    return sessionId;
  };
  const close = async () => {
    clearTimeout(patience);
    const gone = new Promise((done) => { if (child.exitCode !== null || child.signalCode !== null) done(); else child.once('exit', done); });
    try { process.kill(-child.pid, 'SIGKILL'); } catch { /* it is gone */ }
    await gone;
    rmSync(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  };
  return { evaluate, page, written, close };
}

async function barest(rounds) {
  const out = { launch: [], form: [] };
  // One start in some tens ends with a fault of Chromium's own.
  for (let tries = 0; out.launch.length < rounds && tries < 2 * rounds + 5; tries++) {
    const began = performance.now();
    const browser = driven();
    try {
      const session = await browser.page('static');
      await browser.evaluate('document.documentElement.outerHTML', session);
      out.launch.push(performance.now() - began);
      const form = await browser.page('form');
      const mouse = (type, x, y, button, clickCount) => ['Input.dispatchMouseEvent', { type, x, y, button, clickCount }, form];
      const key = (type, letter) => ['Input.dispatchKeyEvent', { type, key: letter, text: type === 'keyDown' ? letter : undefined }, form];
      const places = await browser.evaluate("[...document.querySelectorAll('button, input')].map((e) => { const box = e.getBoundingClientRect(); return [e.id, box.x + box.width / 2, box.y + box.height / 2]; })", form);
      const calls = [];
      for (const [id, x, y] of places) {
        const [kind, number] = [id[0], Number(id.slice(1))];
        if (number % 5 !== (kind === 'b' ? 1 : 2)) continue;
        calls.push(mouse('mouseMoved', x, y, 'none', 0), mouse('mousePressed', x, y, 'left', 1), mouse('mouseReleased', x, y, 'left', 1));
        if (kind === 'i') for (const letter of 'abcdefgh') calls.push(key('keyDown', letter), key('keyUp', letter));
      }
      const acted = performance.now();
      await browser.written(calls);
      const took = performance.now() - acted;
      const { clicks, typed, trusted, keys } = await browser.evaluate('verify()', form);
      if (clicks !== 4 || typed !== 4 || trusted !== 4 || keys !== 32) throw new Error('the inputs had no effect');
      out.form.push(took);
    } catch (error) {
      if (error.message !== 'Chromium ended') throw error;
    } finally {
      await browser.close();
    }
  }
  return out;
}
