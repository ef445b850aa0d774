// A stand-in for Grafana's heatmap, which is on no package registry: buckets by time, darker where there is more.

import { formattedValueToString, getValueFormat, type PanelProps } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';
import { TimeAxis } from './axis';

const [LEFT, BOTTOM] = [72, 22];

const bound = (le: string) => formattedValueToString(getValueFormat('s')(Number(le)));

export function Heatmap({ data, timeRange, width, height }: PanelProps) {
  const theme = useTheme2();
  const used = data.series.filter((frame) => frame.fields[1].values.some((value) => value > 0));
  const first = data.series.indexOf(used[0]);
  const rows = data.series.slice(first, data.series.indexOf(used[used.length - 1]) + 1);
  const most = Math.max(...rows.flatMap((frame) => [...frame.fields[1].values]));
  const [from, to] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  const step = rows[0]?.fields[0].config.interval ?? 60_000;
  const [w, h] = [width - LEFT, height - BOTTOM];
  const cell = { width: Math.max(1, (step / (to - from)) * w), height: h / Math.max(1, rows.length) };
  return (
    <svg width={width} height={height}>
      {rows.map((frame, row) => {
        const y = h - (row + 1) * cell.height;
        const times = frame.fields[0].values;
        return (
          <g key={frame.name}>
            {row % Math.ceil(rows.length / 10) === 0 && (
              <text x={LEFT - 6} y={y + 4} textAnchor="end" fontSize={12} fill={theme.colors.text.secondary}>{bound(frame.name ?? '')}</text>
            )}
            {frame.fields[1].values.map((value: number, place: number) => value > 0 && (
              <rect
                key={times[place]} x={LEFT + ((times[place] - step - from) / (to - from)) * w} y={y} width={cell.width} height={cell.height - 1}
                fill={theme.visualization.getColorByName('orange')} fillOpacity={0.2 + 0.8 * Math.sqrt(value / most)}
              />
            ))}
          </g>
        );
      })}
      <TimeAxis range={timeRange} left={LEFT} width={w} top={height - 6} />
    </svg>
  );
}
