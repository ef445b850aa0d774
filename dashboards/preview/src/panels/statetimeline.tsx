// A stand-in for Grafana's state timeline, which is on no package registry: a row a series, a bar a state.

import { getFieldDisplayName, type PanelProps } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';
import { TimeAxis } from './axis';

const BOTTOM = 22;

export function StateTimeline({ data, timeRange, width, height, options }: PanelProps<Record<string, any>>) {
  const theme = useTheme2();
  const rows = data.series.map((frame) => ({ frame, field: frame.fields[1], name: getFieldDisplayName(frame.fields[1], frame, data.series) }));
  const left = Math.min(width / 3, Math.max(...rows.map(({ name }) => name.length * 7.2), 20) + 12);
  const [from, to] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  const [w, h] = [width - left - 8, (height - BOTTOM) / Math.max(1, rows.length)];
  const at = (time: number) => left + (Math.min(Math.max(time, from), to) - from) / (to - from) * w;
  const thick = h * (options.rowHeight ?? 0.9);
  return (
    <svg width={width} height={height}>
      {rows.map(({ frame, field, name }, row) => {
        const times = frame.fields[0].values;
        const y = row * h + (h - thick) / 2;
        const starts = times.map((_, place) => place).filter((place) => place === 0 || field.values[place] !== field.values[place - 1]);
        return (
          <g key={name}>
            <text x={left - 8} y={row * h + h / 2 + 4} textAnchor="end" fontSize={12} fill={theme.colors.text.primary}>{name}</text>
            {starts.map((start, place) => {
              const value = field.values[start];
              if (value === null) {
                return null;
              }
              const end = place + 1 < starts.length ? times[starts[place + 1]] : times[times.length - 1];
              const [x, wide] = [at(times[start]), at(end) - at(times[start])];
              const shown = field.display?.(value);
              return (
                <g key={start}>
                  <rect x={x} y={y} width={wide} height={thick} fill={shown?.color} fillOpacity={0.75} />
                  {options.showValue !== 'never' && wide > 8 * (shown?.text.length ?? 0) && (
                    <text x={x + 4} y={y + thick / 2 + 4} fontSize={12} fill={theme.colors.text.primary}>{shown?.text}</text>
                  )}
                </g>
              );
            })}
          </g>
        );
      })}
      <TimeAxis range={timeRange} left={left} width={w} top={height - 6} />
    </svg>
  );
}
