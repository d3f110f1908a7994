/** How flavors, availability zones and their profiles lie in their tables. */
import type { AvailabilityZone, AvailabilityZoneProfile, Flavor, FlavorProfile, Offered } from '@octavia/domain';
import type { EntitySchemaColumnOptions } from 'typeorm';
import { EntitySchema } from 'typeorm/entity-schema/EntitySchema.js';

const text = (name: string): EntitySchemaColumnOptions => ({ name, type: 'text' });
const uuid = (name: string): EntitySchemaColumnOptions => ({ name, type: 'uuid' });

const offered: { [field in keyof Offered]: EntitySchemaColumnOptions } = {
  id: { type: 'uuid', primary: true },
  name: text('name'),
  author: text('author'),
  requestId: text('request_id'),
  revision: { name: 'revision', type: 'integer' },
  createdAt: { name: 'created_at', type: 'timestamptz', createDate: true },
  updatedAt: { name: 'updated_at', type: 'timestamptz', nullable: true },
};
const profile = { ...offered, provider: text('provider'), data: { name: 'data', type: 'jsonb' as const } };
const offer = { ...offered, description: text('description'), enabled: { name: 'enabled', type: 'boolean' as const } };

export const flavorProfileSchema = new EntitySchema<FlavorProfile>({
  name: 'FlavorProfile',
  tableName: 'flavor_profile',
  columns: profile,
});

export const flavorSchema = new EntitySchema<Flavor>({
  name: 'Flavor',
  tableName: 'flavor',
  columns: { ...offer, flavorProfileId: uuid('flavor_profile_id') },
});

export const availabilityZoneProfileSchema = new EntitySchema<AvailabilityZoneProfile>({
  name: 'AvailabilityZoneProfile',
  tableName: 'availability_zone_profile',
  columns: profile,
});

export const availabilityZoneSchema = new EntitySchema<AvailabilityZone>({
  name: 'AvailabilityZone',
  tableName: 'availability_zone',
  columns: { ...offer, availabilityZoneProfileId: uuid('availability_zone_profile_id') },
});
