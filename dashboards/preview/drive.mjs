// Draws every dashboard in headless Chromium over a real Prometheus, and says what is wrong with it.
//
//   node drive.mjs --prometheus http://127.0.0.1:9090 --from 2026-… --to 2026-… [--pictures DIR]
//
// A panel must have no error, and each of its queries data; what a variable chooses, and nothing else, must show.

import { createReadStream, mkdirSync, readdirSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: options } = parseArgs({
  options: { prometheus: { type: 'string' }, from: { type: 'string' }, to: { type: 'string' }, pictures: { type: 'string' } },
});
const dist = new URL('dist/', import.meta.url).pathname;
const boards = readdirSync(join(dist, 'dashboards')).map((file) => file.replace(/\.json$/, '')).sort();
const complaints = [];

/** Serves the page and passes Prometheus' API on, so that the browser sees one origin. */
function serve() {
  const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.svg': 'image/svg+xml' };
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, 'http://here');
    if (url.pathname.startsWith('/api/')) {
      const answer = await fetch(options.prometheus + request.url);
      response.writeHead(answer.status, { 'content-type': 'application/json' });
      return response.end(await answer.text());
    }
    const path = join(dist, normalize(url.pathname === '/' ? 'index.html' : decodeURIComponent(url.pathname)));
    if (!path.startsWith(dist) || !statSync(path, { throwIfNoEntry: false })?.isFile()) {
      return response.writeHead(404).end();
    }
    response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' });
    return createReadStream(path).pipe(response);
  });
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done(server)));
}

const settled = (page) => page.waitForFunction(() => {
  const { preview } = window;
  return preview?.failed || (preview?.panels().length > 0 && preview.panels().every((panel) => ['Done', 'Error'].includes(panel.state)));
}, null, { timeout: 60_000 });

async function panels(page) {
  await settled(page);
  const failed = await page.evaluate(() => window.preview.failed);
  if (failed) {
    throw new Error(failed);
  }
  return page.evaluate(() => window.preview.panels());
}

/** Chooses a variable's value and waits until every panel has asked anew. */
async function choose(page, name, value) {
  await page.evaluate(([name, value]) => window.preview.choose(name, value), [name, value]);
  await page.waitForTimeout(250); // queries start on the next turn
  return panels(page);
}

function inspect(board, where, panels) {
  for (const { title, state, errors, queries } of panels) {
    const complain = (what) => complaints.push(`${board}, ${where}: panel "${title}" ${what}`);
    if (state !== 'Done' || errors.length > 0) {
      complain(`is in state ${state}: ${errors.join('; ')}`);
    }
    for (const { refId, values } of queries.filter((query) => query.values === 0)) {
      complain(`has no data for query ${refId} (${values})`);
    }
  }
}

/** With one region chosen, no series of another may show; and some must. */
function filtered(board, name, value, panels) {
  const seen = panels.flatMap(({ title, labels }) => labels.filter((set) => set[name]).map((set) => ({ title, is: set[name] })));
  if (seen.length === 0) {
    complaints.push(`${board}: nothing shows a ${name} when ${value} is chosen`);
  }
  for (const { title, is } of seen.filter((one) => one.is !== value)) {
    complaints.push(`${board}: panel "${title}" shows ${name} ${is} though ${value} is chosen`);
  }
}

async function draw(browser, origin, board) {
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  page.on('pageerror', (error) => complaints.push(`${board}: ${error.stack ?? error}`));
  const address = new URLSearchParams({ dashboard: board, prometheus: origin, from: options.from, to: options.to });
  await page.goto(`${origin}/?${address}`);
  const all = await panels(page);
  inspect(board, 'at first', all);
  await page.waitForTimeout(500); // the last frame is drawn
  const broken = await page.locator('[data-testid="data-testid Alert error"], .panel-has-error').count();
  if (broken > 0) {
    complaints.push(`${board}: ${broken} panels show an error in place of their picture`);
  }
  if (options.pictures) {
    mkdirSync(options.pictures, { recursive: true });
    const height = await page.evaluate(() => document.documentElement.scrollHeight);
    await page.setViewportSize({ width: 1400, height });
    await page.waitForTimeout(1500);
    await page.screenshot({ path: join(options.pictures, `${board}.png`), fullPage: true });
  }
  filtered(board, 'region', 'virginia', await choose(page, 'region', ['virginia']));
  await choose(page, 'region', ['$__all']);
  if (await page.evaluate(() => window.preview.has('source'))) {
    inspect(board, 'seen by agents', (await choose(page, 'source', 'mailsonar-agent')));
  }
  console.log(`${board}: ${all.length} panels, ${all.flatMap((panel) => panel.queries).length} queries`);
  await page.close();
}

const server = await serve();
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
try {
  for (const board of boards) {
    await draw(browser, `http://127.0.0.1:${server.address().port}`, board);
  }
} finally {
  await browser.close();
  server.close();
}
complaints.forEach((complaint) => console.error(complaint));
process.exit(complaints.length > 0 ? 1 : 0);
