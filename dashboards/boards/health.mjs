// Whether the monitor itself is well: agents, mailboxes, clocks, the way to the collector, pages, certificates.

import { ask, BAD, bars, dashboard, field, GOOD, lines, meanings, stat, states, steps, table, variables, WARN } from './parts.mjs';

const v = variables;
const region = 'region=~"$region"';
const heartbeat = `max by (agent, region) (time() - (mailsonar_agent_last_heartbeat_timestamp_seconds{${region}} > 0))`;

export const health = dashboard('mailsonar-health', 'Mailsonar: the monitor\'s own health',
  'Whether the monitor itself is well: agents, mailboxes, clocks, the way to the collector, pages, certificates.',
  [v.datasource, v.region], [
    stat('Agents heard', 'Agents that the collector has heard of within the last minute.', 'short', `count(${heartbeat} < 60)`, steps(BAD, [1, GOOD])),
    stat('Targets down', 'Agents and collectors that Prometheus cannot reach.', 'short',
      'count(max_over_time(mailsonar_build_info[1d])) - sum(up * on (job, instance) group_left () max by (job, instance) (max_over_time(mailsonar_build_info[1d])))', steps(GOOD, [1, BAD])),
    stat('Not yet shipped', 'Records that agents have and the collector has not acknowledged.', 'short', `sum(max by (region) (mailsonar_ship_pending{${region}} or mailsonar_ship_pending))`, steps(GOOD, [1000, WARN])),
    stat('Turns missed', 'Scheduled probes that were not sent, in the time shown.', 'short', `round(sum(max by (region) (increase(mailsonar_schedule_missed_total{${region}}[$__range]))))`, steps(GOOD, [1, WARN])),
    stat('Pages not taken', 'Attempts to page that failed, in the time shown.', 'short', 'round(sum(increase(mailsonar_notifications_total{result!="delivered"}[$__range])))', steps(GOOD, [1, BAD])),
    stat('Store errors', 'Jobs that failed because the collector\'s store could not be used, in the time shown.', 'short', 'round(sum(increase(mailsonar_store_errors_total[$__range])))', steps(GOOD, [1, BAD])),
    table('Agents', 'As the collector knows them.', 'short', [
      heartbeat, `max by (agent, region) (mailsonar_agent_clock_offset_seconds{${region}})`, `max by (agent, region) (mailsonar_ship_pending{${region},agent!=""})`,
    ], [14, 7], { agent: 'Agent', region: 'Region', 'Value #A': 'Heard, ago', 'Value #B': 'Clock offset', 'Value #C': 'Not yet shipped' }, {
      overrides: [
        field('Heard, ago', { unit: 's', decimals: 0, thresholds: steps(GOOD, [60, WARN], [120, BAD]), color: { mode: 'thresholds' }, 'custom.cellOptions': { type: 'color-text' } }),
        field('Clock offset', { unit: 's', decimals: 3 }),
      ],
    }),
    table('Certificates', 'The certificate last shown to an agent at each endpoint, and when it ends.', 's', [
      `min by (endpoint, service) (mailsonar_tls_certificate_expiry_timestamp_seconds{${region}} > 0) - time()`,
    ], [10, 7], { endpoint: 'Endpoint', service: 'Service', Value: 'Ends in' }, {
      overrides: [field('Ends in', { unit: 's', decimals: 0, thresholds: steps(BAD, [14 * 86400, GOOD]), color: { mode: 'thresholds' }, 'custom.cellOptions': { type: 'color-text' } })],
    }),
    states('Mailboxes', 'Whether each agent can look into its mailboxes. While it cannot, probes are unknown, not lost.', 'short',
      ask(`max by (account, region) (mailsonar_mailbox_up{${region}})`, '{{account}} {{region}}'), [12, 8],
      { defaults: { mappings: meanings({ 0: ['shut', BAD], 1: ['open', GOOD] }), thresholds: steps(BAD, [1, GOOD]) } }),
    states('Control routes', 'Between reference accounts, never touching the service: where they fail, the region has trouble of its own and no voice.', 'percentunit',
      ask(`sum by (region) (increase(mailsonar_probes_total{${region},direction="control",outcome="delivered"}[$__rate_interval])) / (sum by (region) (increase(mailsonar_probes_total{${region},direction="control"}[$__rate_interval])) > 0)`, '{{region}}'), [12, 8],
      { defaults: { min: 0, max: 1, decimals: 0, thresholds: steps(BAD, [0.5, WARN], [0.95, GOOD]) } }),
    lines('Silence', 'How long the collector has not heard of each agent.', 's', ask(heartbeat, '{{agent}}'), [12, 8]),
    lines('Not yet shipped', 'Records that an agent has and the collector has not acknowledged. They pile up while the way is shut, and drain after.', 'short',
      ask('mailsonar_ship_pending{agent=""}', '{{instance}}'), [12, 8], { defaults: { decimals: 0 } }),
    bars('Batches', 'What agents posted per minute, by the collector\'s answer.', ask('60 * sum by (result) (rate(mailsonar_ingest_batches_total[$__rate_interval]))', '{{result}}'), [12, 8]),
    lines('Pages', 'Attempts to deliver a page since the collector\'s start, by notifier and result.', 'short', ask('sum by (notifier, result) (mailsonar_notifications_total)', '{{notifier}}: {{result}}'), [12, 8], { look: { lineInterpolation: 'stepAfter' } }),
  ]);
