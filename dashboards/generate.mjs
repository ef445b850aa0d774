// Writes the dashboards' JSON: `node dashboards/generate.mjs`. With `--check` it only says whether they are as written.

import { readFileSync, writeFileSync } from 'node:fs';
import { health } from './boards/health.mjs';
import { incidents } from './boards/incidents.mjs';
import { latency } from './boards/latency.mjs';
import { overview } from './boards/overview.mjs';
import { slo } from './boards/slo.mjs';

const boards = { overview, latency, 'incidents-and-backlog': incidents, slo, 'monitor-health': health };

for (const [name, board] of Object.entries(boards)) {
  const path = new URL(`${name}.json`, import.meta.url);
  const text = `${JSON.stringify(board, null, 2)}\n`;
  if (!process.argv.includes('--check')) {
    writeFileSync(path, text);
  } else if (readFileSync(path, 'utf8') !== text) {
    console.error(`dashboards/${name}.json is not what dashboards/generate.mjs makes: run it, or change dashboards/boards`);
    process.exitCode = 1;
  }
}
