// The time axis of the stand-ins.

import { dateTimeFormat, type TimeRange } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';

const HOUR = 3_600_000;

export function TimeAxis({ range, left, width, top }: { range: TimeRange; left: number; width: number; top: number }) {
  const theme = useTheme2();
  const [from, to] = [range.from.valueOf(), range.to.valueOf()];
  const step = (to - from) / HOUR > 3 ? HOUR : HOUR / 4;
  const ticks: number[] = [];
  for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) {
    ticks.push(tick);
  }
  return ticks.map((tick) => (
    <text key={tick} x={left + ((tick - from) / (to - from)) * width} y={top} textAnchor="middle" fontSize={12} fill={theme.colors.text.secondary}>
      {dateTimeFormat(tick, { format: 'HH:mm', timeZone: 'utc' })}
    </text>
  ));
}
