// Does mail flow? By leg, by route and region, and what went wrong where.

import { ask, BAD, bars, dashboard, field, GOOD, lane, meanings, MUTED, outcomeColours, stat, states, steps, table, variables, WARN, watched } from './parts.mjs';

const v = variables;
const judged = (window, by, more = '') => `sum${by} (increase(mailsonar_probes_total{${watched},outcome!="unknown"${more}}[${window}]))`;
export const delivered = (window, by = '') => `${judged(window, by, ',outcome="delivered"')} / (${judged(window, by)} > 0)`;
export const missing = (by = '') =>
  `sum${by} (mailsonar_probes_total{${watched},outcome="lost"}) - sum${by} (mailsonar_probes_revised_total{${watched},from="lost"})`;
export const legs = states('Incidents by service and leg', 'Red while the collector has an incident open: from the decision until the last missing mail is there.', 'short',
  ask('max by (service, leg) (mailsonar_incident_open{service=~"$service"})', '{{service}} {{leg}}'), [24, 5],
  { defaults: { mappings: meanings({ 0: ['well', GOOD], 1: ['incident', BAD] }), thresholds: steps(GOOD, [1, BAD]) } });

export const overview = dashboard('mailsonar-overview', 'Mailsonar: overview',
  'Does mail flow? By leg, by route and region, and what went wrong where.',
  [v.datasource, v.source, v.instance, v.service, v.region, v.route], [
    stat('Open incidents', 'Incidents that the collector has open now.', 'short', 'sum(max by (service, leg) (mailsonar_incident_open{service=~"$service"}))',
      steps(GOOD, [1, BAD]), { colorMode: 'background' }),
    stat('Delivered', 'Probes that arrived in time, among those with a verdict, in the time shown. Control routes are left out.', 'percentunit', delivered('$__range'),
      steps(BAD, [0.99, WARN], [0.999, GOOD]), { defaults: { decimals: 2 } }),
    stat('Missing now', 'Probes that were found lost and have not turned up since.', 'short', missing(), steps(GOOD, [1, BAD])),
    stat('Under way', 'Probes that were sent and have no verdict yet.', 'short', `sum(mailsonar_in_flight{${watched}})`, steps(MUTED)),
    stat('Latency p95', 'From acceptance until visible in the mailbox: 95 of 100 delivered probes were faster, in the time shown.', 's',
      `histogram_quantile(0.95, sum by (le) (increase(mailsonar_delivery_latency_seconds_bucket{${watched}}[$__range])))`,
      steps(GOOD, [30, WARN], [60, BAD]), { defaults: { decimals: 1 } }),
    stat('Agents heard', 'Agents that the collector has heard of within the last minute.', 'short',
      'count(max by (agent) (time() - mailsonar_agent_last_heartbeat_timestamp_seconds) < 60)', steps(BAD, [1, GOOD])),
    legs,
    states('Delivered, by route and region', 'The share of probes that arrived in time. Control routes never touch the service: where they fail, it is the monitor\'s own network.', 'percentunit',
      ask(`sum by (route, region) (increase(mailsonar_probes_total{${lane},outcome="delivered"}[$__rate_interval])) / (sum by (route, region) (increase(mailsonar_probes_total{${lane},outcome!="unknown"}[$__rate_interval])) > 0)`, '{{route}} {{region}}'),
      [24, 12], { defaults: { min: 0, max: 1, decimals: 0, thresholds: steps(BAD, [0.5, WARN], [0.95, GOOD]) } }),
    bars('Verdicts', 'First verdicts on probes, per minute.', ask(`60 * sum by (outcome) (rate(mailsonar_probes_total{${watched}}[$__rate_interval])) > 0`, '{{outcome}}'), [12, 9],
      { overrides: outcomeColours }),
    bars('Failures, by step and kind', 'Probes whose first verdict was not good, per minute: where they failed, and how.',
      ask(`60 * sum by (stage, class) (rate(mailsonar_failures_total{${watched}}[$__rate_interval])) > 0`, '{{stage}}: {{class}}'), [12, 9]),
    table('Routes', 'Each route from each region in the time shown.', 'short', [
      `sum by (route, region) (increase(mailsonar_probes_total{${lane},outcome="delivered"}[$__range])) / (sum by (route, region) (increase(mailsonar_probes_total{${lane},outcome!="unknown"}[$__range])) > 0)`,
      `round(sum by (route, region) (increase(mailsonar_probes_total{${lane},outcome!~"delivered|unknown"}[$__range])))`,
      `time() - max by (route, region) (mailsonar_last_delivered_timestamp_seconds{${lane}} > 0)`,
    ], [24, 16], { route: 'Route', region: 'Region', 'Value #A': 'Delivered', 'Value #B': 'Failures', 'Value #C': 'Last delivery, ago' }, {
      overrides: [
        field('Delivered', { unit: 'percentunit', decimals: 2, thresholds: steps(BAD, [0.99, WARN], [0.999, GOOD]), color: { mode: 'thresholds' }, 'custom.cellOptions': { type: 'color-text' } }),
        field('Failures', { unit: 'short', decimals: 0 }),
        field('Last delivery, ago', { unit: 's', decimals: 0 }),
      ],
    }),
  ]);
