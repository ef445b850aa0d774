// What all dashboards are made of: variables, panels, and the words and colours they share.

export const datasource = { type: 'prometheus', uid: '${datasource}' };

/** A lane's series, as the variables above each dashboard choose them. */
export const lane = 'instance=~"$instance",service=~"$service",region=~"$region",route=~"$route"';
/** The same, of routes that cross the service: control routes tell of the monitor itself. */
export const watched = `${lane},direction!~"control|canary"`;

export const GOOD = 'green', BAD = 'red', WARN = 'orange', MUTED = 'text';

export const OUTCOME_COLOURS = {
  delivered: 'green', late: 'yellow', lost: 'red', refused: 'purple', deferred: 'orange', unreachable: 'dark-red',
  bounced: 'dark-orange', misfiled: 'blue', altered: 'dark-blue', unknown: 'text',
};

function query(name, label, query, rest = {}) {
  return {
    name, label, type: 'query', datasource, query, refresh: 2, sort: 1, hide: 0, multi: true, includeAll: true, allValue: '.*',
    current: { text: 'All', value: '$__all' }, options: [], skipUrlSync: false, regex: '', ...rest,
  };
}

const info = (more) => `label_values(mailsonar_build_info${more}`;

export const variables = {
  datasource: {
    name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', refresh: 1, hide: 0, multi: false, includeAll: false,
    options: [], regex: '', skipUrlSync: false,
  },
  // The collector comes first in this order, so it is the default wherever there is one.
  source: query('source', 'Seen by', `${info(', program)')}`, { sort: 2, multi: false, includeAll: false, allValue: undefined, current: undefined }),
  instance: query('instance', 'Instance', `${info('{program="$source"}, instance)')}`, { hide: 2, allValue: undefined }),
  service: query('service', 'Service', 'label_values(mailsonar_probes_total{direction!~"control|canary"}, service)'),
  region: query('region', 'Region', 'label_values(mailsonar_probes_total, region)'),
  route: query('route', 'Route', 'label_values(mailsonar_probes_total{service=~"$service"}, route)'),
  objective: {
    name: 'objective', label: 'Objective', type: 'custom', query: '0.99,0.995,0.999,0.9995,0.9999', hide: 0, multi: false, includeAll: false,
    current: { text: '0.999', value: '0.999' }, skipUrlSync: false,
    options: ['0.99', '0.995', '0.999', '0.9995', '0.9999'].map((value) => ({ text: value, value, selected: value === '0.999' })),
  },
};

/** Threshold steps: a colour, then what follows from which value on. */
export function steps(first, ...rest) {
  return { mode: 'absolute', steps: [{ color: first, value: null }, ...rest.map(([value, color]) => ({ color, value }))] };
}

/** Value mappings: `{ 0: ['OK', 'green'] }`. */
export function meanings(words) {
  return [{
    type: 'value',
    options: Object.fromEntries(Object.entries(words).map(([value, [text, color]], index) => [value, { text, color, index }])),
  }];
}

/** One query. `rest` may say `{ instant: true, format: 'table' }`. */
export function ask(expr, legendFormat, rest = {}) {
  return { expr, legendFormat, datasource, editorMode: 'code', range: !rest.instant, ...rest };
}

function panel(type, title, description, unit, targets, size, { defaults = {}, overrides = [], options = {}, ...rest } = {}) {
  const [w, h] = size;
  const list = (Array.isArray(targets) ? targets : [targets]).map((target, place) => ({ refId: 'ABCDEFGH'[place], ...target }));
  return { type, title, description, datasource, gridPos: { w, h, x: 0, y: 0 }, targets: list, fieldConfig: { defaults: { unit, ...defaults }, overrides }, options, ...rest };
}

/** A number to be read at a glance. */
export function stat(title, description, unit, expr, thresholds, rest = {}) {
  const { defaults, instant = true, size = [4, 4], colorMode = 'value', ...more } = rest;
  return panel('stat', title, description, unit, ask(expr, title, { instant }), size, {
    defaults: { thresholds, color: { mode: 'thresholds' }, noValue: 'none', ...defaults },
    options: {
      colorMode, graphMode: instant ? 'none' : 'area', justifyMode: 'auto', orientation: 'auto', textMode: 'value',
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    },
    ...more,
  });
}

/** Lines over time. `look` goes into the field's own options: `{ drawStyle: 'bars' }`. */
export function lines(title, description, unit, targets, size, { look = {}, defaults = {}, ...rest } = {}) {
  const custom = { drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 2, fillOpacity: 8, showPoints: 'never', spanNulls: false, ...look };
  return panel('timeseries', title, description, unit, targets, size, {
    defaults: { min: 0, color: { mode: 'palette-classic' }, ...defaults, custom: { ...custom, ...defaults.custom } },
    options: { legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] }, tooltip: { mode: 'multi', sort: 'desc' } },
    ...rest,
  });
}

/** Counts per minute, stacked. */
export function bars(title, description, targets, size, rest = {}) {
  const look = { drawStyle: 'bars', lineWidth: 0, fillOpacity: 80, stacking: { mode: 'normal', group: 'A' }, ...rest.look };
  return lines(title, description, 'short', targets, size, { ...rest, look });
}

/** A row a series, coloured by state. */
export function states(title, description, unit, targets, size, { defaults = {}, ...rest } = {}) {
  return panel('state-timeline', title, description, unit, targets, size, {
    defaults: { color: { mode: 'thresholds' }, custom: { lineWidth: 0, fillOpacity: 75 }, ...defaults },
    options: {
      mergeValues: true, showValue: 'never', rowHeight: 0.8, alignValue: 'left', legend: { displayMode: 'list', placement: 'bottom', showLegend: false },
      tooltip: { mode: 'single', sort: 'none' },
    },
    ...rest,
  });
}

/** Buckets by time. */
export function heatmap(title, description, unit, expr, size) {
  return panel('heatmap', title, description, unit, ask(expr, '{{le}}', { format: 'heatmap' }), size, {
    defaults: { custom: { scaleDistribution: { type: 'linear' } } },
    options: {
      calculate: false, cellGap: 1, color: { mode: 'scheme', scheme: 'Oranges', exponent: 0.5, steps: 64, reverse: false, fill: 'dark-orange', scale: 'exponential' },
      legend: { show: true }, rowsFrame: { layout: 'le' }, showValue: 'never', tooltip: { mode: 'single', yHistogram: false, showColorScale: false },
      yAxis: { axisPlacement: 'left', reverse: false, unit }, filterValues: { le: 1e-9 }, exemplars: { color: 'rgba(255,0,255,0.7)' },
    },
  });
}

/** A bar a series. */
export function ranking(title, description, unit, target, size, rest = {}) {
  return panel('bargauge', title, description, unit, target, size, {
    ...rest,
    options: {
      displayMode: 'basic', orientation: 'horizontal', showUnfilled: true, valueMode: 'text', minVizHeight: 10, minVizWidth: 0,
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false }, ...rest.options,
    },
  });
}

/** A table of instant queries, joined on their labels. `columns` renames and orders, `units` says what each is in. */
export function table(title, description, unit, exprs, size, columns, { overrides = [] } = {}) {
  const targets = exprs.map((expr) => ask(expr, '', { instant: true, format: 'table' }));
  const names = Object.keys(columns);
  return panel('table', title, description, unit, targets, size, {
    overrides,
    options: { showHeader: true, cellHeight: 'sm', footer: { show: false, reducer: ['sum'], countRows: false, fields: '' }, sortBy: [{ displayName: columns[names[0]], desc: false }] },
    transformations: [
      { id: 'merge', options: {} },
      {
        id: 'organize',
        options: { excludeByName: { Time: true }, indexByName: Object.fromEntries(names.map((name, place) => [name, place])), renameByName: columns },
      },
    ],
  });
}

/** An override of the field that is called so. */
export function field(name, properties) {
  return { matcher: { id: 'byName', options: name }, properties: Object.entries(properties).map(([id, value]) => ({ id, value })) };
}

export const outcomeColours = Object.entries(OUTCOME_COLOURS).map(([name, fixedColor]) => field(name, { color: { mode: 'fixed', fixedColor } }));

export function row(title) {
  return { type: 'row', title, collapsed: false, gridPos: { w: 24, h: 1, x: 0, y: 0 }, panels: [] };
}

/** A dashboard of panels, placed from left to right and top to bottom. */
export function dashboard(uid, title, description, variables, panels) {
  let [x, y, highest] = [0, 0, 0];
  const placed = panels.map((panel, index) => {
    const { w, h } = panel.gridPos;
    if (x + w > 24) {
      [x, y, highest] = [0, y + highest, 0];
    }
    const gridPos = { x, y, w, h };
    [x, highest] = [x + w, Math.max(highest, h)];
    return { id: index + 1, ...panel, gridPos };
  });
  return {
    uid, title, description, tags: ['mailsonar'], timezone: 'browser', editable: true, graphTooltip: 1, schemaVersion: 39, version: 1, refresh: '30s',
    time: { from: 'now-6h', to: 'now' }, fiscalYearStartMonth: 0, weekStart: '', annotations: { list: [] }, templating: { list: variables },
    links: [{
      type: 'dashboards', title: 'Mailsonar', tags: ['mailsonar'], asDropdown: true, includeVars: true, keepTime: true, icon: 'external link', targetBlank: false,
      tooltip: '', url: '',
    }],
    panels: placed,
  };
}
