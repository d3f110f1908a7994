import type { New } from '@octavia/db';
import {
  type AvailabilityZone,
  type AvailabilityZoneProfile,
  etagOf,
  type Flavor,
  type FlavorProfile,
  type Offered,
} from '@octavia/domain';
import type * as proto from '@octavia/proto';
import { readAvailabilityZoneData, readFlavorData } from '../check/offer-data.ts';
import type { Paths } from '../check/update-mask.ts';
import type { Violations } from '../check/violations.ts';

const OUTPUT = ['id', 'created_at', 'updated_at', 'etag'];

export const FLAVOR_PATHS: Paths = {
  mutable: ['name', 'description', 'enabled'],
  immutable: ['flavor_profile_id'],
  output: OUTPUT,
};
export const FLAVOR_PROFILE_PATHS: Paths = {
  mutable: ['name', 'provider', 'flavor_data'],
  immutable: [],
  output: OUTPUT,
};
export const AVAILABILITY_ZONE_PATHS: Paths = {
  mutable: ['description', 'enabled'],
  immutable: ['name', 'availability_zone_profile_id'],
  output: OUTPUT,
};
export const AVAILABILITY_ZONE_PROFILE_PATHS: Paths = {
  mutable: ['name', 'provider', 'availability_zone_data'],
  immutable: [],
  output: OUTPUT,
};

/** What a caller says of an offer or profile. */
export type Said<T extends Offered> = Omit<New<T>, Exclude<keyof Offered, 'name'>>;

export function readFlavor(message: proto.Flavor, check: Violations): Said<Flavor> {
  return {
    name: requiredText('name', message.name, check),
    description: check.text('description', message.description),
    enabled: message.enabled ?? true,
    flavorProfileId: check.uuid('flavor_profile_id', message.flavorProfileId),
  };
}

export function writeFlavor(flavor: Flavor): proto.Flavor {
  const { name, description, enabled, flavorProfileId } = flavor;
  return { id: flavor.id, name, description, enabled, flavorProfileId, ...writeCommon(flavor) };
}

export function readFlavorProfile(message: proto.FlavorProfile, check: Violations): Said<FlavorProfile> {
  return {
    name: requiredText('name', message.name, check),
    provider: provider(message.provider, check),
    data: readFlavorData('flavor_data', message.flavorData, check),
  };
}

export function writeFlavorProfile(profile: FlavorProfile): proto.FlavorProfile {
  const { id, name, provider: of, data } = profile;
  return { id, name, provider: of, flavorData: JSON.stringify(data), ...writeCommon(profile) };
}

export function readAvailabilityZone(message: proto.AvailabilityZone, check: Violations): Said<AvailabilityZone> {
  return {
    name: requiredText('name', message.name, check),
    description: check.text('description', message.description),
    enabled: message.enabled ?? true,
    availabilityZoneProfileId: check.uuid('availability_zone_profile_id', message.availabilityZoneProfileId),
  };
}

export function writeAvailabilityZone(zone: AvailabilityZone): proto.AvailabilityZone {
  const { name, description, enabled, availabilityZoneProfileId } = zone;
  return { name, description, enabled, availabilityZoneProfileId, ...writeCommon(zone) };
}

export function readAvailabilityZoneProfile(
  message: proto.AvailabilityZoneProfile,
  check: Violations,
): Said<AvailabilityZoneProfile> {
  return {
    name: requiredText('name', message.name, check),
    provider: provider(message.provider, check),
    data: readAvailabilityZoneData('availability_zone_data', message.availabilityZoneData, check),
  };
}

export function writeAvailabilityZoneProfile(profile: AvailabilityZoneProfile): proto.AvailabilityZoneProfile {
  const { id, name, provider: of, data } = profile;
  return { id, name, provider: of, availabilityZoneData: JSON.stringify(data), ...writeCommon(profile) };
}

function writeCommon(offered: Offered) {
  return { createdAt: offered.createdAt, updatedAt: offered.updatedAt ?? undefined, etag: etagOf(offered) };
}

function requiredText(path: string, value: string | undefined, check: Violations): string {
  if (value === undefined || value === '') check.add(path, 'REQUIRED', 'is required');
  return check.text(path, value);
}

function provider(value: string | undefined, check: Violations): 'amphora' {
  if (value === undefined || value === '') check.add('provider', 'REQUIRED', 'is required');
  else if (value !== 'amphora') check.add('provider', 'PROVIDER_NOT_ENABLED', 'must be amphora');
  return 'amphora';
}
