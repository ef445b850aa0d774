// Classic dashboard JSON as a scene: variables, queries and panels by Grafana's own library.

import type { Dashboard, Panel, VariableModel } from '@grafana/schema';
import {
  CustomVariable, DataSourceVariable, EmbeddedScene, QueryVariable, SceneDataTransformer, SceneGridItem, SceneGridLayout, SceneGridRow,
  SceneQueryRunner, SceneTimeRange, SceneVariableSet, type SceneVariable, VariableValueSelectors, VizPanel,
} from '@grafana/scenes';
import type { Query } from './prometheus';

type Range = { from: string; to: string };

export function scene(dashboard: Dashboard, range: Range): EmbeddedScene {
  return new EmbeddedScene({
    $timeRange: new SceneTimeRange({ ...range, timeZone: 'utc' }),
    $variables: new SceneVariableSet({ variables: (dashboard.templating?.list ?? []).map(variable) }),
    controls: [new VariableValueSelectors({})],
    body: new SceneGridLayout({ isDraggable: false, isResizable: false, isLazy: false, children: (dashboard.panels ?? []).map(item) }),
  });
}

function variable(model: VariableModel): SceneVariable {
  const common = {
    name: model.name, label: model.label ?? undefined, hide: model.hide as number, isMulti: model.multi, includeAll: model.includeAll,
    allValue: model.allValue ?? undefined,
  };
  if (model.type === 'datasource') {
    return new DataSourceVariable({ ...common, pluginId: String(model.query), value: 'preview' });
  }
  if (model.type === 'custom') {
    return new CustomVariable({ ...common, query: String(model.query), value: model.current?.value as string, text: model.current?.text as string });
  }
  const current = model.current?.value as string | string[] | undefined;
  return new QueryVariable({
    ...common, datasource: model.datasource, query: model.query as never, sort: model.sort as number, refresh: model.refresh as number,
    value: current ?? '', text: (model.current?.text as string | string[]) ?? '',
  });
}

function item(model: Panel | { type: 'row' }): SceneGridItem | SceneGridRow {
  const { x, y, w, h } = (model as Panel).gridPos ?? { x: 0, y: 0, w: 24, h: 8 };
  const place = { x, y, width: w, height: h };
  if (model.type === 'row') {
    return new SceneGridRow({ ...place, title: (model as Panel).title ?? '', isCollapsible: false, children: [] });
  }
  return new SceneGridItem({ ...place, body: panel(model as Panel) });
}

function panel(model: Panel): VizPanel {
  const queries = new SceneQueryRunner({
    datasource: model.datasource ?? undefined,
    queries: (model.targets ?? []) as unknown as Query[],
    maxDataPoints: model.maxDataPoints ?? undefined,
    minInterval: model.interval ?? undefined,
  });
  const transformations = (model.transformations ?? []) as never[];
  return new VizPanel({
    key: `panel-${model.id}`,
    title: model.title ?? '', description: model.description, pluginId: model.type, displayMode: model.transparent ? 'transparent' : 'default',
    options: model.options as object, fieldConfig: model.fieldConfig as never,
    $data: transformations.length > 0 ? new SceneDataTransformer({ $data: queries, transformations }) : queries,
  });
}
