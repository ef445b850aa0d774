// What is broken, since when, and how the backlog drains.

import { ask, BAD, bars, dashboard, GOOD, lines, MUTED, stat, steps, variables, WARN, watched } from './parts.mjs';
import { legs, missing } from './overview.mjs';

const v = variables;

export const incidents = dashboard('mailsonar-incidents', 'Mailsonar: incidents and backlog',
  'What is broken, since when, and how the backlog drains.',
  [v.datasource, v.source, v.instance, v.service, v.region, v.route], [
    stat('Open incidents', 'Incidents that the collector has open now.', 'short', 'sum(max by (service, leg) (mailsonar_incident_open{service=~"$service"}))',
      steps(GOOD, [1, BAD]), { colorMode: 'background', size: [6, 4] }),
    stat('Missing now', 'Probes that were found lost and have not turned up since.', 'short', missing(), steps(GOOD, [1, BAD]), { size: [6, 4] }),
    stat('Most missing', 'The highest number of probes that were missing at once, in the time shown.', 'short', `max_over_time((${missing()})[$__range:1m])`,
      steps(MUTED), { size: [6, 4] }),
    stat('Turned up late', 'Probes that were found lost and arrived after all, in the time shown.', 'short',
      `round(sum(increase(mailsonar_probes_revised_total{${watched},from="lost",to="late"}[$__range])))`, steps(MUTED), { size: [6, 4] }),
    legs,
    lines('Backlog', 'Probes that the service accepted, that were found lost, and that have not turned up yet. When the line is down at nought, it is over.', 'short',
      ask(missing(' by (route)'), '{{route}}'), [12, 9], { look: { fillOpacity: 30, stacking: { mode: 'normal', group: 'A' } }, defaults: { decimals: 0 } }),
    bars('Turning up', 'Lost probes that arrived late, per minute: how fast the backlog drains.',
      ask(`60 * sum by (route) (rate(mailsonar_probes_revised_total{${watched},from="lost",to="late"}[$__rate_interval])) > 0`, '{{route}}'), [12, 9]),
    bars('Failures, by step and kind', 'Probes whose first verdict was not good, per minute: where they failed, and how.',
      ask(`60 * sum by (stage, class) (rate(mailsonar_failures_total{${watched}}[$__rate_interval])) > 0`, '{{stage}}: {{class}}'), [12, 9]),
    bars('Failures, by region', 'The same, by the place they were sent from: all regions alike is the service, one alone its path.',
      ask(`60 * sum by (region) (rate(mailsonar_failures_total{${watched}}[$__rate_interval])) > 0`, '{{region}}'), [12, 9]),
    lines('Under way', 'Probes without a verdict. They pile up before the first is found lost.', 'short',
      ask(`sum by (route) (mailsonar_in_flight{${watched}})`, '{{route}}'), [12, 8], { defaults: { decimals: 0 } }),
    lines('Oldest under way', 'How long the oldest probe without a verdict has been waited for.', 's',
      ask(`max by (region) (mailsonar_oldest_in_flight_seconds{${watched}})`, '{{region}}'), [12, 8]),
    lines('Pages', 'Attempts to deliver a page since the collector\'s start, by notifier and result.', 'short', ask('sum by (notifier, result) (mailsonar_notifications_total)', '{{notifier}}: {{result}}'), [12, 8], { look: { lineInterpolation: 'stepAfter' } }),
    lines('Extra copies', 'Messages that arrived more than once, as they do after a failover: how many since the start.', 'short', ask(`sum by (route) (mailsonar_duplicates_total{${watched}})`, '{{route}}'), [12, 8], { look: { lineInterpolation: 'stepAfter' } }),
  ]);
