// Grafana's Prometheus data source, as far as our dashboards use it: range and instant queries, label_values.

import {
  type DataFrame, type DataQuery, type DataQueryRequest, type DataQueryResponse, DataFrameType, FieldType,
  type MetricFindValue, type ScopedVars, type TimeRange,
} from '@grafana/data';
import { RuntimeDataSource, sceneGraph, type SceneObject } from '@grafana/scenes';

export interface Query extends DataQuery {
  expr: string;
  legendFormat?: string;
  instant?: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
}

interface Series {
  metric: Record<string, string>;
  value?: [number, string];
  values?: Array<[number, string]>;
}

/** The fixture is scraped once a minute; the data source is told so, as provisioning would. */
const SCRAPE_SECONDS = 60;

export class Prometheus extends RuntimeDataSource<Query> {
  constructor(private readonly url: string) {
    super('prometheus', 'preview');
    Object.assign(this, { name: 'Prometheus' });
  }

  override async query(request: DataQueryRequest<Query>): Promise<DataQueryResponse> {
    try {
      const targets = request.targets.filter((target) => !target.hide);
      const answers = await Promise.all(targets.map((target) => this.ask(target, request, targets.length > 1)));
      return { data: answers.flat() };
    } catch (error) {
      return { data: [], error: { message: String(error) } };
    }
  }

  override async metricFindQuery(query: string | { query: string }, options?: { scopedVars?: ScopedVars; range?: TimeRange }): Promise<MetricFindValue[]> {
    const text = interpolate(typeof query === 'string' ? query : query.query, options?.scopedVars ?? {}, 0, options?.range);
    const found = /^label_values\((?:(.*),\s*)?(\w+)\)$/.exec(text);
    if (!found) {
      throw new Error(`not understood: ${text}`);
    }
    const [, selector, label] = found;
    const parameters: Record<string, string> = selector ? { 'match[]': selector } : {};
    if (options?.range) {
      parameters.start = String(options.range.from.unix());
      parameters.end = String(options.range.to.unix());
    }
    const values = await this.get<string[]>(`label/${label}/values`, parameters);
    return values.map((value) => ({ text: value }));
  }

  private async ask(target: Query, request: DataQueryRequest<Query>, several: boolean): Promise<DataFrame[]> {
    const step = Math.max(Math.ceil(request.intervalMs / 1000), SCRAPE_SECONDS);
    const query = interpolate(target.expr, request.scopedVars, step, request.range);
    const [start, end] = [request.range.from.unix(), request.range.to.unix()];
    const answer = target.instant
      ? await this.get<{ result: Series[] }>('query', { query, time: String(end) })
      : await this.get<{ result: Series[] }>('query_range', { query, start: String(start), end: String(end), step: String(step) });
    if (target.format === 'table') {
      return [table(target, answer.result, several)];
    }
    const frames = answer.result.map((series) => frame(target, series, step));
    return target.format === 'heatmap' ? buckets(frames) : frames;
  }

  private async get<T>(path: string, parameters: Record<string, string>): Promise<T> {
    const response = await fetch(`${this.url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const answer = await response.json();
    if (answer.status !== 'success') {
      throw new Error(answer.error);
    }
    return answer.data;
  }
}

function interpolate(text: string, scoped: ScopedVars, step: number, range?: TimeRange): string {
  const rate = `${Math.max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)}s`;
  const whole = range ? range.to.unix() - range.from.unix() : 0;
  const expanded = text.replaceAll('$__rate_interval', rate).replaceAll('$__interval', `${step}s`)
    .replaceAll('$__range_s', String(whole)).replaceAll('$__range', `${whole}s`);
  const scene = scoped.__sceneObject?.value.valueOf() as SceneObject | undefined;
  return scene ? sceneGraph.interpolate(scene, expanded, scoped, written) : expanded;
}

/** As Grafana's data source writes a variable into a query: as a pattern only where it may be several values. */
function written(value: unknown, variable: { multi?: boolean; includeAll?: boolean }): string {
  if (!variable.multi && !variable.includeAll) {
    return String(value);
  }
  const escape = (text: unknown) => String(text).replace(/[\\^$*+?.()|[\]{}]/g, '\\\\$&');
  return Array.isArray(value) ? (value.length === 1 ? escape(value[0]) : `(${value.map(escape).join('|')})`) : escape(value);
}

function named(target: Query, metric: Record<string, string>): string {
  if (target.legendFormat && target.legendFormat !== '__auto') {
    return target.legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? '');
  }
  const labels = Object.entries(metric).filter(([label]) => label !== '__name__');
  return labels.length > 0 ? labels.map(([, value]) => value).join(' ') : target.expr;
}

function frame(target: Query, series: Series, step: number): DataFrame {
  const points = series.values ?? (series.value ? [series.value] : []);
  const times: number[] = [];
  const values: Array<number | null> = [];
  for (const [time, value] of points) {
    // a gap in the data is a gap in the line
    const before = times.at(-1);
    if (before !== undefined && time * 1000 - before > step * 1500) {
      times.push(before + step * 1000);
      values.push(null);
    }
    times.push(time * 1000);
    values.push(Number.isNaN(Number(value)) && !value.includes('Inf') ? null : Number(value.replace('Inf', 'Infinity')));
  }
  const name = named(target, series.metric);
  return {
    name, refId: target.refId, length: times.length,
    fields: [
      { name: 'Time', type: FieldType.time, config: { interval: step * 1000 }, values: times },
      { name: 'Value', type: FieldType.number, config: { displayNameFromDS: name }, labels: series.metric, values },
    ],
  };
}

function table(target: Query, result: Series[], several: boolean): DataFrame {
  const labels = [...new Set(result.flatMap((series) => Object.keys(series.metric)))].filter((label) => label !== '__name__').sort();
  return {
    refId: target.refId, length: result.length,
    fields: [
      { name: 'Time', type: FieldType.time, config: {}, values: result.map((series) => (series.value?.[0] ?? 0) * 1000) },
      ...labels.map((label) => ({ name: label, type: FieldType.string, config: {}, values: result.map((series) => series.metric[label] ?? '') })),
      { name: several ? `Value #${target.refId}` : 'Value', type: FieldType.number, config: {}, values: result.map((series) => Number(series.value?.[1])) },
    ],
  };
}

/** Cumulative buckets, in order and one less the one below it. */
function buckets(frames: DataFrame[]): DataFrame[] {
  const bound = (one: DataFrame) => Number((one.fields[1].labels?.le ?? '').replace('+Inf', 'Infinity'));
  const sorted = [...frames].sort((one, other) => bound(one) - bound(other));
  return sorted.map((one, place) => {
    const below = new Map(place > 0 ? sorted[place - 1].fields[0].values.map((time, at) => [time, sorted[place - 1].fields[1].values[at]]) : []);
    const values = one.fields[1].values.map((value, at) => Math.max(0, value - (below.get(one.fields[0].values[at]) ?? 0)));
    return { ...one, meta: { type: DataFrameType.HeatmapRows }, fields: [one.fields[0], { ...one.fields[1], values }] };
  });
}
