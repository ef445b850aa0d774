// The panels: Grafana's own components where its packages have them, and two stand-ins.

import { type DisplayValue, type FieldDisplay, getDisplayValueAlignmentFactors, getFieldDisplayValues, type PanelProps, VizOrientation } from '@grafana/data';
import { BarGauge, BigValue, Table, TimeSeries, TooltipPlugin, useTheme2, VizRepeater } from '@grafana/ui';
import type { ComponentProps, ReactNode } from 'react';
import { Heatmap } from './heatmap';
import { register } from './plugin';
import { StateTimeline } from './statetimeline';

type Options = Record<string, any>;

function TimeSeriesPanel({ data, timeRange, timeZone, width, height, options }: PanelProps<Options>) {
  return (
    <TimeSeries frames={data.series} timeRange={timeRange} timeZone={timeZone} width={width} height={height} legend={options.legend} options={options}>
      {(config: any, frame: any) => <TooltipPlugin config={config} data={frame} mode={options.tooltip?.mode ?? 'multi'} timeZone={timeZone} />}
    </TimeSeries>
  );
}

/** Values drawn one beside the other, which is what stat and bar gauge have in common. */
function Repeated({ data, width, height, options, replaceVariables, fieldConfig, timeZone, render }: PanelProps<Options> & {
  render: (value: FieldDisplay, width: number, height: number, all: FieldDisplay[]) => ReactNode;
}) {
  const theme = useTheme2();
  const values = getFieldDisplayValues({
    fieldConfig, reduceOptions: options.reduceOptions, replaceVariables, theme, data: data.series, sparkline: options.graphMode !== 'none', timeZone,
  });
  return (
    <VizRepeater
      getValues={() => values} source={data} width={width} height={height} itemSpacing={3} renderCounter={0} autoGrid
      orientation={options.orientation ?? VizOrientation.Auto}
      renderValue={({ value, width, height }: any) => <>{render(value, width, height, values)}</>}
    />
  );
}

function StatPanel(props: PanelProps<Options>) {
  const theme = useTheme2();
  const { options } = props;
  return (
    <Repeated {...props} render={(value, width, height, all) => (
      <BigValue
        value={value.display as DisplayValue} width={width} height={height} theme={theme} sparkline={value.sparkline as ComponentProps<typeof BigValue>['sparkline']}
        count={all.length} colorMode={options.colorMode} graphMode={options.graphMode} justifyMode={options.justifyMode} textMode={options.textMode}
        alignmentFactors={getDisplayValueAlignmentFactors(all)} hasLinks={false}
      />
    )} />
  );
}

function BarGaugePanel(props: PanelProps<Options>) {
  const theme = useTheme2();
  return (
    <Repeated {...props} render={(value, width, height, all) => (
      <BarGauge
        value={value.display} width={width} height={height} field={value.field} theme={theme} orientation={props.options.orientation}
        displayMode={props.options.displayMode} showUnfilled={props.options.showUnfilled} itemSpacing={3} alignmentFactors={getDisplayValueAlignmentFactors(all)}
        valueDisplayMode={props.options.valueMode}
      />
    )} />
  );
}

function TablePanel({ data, width, height, options }: PanelProps<Options>) {
  const frame = data.series[0];
  return frame ? <Table data={frame} width={width} height={height} initialSortBy={options.sortBy} /> : null;
}

export function registerPanels(): void {
  register('timeseries', TimeSeriesPanel, {
    drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, lineStyle: { fill: 'solid' }, fillOpacity: 0, gradientMode: 'none', spanNulls: false,
    showPoints: 'auto', pointSize: 5, barAlignment: 0, stacking: { mode: 'none', group: 'A' }, axisPlacement: 'auto', axisLabel: '', axisSoftMin: undefined,
    axisSoftMax: undefined, scaleDistribution: { type: 'linear' }, thresholdsStyle: { mode: 'off' }, hideFrom: { viz: false, legend: false, tooltip: false },
  });
  register('stat', StatPanel);
  register('bargauge', BarGaugePanel);
  register('table', TablePanel, { align: 'auto', cellOptions: { type: 'auto' }, width: undefined, filterable: false, inspect: false, hidden: false });
  register('heatmap', Heatmap, { hideFrom: { viz: false, legend: false, tooltip: false }, scaleDistribution: { type: 'linear' } });
  register('state-timeline', StateTimeline, { lineWidth: 0, fillOpacity: 70, hideFrom: { viz: false, legend: false, tooltip: false } });
}
