// What Grafana's own server would have set up before a dashboard is drawn: registries, services, theme.

import {
  type DataQueryRequest, type DataSourceApi, displayNameOverrideProcessor, EventBusSrv, identityOverrideProcessor, LoadingState,
  numberOverrideProcessor, type PanelData,   standardEditorsRegistry, standardFieldConfigEditorRegistry, standardTransformers, standardTransformersRegistry,
  thresholdsOverrideProcessor, unitOverrideProcessor, valueMappingsOverrideProcessor,
} from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { config, locationService, setAppEvents, setDataSourceSrv, setLocationSrv, setPluginImportUtils, setRunRequest } from '@grafana/runtime';
import { from, map, startWith } from 'rxjs';

export async function boot(source: DataSourceApi): Promise<void> {
  await initPluginTranslations('grafana', []);
  config.featureToggles = {};
  standardEditorsRegistry.setInit(() => []);
  standardFieldConfigEditorRegistry.setInit(fieldOptions);
  standardTransformersRegistry.setInit(() =>
    [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map((transformation) => ({
      id: transformation.id, name: transformation.name, transformation: async () => transformation, editor: () => null, imageDark: '', imageLight: '',
    })) as never[]);
  setAppEvents(new EventBusSrv());
  setLocationSrv(locationService as never);
  const settings = { ...source.meta, uid: source.uid, name: source.name, type: source.type, meta: source.meta, isDefault: true };
  setDataSourceSrv({
    get: async () => source,
    getList: () => [settings],
    getInstanceSettings: () => settings,
  } as never);
  // every panel is registered with scenes: see panels/
  setPluginImportUtils({ importPanelPlugin: (id) => Promise.reject(new Error(`no panel is called ${id}`)), getPanelPluginFromCache: () => undefined });
  setRunRequest((api, request) => run(api, request));
}

/** The options that every field has: how a value from the JSON is taken over. Nobody edits here. */
function fieldOptions() {
  const processors = {
    displayName: displayNameOverrideProcessor, unit: unitOverrideProcessor, min: numberOverrideProcessor, max: numberOverrideProcessor,
    decimals: numberOverrideProcessor, noValue: identityOverrideProcessor, color: identityOverrideProcessor,
    thresholds: thresholdsOverrideProcessor, mappings: valueMappingsOverrideProcessor, links: identityOverrideProcessor,
  };
  return Object.entries(processors).map(([id, process]) =>
    ({ id, path: id, name: id, description: '', editor: () => null, override: () => null, process, shouldApply: () => true })) as never[];
}

/** One request, without the caching and streaming that only a live dashboard needs. */
function run(source: DataSourceApi, request: DataQueryRequest) {
  const data = (state: LoadingState, rest: Partial<PanelData>): PanelData =>
    ({ state, series: [], timeRange: request.range, request, ...rest });
  return from(source.query(request)).pipe(
    map((answer) => answer.error
      ? data(LoadingState.Error, { error: answer.error, errors: [answer.error] })
      : data(LoadingState.Done, { series: answer.data })),
    startWith(data(LoadingState.Loading, {})),
  );
}
