// How long mail takes: its spread, its quantiles, its steps.

import { ask, dashboard, GOOD, heatmap, lines, MUTED, ranking, stat, steps, variables, WARN, watched, BAD } from './parts.mjs';

const v = variables;
const bucket = (window, by = '') => `sum by (le${by}) (rate(mailsonar_delivery_latency_seconds_bucket{${watched}}[${window}]))`;
const quantile = (q, by) => `histogram_quantile(${q}, ${bucket('$__rate_interval', by)})`;

export const latency = dashboard('mailsonar-latency', 'Mailsonar: latency',
  'From acceptance until visible in the mailbox, of delivered and late probes; failures never enter it.',
  [v.datasource, v.source, v.instance, v.service, v.region, v.route], [
    ...[['Median', 0.5], ['p95', 0.95], ['p99', 0.99]].map(([title, q]) =>
      stat(title, `${q * 100} of 100 probes that arrived in the time shown were no slower.`, 's', `histogram_quantile(${q}, ${bucket('$__range')})`,
        steps(GOOD, [30, WARN], [60, BAD]), { size: [6, 4], defaults: { decimals: 2 } })),
    stat('Arrived', 'Probes whose latency is known, in the time shown.', 'short', `round(sum(increase(mailsonar_delivery_latency_seconds_count{${watched}}[$__range])))`,
      steps(MUTED), { size: [6, 4] }),
    heatmap('Spread', 'How many probes took how long. The darker, the more. After an outage a slope of late mail comes down from above.', 's',
      `60 * sum by (le) (rate(mailsonar_delivery_latency_seconds_bucket{${watched}}[$__rate_interval]))`, [24, 10]),
    lines('Quantiles', 'Half, 95 and 99 of 100 probes were no slower. The scale is logarithmic.', 's',
      [ask(quantile(0.5), 'median'), ask(quantile(0.95), 'p95'), ask(quantile(0.99), 'p99')], [12, 9],
      { look: { fillOpacity: 0, scaleDistribution: { type: 'log', log: 10 } }, defaults: { min: 0.1 } }),
    lines('p95, by region', 'One region alone that is slow has a slow path; all of them, a slow service.', 's',
      ask(quantile(0.95, ', region'), '{{region}}'), [12, 9], { look: { fillOpacity: 0, scaleDistribution: { type: 'log', log: 10 } }, defaults: { min: 0.1 } }),
    lines('Steps, p95', 'Each timed step of handing a probe over and of fetching it, those that went well.', 's',
      ask(`histogram_quantile(0.95, sum by (le, stage) (rate(mailsonar_stage_seconds_bucket{${watched}}[$__rate_interval])))`, '{{stage}}'), [12, 10], { look: { fillOpacity: 0 } }),
    ranking('Steps, on average', 'Where the time goes before the service has accepted a probe, and after it is there.', 's',
      ask(`sort_desc(sum by (stage) (increase(mailsonar_stage_seconds_sum{${watched}}[$__range])) / (sum by (stage) (increase(mailsonar_stage_seconds_count{${watched}}[$__range])) > 0))`, '{{stage}}', { instant: true }),
      [12, 10], { defaults: { min: 0, decimals: 0, color: { mode: 'fixed', fixedColor: 'blue' }, thresholds: steps('blue') } }),
  ]);
