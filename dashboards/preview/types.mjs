// Writes the dashboards as TypeScript, so that `tsc` holds their JSON against Grafana's own schema.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';

const boards = readdirSync('..').filter((name) => name.endsWith('.json')).sort();
// Enums are their plain values in JSON.
const head = `import type { Dashboard } from '@grafana/schema';

type Plain<T> = T extends string ? \`\${T}\` : T extends number | boolean | null | undefined ? T : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;

`;
const typed = boards.map((name, place) => `export const board${place}: Plain<Dashboard> = ${readFileSync(`../${name}`, 'utf8').trim()};\n`);
mkdirSync('build', { recursive: true });
writeFileSync('build/boards.ts', head + typed.join('\n'));
