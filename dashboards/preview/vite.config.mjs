// Bundles the page. Grafana's packages expect a name and a folder that only its own build gives them.

import { cpSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const ui = dirname(createRequire(import.meta.url).resolve('@grafana/ui/package.json'));

export default {
  base: './',
  resolve: {
    alias: [
      { find: 'react-router-dom-v5-compat', replacement: 'react-router-dom' },
      { find: /^react-custom-scrollbars-2$/, replacement: join(import.meta.dirname, 'src/scrollbars.ts') },
    ],
  },
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}', global: 'globalThis' },
  build: { outDir: 'dist', chunkSizeWarningLimit: 10_000, reportCompressedSize: false, minify: false },
  plugins: [{
    name: 'pictures-and-dashboards',
    writeBundle() {
      cpSync(join(ui, 'dist/public/img'), 'dist/public/build/img', { recursive: true });
      for (const file of readdirSync('..').filter((name) => name.endsWith('.json'))) {
        cpSync(join('..', file), join('dist/dashboards', file));
      }
    },
  }],
};
