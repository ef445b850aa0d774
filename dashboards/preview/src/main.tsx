// The page: one dashboard, from its JSON, over a Prometheus. `?dashboard=NAME&prometheus=URL&from=…&to=…`
//
// `window.preview` tells whoever drives the browser how it went.

import { createTheme, ThemeContext } from '@grafana/data';
import { LocationServiceProvider, config, locationService } from '@grafana/runtime';
import type { Dashboard } from '@grafana/schema';
import { sceneGraph, SceneQueryRunner, VizPanel, type MultiValueVariable } from '@grafana/scenes';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { BrowserRouter } from 'react-router-dom';
import { registerPanels } from './panels';
import { Prometheus } from './prometheus';
import { boot } from './runtime';
import { scene } from './scene';

const parameters = new URLSearchParams(location.search);
const asked = (name: string) => parameters.get(name) ?? '';

async function main() {
  const theme = createTheme({ colors: { mode: asked('theme') === 'light' ? 'light' : 'dark' } });
  config.theme2 = theme;
  config.bootData = { user: { timezone: 'utc', locale: 'en' }, settings: {} } as never;
  await boot(new Prometheus(asked('prometheus')) as never);
  registerPanels();
  const dashboard: Dashboard = await (await fetch(`dashboards/${asked('dashboard')}.json`)).json();
  const root = scene(dashboard, { from: asked('from') || 'now-6h', to: asked('to') || 'now' });
  (window as any).preview = { panels: () => sceneGraph.findAllObjects(root, (o) => o instanceof VizPanel).map((p) => report(p as VizPanel)), choose, has: (name: string) => Boolean(sceneGraph.lookupVariable(name, root)) };
  function choose(name: string, value: string | string[]) {
    (sceneGraph.lookupVariable(name, root) as MultiValueVariable).changeValueTo(value);
  }
  createRoot(document.getElementById('root')!).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <BrowserRouter>
        <LocationServiceProvider service={locationService}>
          <div style={{ padding: 16, background: theme.colors.background.canvas, minHeight: '100vh' }}>
            <h1 style={{ fontSize: 20, margin: '0 0 8px' }}>{dashboard.title}</h1>
            <root.Component model={root} />
            <PortalContainer />
          </div>
        </LocationServiceProvider>
      </BrowserRouter>
    </ThemeContext.Provider>,
  );
}

/** What a panel shows: its state, and how many values each of its queries brought. */
function report(panel: VizPanel) {
  const data = sceneGraph.getData(panel).state.data;
  const runner = (panel.state.$data instanceof SceneQueryRunner ? panel.state.$data : panel.state.$data?.state.$data) as SceneQueryRunner;
  const series = runner.state.data?.series ?? [];
  const values = (refId: string) => series.filter((frame) => frame.refId === refId)
    .reduce((sum, frame) => sum + frame.fields.filter((f) => f.type === 'number').flatMap((f) => [...f.values]).filter((v) => v !== null && !Number.isNaN(v)).length, 0);
  const queries = runner.state.queries.map((query) => ({ refId: query.refId, values: values(query.refId) }));
  const labels = series.flatMap((frame) => frame.fields.map((field) => field.labels ?? {}));
  return { title: panel.state.title, state: data?.state ?? 'NotStarted', errors: (data?.errors ?? []).map((e) => e.message), queries, shown: data?.series.length ?? 0, labels };
}

main().catch((error) => {
  (window as any).preview = { failed: String(error?.stack ?? error) };
});
