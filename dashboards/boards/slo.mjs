// Whether the objective is kept, how fast the budget goes, and what so few probes can prove.

import { ask, BAD, bars, dashboard, GOOD, lines, MUTED, outcomeColours, ranking, stat, steps, variables, WARN, watched } from './parts.mjs';
import { delivered } from './overview.mjs';

const v = variables;
const counted = (window, more) => `sum(increase(mailsonar_probes_total{${watched},${more}}[${window}]))`;
const bad = (window) => counted(window, 'outcome!~"delivered|unknown"');
const judged = (window) => counted(window, 'outcome!="unknown"');
const burn = (window) => `${bad(window)} / (${judged(window)} > 0) / (1 - $objective)`;
const share = { defaults: { min: 0, max: 1, decimals: 2, thresholds: steps(BAD, [0.99, WARN], [0.999, GOOD]), color: { mode: 'thresholds' } } };

export const slo = dashboard('mailsonar-slo', 'Mailsonar: SLO',
  'Whether the objective is kept, how fast the error budget goes, and what so few probes can prove.',
  [v.datasource, v.source, v.instance, v.service, v.region, v.route, v.objective], [
    stat('Good', 'Probes that arrived in time, among those with a verdict, in the time shown.', 'percentunit', delivered('$__range'), steps(BAD, [0.99, WARN], [0.999, GOOD]),
      { size: [5, 4], defaults: { decimals: 3 } }),
    stat('Bad probes', 'Probes with a bad verdict in the time shown.', 'short', `round(${bad('$__range')})`, steps(GOOD, [1, WARN]), { size: [5, 4] }),
    stat('A month\'s budget, spent', 'Bad probes in the time shown, as a share of all that 30 days allow at this rate of probing.', 'percentunit',
      `${bad('$__range')} / ((${judged('$__range')} > 0) * (30 * 86400 / $__range_s) * (1 - $objective))`, steps(GOOD, [0.1, WARN], [1, BAD]), { size: [5, 4], defaults: { decimals: 1 } }),
    stat('Burn, last hour', 'How many times faster than the objective allows the budget was spent in the last hour. Above 14.4 somebody is paged.', 'short', burn('1h'),
      steps(GOOD, [1, WARN], [14.4, BAD]), { size: [5, 4], defaults: { decimals: 1 } }),
    stat('Resolution', 'Even without a single failure so many probes prove no more than this availability (about 1 - 3/n, at 95 % confidence).', 'percentunit',
      `1 - 3 / (${judged('$__range')} > 0)`, steps(MUTED), { size: [4, 4], defaults: { decimals: 3 } }),
    lines('Burn rate', 'How many times faster than the objective allows the budget is spent, over an hour and over six. The lines are where somebody is paged.', 'short',
      [ask(burn('1h'), 'one hour'), ask(burn('6h'), 'six hours')], [24, 9],
      { look: { fillOpacity: 0, thresholdsStyle: { mode: 'line' }, scaleDistribution: { type: 'log', log: 10 } }, defaults: { min: 0.1, thresholds: steps('transparent', [6, WARN], [14.4, BAD]) } }),
    bars('Bad probes, by verdict', 'What spends the budget, per minute.', ask(`60 * sum by (outcome) (rate(mailsonar_probes_total{${watched},outcome!~"delivered|unknown"}[$__rate_interval])) > 0`, '{{outcome}}'), [12, 9],
      { overrides: outcomeColours }),
    lines('Good', 'Probes that arrived in time, among those with a verdict, over an hour.', 'percentunit', ask(delivered('1h', ' by (service)'), '{{service}}'), [12, 9], { defaults: { max: 1 } }),
    ranking('By route', 'Good probes among those with a verdict, in the time shown.', 'percentunit', ask(`sort(${delivered('$__range', ' by (route)')})`, '{{route}}', { instant: true }), [12, 7], share),
    ranking('By region', 'Good probes among those with a verdict, in the time shown.', 'percentunit', ask(`sort(${delivered('$__range', ' by (region)')})`, '{{region}}', { instant: true }), [12, 7], share),
  ]);
