// Looks at every page of a served collector in headless Chromium, as people do: at a desk and on a phone, in
// light and dark, by keyboard, without scripts, and with hostile text everywhere. Says what is wrong.
//
//   node look.mjs '{"outage": "http://127.0.0.1:…", "peace": …, "strangers": …, "hostile": …, "token": …, "incident": …, …}'
//
// SHOTS=DIR keeps a picture of every view, MAILSONAR_PICTURES=DIR those of the documentation.

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const plan = JSON.parse(process.argv[2]);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const { SHOTS: shots, MAILSONAR_PICTURES: pictures } = process.env;
const complaints = [];
const counts = { pages: 0, views: 0, stops: 0 };

/** A busy machine is no fault of a page's. */
const PATIENCE = 120_000;

const DESK = { width: 1280, height: 900 };
const PHONE = { width: 360, height: 740 };
const VIEWS = [['desk', DESK, 'light'], ['desk', DESK, 'dark'], ['phone', PHONE, 'light'], ['phone', PHONE, 'dark']];
// Both widths and both schemes are judged everywhere, though not each with each: colours do not follow the width.
const HOW = {
  outage: { judged: ['desk light', 'desk dark', 'phone light'], byKeyboard: true },
  peace: { judged: ['desk light', 'phone dark'], byKeyboard: false },
  strangers: { judged: ['phone light'], byKeyboard: true },
  hostile: { judged: ['phone dark'], byKeyboard: false },
};
const everywhere = {
  overview: '/', service: '/services/acme', incidents: '/incidents', incident: `/incidents/${plan.incident}`, maintenance: '/maintenance',
  'sign-in': '/sign-in', nothing: '/no/such/page',
};
const insiders = { probe: `/probes/${plan.probe}`, delivered: `/probes/${plan.delivered}`, agents: '/agents', statements: '/statements' };

/** A page that complains by itself of what a browser would only log. */
async function open(context, where) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on('pageerror', (error) => complaints.push(`${where}: ${error}`));
  page.on('console', (line) => line.type() === 'error' && !/404|401/.test(line.text()) && complaints.push(`${where}: ${line.text()}`));
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
  });
  return page;
}

async function accessible(page, where) {
  await page.evaluate((source) => window.axe ?? (0, eval)(source), axe).catch(() => page.evaluate(axe));
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  for (const { id, help, nodes } of found.violations) {
    complaints.push(`${where}: ${id}: ${help}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' | ')}`);
  }
}

/** Every view of a page: nothing wider than a phone, nothing that axe finds, nothing the policy had to stop. */
async function look(context, site, name, address, { judged, byKeyboard }) {
  const page = await open(context, `${site} ${name}`);
  await page.goto(address);
  for (const [width, viewport, colorScheme] of VIEWS) {
    const where = `${site} ${name}, ${width}, ${colorScheme}`;
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme });
    const [scroll, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    if (scroll > room) {
      complaints.push(`${where}: ${scroll} px wide where there are ${room}`);
    }
    if (judged.includes(`${width} ${colorScheme}`)) {
      await accessible(page, where);
    }
    if (shots) {
      mkdirSync(shots, { recursive: true });
      await page.screenshot({ path: join(shots, `${site}-${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
    counts.views += 1;
  }
  if (byKeyboard) {
    await reach(page, `${site} ${name}`);
  }
  for (const violation of await page.evaluate(() => window.violations)) {
    complaints.push(`${site} ${name}: against the policy: ${violation}`);
  }
  counts.pages += 1;
  return page;
}

/** By the keyboard alone: the skip link first, then every control in order, each seen to have the focus. */
async function reach(page, where) {
  await page.setViewportSize(DESK);
  const controls = await page.evaluate(() => {
    const all = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')];
    const shown = all.filter((one) => one.checkVisibility());
    shown.forEach((one, at) => { one.dataset.stop = at; });
    document.activeElement?.blur();
    getSelection().removeAllRanges();
    return shown.length;
  });
  let last = -1;
  const unseen = [];
  for (let press = 0; press < controls + 40 && last < controls - 1; press += 1) {
    await page.keyboard.press('Tab');
    const [stop, seen, words] = await page.evaluate(() => {
      const one = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(one);
      return [Number(one.dataset.stop ?? -1), outlineStyle !== 'none' && outlineWidth !== '0px', one.outerHTML.slice(0, 120)];
    });
    if (stop !== last && stop !== last + 1) {
      complaints.push(`${where}: Tab goes from control ${last} to ${stop} of ${controls}: ${words}`);
      return;
    }
    if (!seen) {
      unseen.push(words);
    }
    last = stop;
  }
  if (last !== controls - 1) {
    complaints.push(`${where}: Tab reaches ${last + 1} of ${controls} controls`);
  }
  unseen.slice(0, 2).forEach((words) => complaints.push(`${where}: focus is not seen on ${words}`));
  counts.stops += controls;
  await page.evaluate(() => document.querySelector('a.skip').focus());
  await page.keyboard.press('Enter');
  if (await page.evaluate(() => document.activeElement.id !== 'main')) {
    complaints.push(`${where}: the skip link does not lead to the content`);
  }
}

/** Signs in by the form, as a browser without scripts would too. */
async function signIn(context, base) {
  const page = await open(context, 'signing in');
  await page.goto(`${base}/`);
  await page.getByRole('link', { name: 'Sign in' }).click();
  await page.getByLabel('token').fill(plan.token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: 'Sign out' }).waitFor();
  await page.close();
}

/** What outsiders wrote is there as text, and did nothing. */
async function harmless(page, where, mustShow) {
  const found = await page.evaluate(() => ({
    text: document.body.innerText,
    alien: document.querySelectorAll('img, iframe, object, main script, main style, [onerror], [onclick]').length,
    title: document.title, ran: window.hacked === true,
  }));
  if (found.alien > 0 || found.ran) {
    complaints.push(`${where}: text from outside became part of the page`);
  }
  if (/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/.test(found.text + found.title)) {
    complaints.push(`${where}: control characters are in the text`);
  }
  if (mustShow && !found.text.includes(plan.evil)) {
    complaints.push(`${where}: the hostile text is not shown`);
  }
}

/** An open page takes over what changes, without being loaded anew, and leaves alone what is being written. */
async function live(context, base) {
  const [page, written] = [await open(context, 'live'), await open(context, 'live, written')];
  for (const one of [page, written]) {
    await one.goto(`${base}/incidents/${plan.incident}`);
    await one.locator('#live[data-state=Live]').waitFor();
    await one.evaluate(() => { window.same = true; });
  }
  await written.getByLabel('For the timeline').fill('half a sentence');
  const words = 'told while the page was open';
  const answer = await fetch(`${base}/api/v1/incidents/${plan.incident}/notes`, {
    method: 'POST', headers: { authorization: `Bearer ${plan.token}`, 'content-type': 'application/json' }, body: JSON.stringify({ words }),
  });
  if (!answer.ok) {
    complaints.push(`live: the note was answered ${answer.status}`);
  }
  await page.getByText(words).waitFor({ timeout: PATIENCE }).catch(() => complaints.push('live: the note never came to the open page'));
  if (await page.evaluate(() => window.same !== true)) {
    complaints.push('live: the page was loaded anew');
  }
  if (await written.getByLabel('For the timeline').inputValue() !== 'half a sentence') {
    complaints.push('live: what was being written is gone');
  }
}

/** From a link on another site the operator's view comes by itself, though the cookie did not. */
async function fromElsewhere(context, base) {
  const page = await open(context, 'from elsewhere');
  await page.goto(`data:text/html,<a href="${base}/agents">page</a>`);
  await page.getByRole('link').click();
  await page.getByRole('button', { name: 'Sign out' }).waitFor({ timeout: PATIENCE })
    .catch(() => complaints.push('from elsewhere: the operator stays a stranger'));
}

/** Without scripts: the page comes anew by itself, and an operator can do all there is to do. */
async function plain(browser, base, peace) {
  const context = await browser.newContext({ javaScriptEnabled: false });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  let loads = 0;
  page.on('load', () => { loads += 1; });
  await page.goto(`${peace}/`);
  const operator = await context.newPage();
  await operator.goto(`${base}/incidents/${plan.incident}`);
  await operator.getByRole('link', { name: 'Sign in' }).click();
  await operator.getByLabel('token').fill(plan.token);
  await operator.getByRole('button', { name: 'Sign in' }).click();
  await operator.getByLabel('For the timeline').fill('written without a script');
  await operator.getByRole('button', { name: 'Add' }).click();
  await operator.getByText('written without a script').waitFor();
  await operator.getByLabel('Why').fill('they are at work');
  await operator.getByRole('button', { name: 'Silence' }).click();
  await operator.goto(`${base}/services/acme`);
  await operator.getByRole('listitem').filter({ hasText: 'they are at work' }).getByRole('button', { name: 'End now' }).click();
  await operator.goto(`${base}/maintenance`);
  await operator.getByText('ended early by').waitFor();
  if (await operator.locator('meta[http-equiv=refresh]').count() > 0) {
    complaints.push('plain: a page with forms would be fetched anew while somebody writes');
  }
  return async () => {
    for (let waited = 0; loads < 2 && waited < PATIENCE; waited += 250) {
      await new Promise((done) => setTimeout(done, 250));
    }
    if (loads < 2) {
      complaints.push('plain: without scripts the page does not come anew');
    }
    await context.close();
  };
}

async function picture(browser, name, address, viewport, colorScheme) {
  const context = await browser.newContext({ viewport, colorScheme, deviceScaleFactor: 2 });
  const page = await context.newPage();
  await page.goto(address);
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: viewport !== PHONE });
  await context.close();
}

/** So many at once. */
async function all(jobs, many = 3) {
  const queue = [...jobs];
  await Promise.all(Array.from({ length: many }, async () => {
    for (let job = queue.shift(); job; job = queue.shift()) {
      await job();
    }
  }));
}

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
try {
  const anew = await plain(browser, plan.outage, plan.peace);
  const jobs = [];
  for (const [site, pages] of [['outage', { ...everywhere, ...insiders }], ['peace', { ...everywhere, incident: `/incidents/${plan.past}`, ...insiders }], ['strangers', everywhere], ['hostile', { ...everywhere, ...insiders }]]) {
    const context = await browser.newContext({ reducedMotion: 'reduce' });
    if (site === 'outage') {
      const stranger = await browser.newContext();
      jobs.push(async () => (await look(stranger, site, 'sign-in', `${plan.outage}/sign-in`, HOW.outage)).close());
      delete pages['sign-in'];
      await signIn(context, plan.outage);
      jobs.push(() => live(context, plan.outage), () => fromElsewhere(context, plan.outage));
    }
    for (const [name, path] of Object.entries(pages)) {
      jobs.push(async () => {
        const page = await look(context, site, name, plan[site] + path, HOW[site]);
        await harmless(page, `${site} ${name}`, site === 'hostile' && !['sign-in', 'nothing', 'delivered', 'statements'].includes(name));
        await page.close();
      });
    }
  }
  await all(jobs);
  await anew();
  if (pictures) {
    mkdirSync(pictures, { recursive: true });
    await picture(browser, 'status-overview', `${plan.outage}/`, DESK, 'light');
    await picture(browser, 'status-incident', `${plan.outage}/incidents/${plan.incident}`, DESK, 'dark');
    await picture(browser, 'status-phone', `${plan.outage}/`, PHONE, 'light');
  }
} finally {
  await browser.close();
}
complaints.forEach((complaint) => console.error(complaint));
console.log(`${counts.pages} pages in ${counts.views} views, ${counts.stops} controls by keyboard: ${complaints.length} complaints`);
process.exit(complaints.length > 0 ? 1 : 0);
