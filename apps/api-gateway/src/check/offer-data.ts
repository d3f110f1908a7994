import { type AvailabilityZoneData, type FlavorData, MAX_COLOCATION_LIMIT, type Topology } from '@octavia/domain';
import {
  AVAILABILITY_ZONE_CAPABILITIES,
  CAPABILITIES,
  FLAVOR_CAPABILITIES,
  type OfferCapability,
} from '@octavia/render';
import type { Violations } from './violations.ts';

/** Longest data of a profile, in characters of JSON. Source: Octavia, 4096. */
const MAX_DATA = 4_096;
/** Longest value of a key, in characters. Source: names in OpenStack's services, 255. */
const MAX_VALUE = 255;
/** Most networks of a zone. Source: as many ids as the longest data holds. */
const MAX_NETWORKS = 100;

type Data = Readonly<Record<string, unknown>>;

/** Reads `flavor_data`. Everything that is wrong with any key is noted at once. */
export function readFlavorData(path: string, json: string | undefined, check: Violations): FlavorData {
  const data = readObject(path, json, check);
  assertServed(path, data, FLAVOR_CAPABILITIES, 'ListFlavorCapabilities', check);
  return {
    ...given('loadbalancer_topology', topology(path, data, check)),
    ...given('compute_flavor', word(path, data, 'compute_flavor', check)),
    ...given('amp_image_tag', word(path, data, 'amp_image_tag', check)),
    ...given('colocation_limit', colocationLimit(path, data, check)),
  };
}

/** Reads `availability_zone_data`. Everything that is wrong with any key is noted at once. */
export function readAvailabilityZoneData(
  path: string,
  json: string | undefined,
  check: Violations,
): AvailabilityZoneData {
  const data = readObject(path, json, check);
  assertServed(path, data, AVAILABILITY_ZONE_CAPABILITIES, 'ListAvailabilityZoneCapabilities', check);
  return {
    ...given('compute_zone', word(path, data, 'compute_zone', check)),
    ...given('valid_vip_networks', networks(path, data, check)),
  };
}

function readObject(path: string, json: string | undefined, check: Violations): Data {
  if (json === undefined || json === '') check.add(path, 'REQUIRED', 'is required');
  else if (json.length > MAX_DATA) check.add(path, 'TOO_LONG', `must have at most ${MAX_DATA} characters`);
  else {
    const parsed = parse(json);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Data;
    check.add(path, 'INVALID_JSON', 'must be a JSON object, such as {"compute_flavor": "small"}');
  }
  return {};
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function assertServed(
  path: string,
  data: Data,
  capabilities: readonly OfferCapability<string>[],
  method: string,
  check: Violations,
): void {
  for (const key of Object.keys(data)) {
    if (capabilities.some(({ name, isServed }) => name === key && isServed)) continue;
    const shown = `${path}.${key.slice(0, MAX_VALUE)}`;
    const what = `${key.slice(0, MAX_VALUE)} is not supported by this deployment; ${method} names what is`;
    check.add(shown, 'UNSUPPORTED_BY_PROVIDER', what);
  }
}

function topology(path: string, data: Data, check: Violations): Topology | undefined {
  const value = data.loadbalancer_topology;
  if (value === undefined) return undefined;
  const field = `${path}.loadbalancer_topology`;
  if (value !== 'SINGLE' && value !== 'ACTIVE_STANDBY') {
    check.add(field, 'INVALID_TOPOLOGY', 'loadbalancer_topology must be SINGLE or ACTIVE_STANDBY');
    return undefined;
  }
  if (!CAPABILITIES.topologies.includes(value)) {
    check.add(field, 'UNSUPPORTED_BY_PROVIDER', `loadbalancer_topology ${value} is not supported by this deployment`);
  }
  return value;
}

function word(path: string, data: Data, key: string, check: Violations): string | undefined {
  const value = data[key];
  if (value === undefined) return undefined;
  const isGood = typeof value === 'string' && value !== '' && value.length <= MAX_VALUE && !/\p{Cc}/u.test(value);
  if (isGood) return value;
  const description = `${key} must be a text of 1 to ${MAX_VALUE} characters, without control characters`;
  check.add(`${path}.${key}`, 'INVALID_TEXT', description);
  return undefined;
}

function colocationLimit(path: string, data: Data, check: Violations): number | undefined {
  const value = data.colocation_limit;
  if (value === undefined) return undefined;
  const isGood = Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MAX_COLOCATION_LIMIT;
  if (isGood) return value as number;
  const description = `colocation_limit must be a whole number from 1 to ${MAX_COLOCATION_LIMIT}`;
  check.add(`${path}.colocation_limit`, 'OUT_OF_RANGE', description);
  return undefined;
}

function networks(path: string, data: Data, check: Violations): readonly string[] | undefined {
  const value = data.valid_vip_networks;
  if (value === undefined) return undefined;
  const field = `${path}.valid_vip_networks`;
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_NETWORKS) {
    check.add(field, 'INVALID_LIST', `valid_vip_networks must be a list of 1 to ${MAX_NETWORKS} ids of networks`);
    return undefined;
  }
  return value.map((id, index) => check.uuid(`${field}[${index}]`, typeof id === 'string' ? id : '-'));
}

function given<Key extends string, Value>(key: Key, value: Value | undefined): { readonly [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [K in Key]?: Value });
}
