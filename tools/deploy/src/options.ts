import { pathToFileURL } from 'node:url';
import { describe, type OptionDescription, type Shape, telemetrySettings } from '@octavia/service';
import { ROOT } from './root.ts';

/** Our processes, in the order of the example. */
export const SERVICES = ['api-gateway', 'worker', 'health', 'heartbeat-udp', 'housekeeping'] as const;
export type ServiceName = (typeof SERVICES)[number];

/** One option, with what each service that reads it says of it: defaults and ranges may differ. */
export interface Option {
  readonly name: string;
  readonly readBy: readonly { readonly service: ServiceName; readonly option: OptionDescription }[];
}

/** Every option of every service, from the code that reads them; needs the condition `@octavia/source`. */
export async function readOptions(): Promise<Option[]> {
  const options = new Map<string, { service: ServiceName; option: OptionDescription }[]>();
  for (const service of SERVICES) {
    const shape: Shape = { ...(await shapeOf(service)), telemetry: telemetrySettings };
    for (const option of describe(shape)) {
      options.set(option.name, [...(options.get(option.name) ?? []), { service, option }]);
    }
  }
  return [...options].map(([name, readBy]) => ({ name, readBy }));
}

/** Apps export nothing, and nobody may import them; this looks at their settings as a reader of the sources would. */
async function shapeOf(service: ServiceName): Promise<Shape> {
  const { readConfig } = await import(pathToFileURL(`${ROOT}/apps/${service}/src/config.ts`).href);
  return readConfig.shape;
}
