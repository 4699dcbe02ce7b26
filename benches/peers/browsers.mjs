// The same work through Playwright or Puppeteer: `node browsers.mjs playwright|puppeteer CHROMIUM BASE_URL ROUNDS PAGE,PAGE..`.
// Prints one JSON object; every figure is a list of milliseconds, one for each round.
import { createRequire } from 'node:module';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const [, , library, executablePath, base, count, names] = process.argv;
const require = createRequire(join(process.cwd(), 'package.json'));
const playwright = library === 'playwright';
const { chromium } = playwright ? require('playwright-core') : {};
const puppeteer = playwright ? null : require('puppeteer-core');
const rounds = Number(count);
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

const out = { memory: {}, launch: [], job: [], form: [], form_job: [], chain: [], idle: {}, verified: null };
for (let i = 0; i < rounds; i++) {
  const began = now();
  const browser = await launch();
  const page = await (await context(browser)).newPage();
  await page.goto(base + '/page/static');
  await page.content();
  out.launch.push(now() - began);
  await browser.close();
}
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
