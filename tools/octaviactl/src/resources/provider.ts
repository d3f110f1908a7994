/** What `loadbalancer provider …` does. */
import { ProviderServiceService as service } from '@octavia/proto';
import type { Action } from '../grammar.ts';

export const list: Action<object> = async (session) => {
  const { providers } = await session.call(service.listProviders, {});
  const columns = ['name', 'description'];
  await session.printList(
    providers.map(({ name, description }) => ({ name, description })),
    columns,
    columns,
  );
};

interface CapabilityOptions {
  readonly flavor?: true;
  readonly availabilityZone?: true;
}

/** Of flavors and of availability zones, unless one of them was asked for. */
export const listCapabilities: Action<CapabilityOptions> = async (session, [provider = ''], options) => {
  const isBoth = !options.flavor && !options.availabilityZone;
  const ofFlavors =
    isBoth || options.flavor
      ? (await session.call(service.listFlavorCapabilities, { provider })).flavorCapabilities
      : [];
  const ofZones =
    isBoth || options.availabilityZone
      ? (await session.call(service.listAvailabilityZoneCapabilities, { provider })).availabilityZoneCapabilities
      : [];
  const columns = ['type', 'name', 'description'];
  const rows = [
    ...ofFlavors.map((capability) => ({ type: 'flavor', ...capability })),
    ...ofZones.map((capability) => ({ type: 'availability_zone', ...capability })),
  ];
  await session.printList(rows, columns, columns);
};
