// A panel as a plugin that scenes can load.

import { identityOverrideProcessor, PanelPlugin, type PanelProps } from '@grafana/data';
import { sceneUtils } from '@grafana/scenes';
import type { ComponentType } from 'react';

/** Registers a panel; `custom` holds its own field options with their defaults. */
export function register<Options extends object>(id: string, panel: ComponentType<PanelProps<Options>>, custom: Record<string, unknown> = {}): void {
  const plugin = new PanelPlugin<Options>(panel as never).useFieldConfig({
    useCustomConfig: (builder) => {
      for (const [path, defaultValue] of Object.entries(custom)) {
        builder.addCustomEditor({
          id: path, path, name: path, defaultValue: defaultValue as never, editor: () => null, override: () => null,
          process: identityOverrideProcessor, shouldApply: () => true,
        } as never);
      }
    },
  });
  sceneUtils.registerRuntimePanelPlugin({ pluginId: id, plugin });
}
