import { randomUUID } from 'node:crypto';
import { AvailabilityZone, AvailabilityZoneProfile, Flavor, FlavorProfile, type LoadBalancer } from '@octavia/proto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadBalancer } from './messages.ts';
import { admin, failure, settle, startWorld, tenant, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());

const alice = tenant();
const unique = (name: string) => `${name}-${randomUUID().slice(0, 8)}`;

const createProfile = (data: object | string = {}, fields: Partial<FlavorProfile> = {}, requestId = '') =>
  world.flavorProfiles.createFlavorProfile(
    {
      flavorProfile: FlavorProfile.fromPartial({
        name: 'p',
        provider: 'amphora',
        flavorData: typeof data === 'string' ? data : JSON.stringify(data),
        ...fields,
      }),
      requestId,
    },
    admin,
  );
const createFlavor = async (data: object = {}, fields: Partial<Flavor> = {}, as = admin) => {
  const { id: flavorProfileId } = await createProfile(data);
  const flavor = Flavor.fromPartial({ name: unique('f'), flavorProfileId, ...fields });
  return world.flavors.createFlavor({ flavor, requestId: '' }, as);
};
const createZone = async (data: object = {}, fields: Partial<AvailabilityZone> = {}) => {
  const availabilityZoneProfile = AvailabilityZoneProfile.fromPartial({
    name: 'p',
    provider: 'amphora',
    availabilityZoneData: JSON.stringify(data),
  });
  const profile = await world.zoneProfiles.createAvailabilityZoneProfile(
    { availabilityZoneProfile, requestId: '' },
    admin,
  );
  const availabilityZone = AvailabilityZone.fromPartial({
    name: unique('z'),
    availabilityZoneProfileId: profile.id,
    ...fields,
  });
  return world.zones.createAvailabilityZone({ availabilityZone, requestId: '' }, admin);
};
const create = (fields: Partial<LoadBalancer>) =>
  world.loadBalancers.createLoadBalancer({ loadBalancer: loadBalancer(fields), requestId: '' }, alice);

describe('a flavor', () => {
  it('is made by administrators, and read by everybody', async () => {
    const made = await createFlavor({}, { description: 'd' });
    expect(made).toMatchObject({ description: 'd', enabled: true, updatedAt: undefined });
    expect(await world.flavors.getFlavor({ id: made.id }, alice)).toEqual(made);
    const { flavors } = await world.flavors.listFlavors({ pageSize: 0, pageToken: '', name: made.name ?? '' }, alice);
    expect(flavors).toEqual([made]);
    expect(await failure(createFlavor({}, {}, alice as typeof admin))).toMatchObject({ reason: 'ROLE_REQUIRED' });
    expect(await failure(world.flavors.deleteFlavor({ id: made.id, etag: '' }, alice))).toMatchObject({
      reason: 'ROLE_REQUIRED',
    });
    const profile = { id: made.flavorProfileId };
    expect(await failure(world.flavorProfiles.getFlavorProfile(profile, alice))).toMatchObject({
      reason: 'ROLE_REQUIRED',
    });
  });

  it('has a name that no other has, and a profile that is there', async () => {
    const { name } = await createFlavor();
    expect(await failure(createFlavor({}, { name }))).toMatchObject({ kind: 'exists', reason: 'FLAVOR_EXISTS' });
    const flavor = Flavor.fromPartial({ name: unique('f'), flavorProfileId: randomUUID() });
    expect(await failure(world.flavors.createFlavor({ flavor, requestId: '' }, admin))).toMatchObject({
      fields: { 'flavor.flavor_profile_id': 'FLAVOR_PROFILE_NOT_FOUND' },
    });
    expect(await failure(world.flavors.createFlavor({ flavor: Flavor.create(), requestId: '' }, admin))).toMatchObject({
      fields: { 'flavor.name': 'REQUIRED', 'flavor.flavor_profile_id': 'REQUIRED' },
    });
  });

  it('changes its name, but never its profile', async () => {
    const made = await createFlavor();
    const flavor = Flavor.fromPartial({ id: made.id, name: unique('g'), enabled: false, etag: made.etag });
    const changed = await world.flavors.updateFlavor({ flavor, updateMask: undefined, requestId: '' }, admin);
    expect(changed).toMatchObject({ name: flavor.name, enabled: false, flavorProfileId: made.flavorProfileId });
    const again = world.flavors.updateFlavor({ flavor, updateMask: undefined, requestId: '' }, admin);
    expect(await failure(again)).toMatchObject({ reason: 'ETAG_MISMATCH' });
    const moved = Flavor.fromPartial({ id: made.id, flavorProfileId: randomUUID() });
    const move = world.flavors.updateFlavor({ flavor: moved, updateMask: undefined, requestId: '' }, admin);
    expect(await failure(move)).toMatchObject({ fields: { 'flavor.flavor_profile_id': 'IMMUTABLE_FIELD' } });
  });

  it('is made once for a request id', async () => {
    const requestId = randomUUID();
    const [one, other] = await Promise.all([createProfile({}, {}, requestId), createProfile({}, {}, requestId)]);
    expect(other).toEqual(one);
    expect(await failure(createProfile({}, { name: 'q' }, requestId))).toMatchObject({ reason: 'REQUEST_ID_REUSED' });
  });
});

describe('the data of a profile', () => {
  it('is checked key by key, and all that is wrong is told at once', async () => {
    const data = {
      loadbalancer_topology: 'RING',
      compute_flavor: 7,
      amp_image_tag: '',
      colocation_limit: 65,
      sriov_vip: true,
      colour: 'red',
    };
    expect((await failure(createProfile(data, { name: '' }))).fields).toEqual({
      'flavor_profile.name': 'REQUIRED',
      'flavor_profile.flavor_data.loadbalancer_topology': 'INVALID_TOPOLOGY',
      'flavor_profile.flavor_data.compute_flavor': 'INVALID_TEXT',
      'flavor_profile.flavor_data.amp_image_tag': 'INVALID_TEXT',
      'flavor_profile.flavor_data.colocation_limit': 'OUT_OF_RANGE',
      'flavor_profile.flavor_data.sriov_vip': 'UNSUPPORTED_BY_PROVIDER',
      'flavor_profile.flavor_data.colour': 'UNSUPPORTED_BY_PROVIDER',
    });
    for (const limit of [0, 1.5, '2', null, true]) {
      expect((await failure(createProfile({ colocation_limit: limit }))).fields).toEqual({
        'flavor_profile.flavor_data.colocation_limit': 'OUT_OF_RANGE',
      });
    }
    expect((await createProfile({ colocation_limit: 64 })).flavorData).toBe('{"colocation_limit":64}');
    for (const text of ['{', '[]', '"x"', 'null']) {
      expect(await failure(createProfile(text))).toMatchObject({ reason: 'INVALID_JSON' });
    }
    expect(await failure(createProfile(`{"compute_flavor": "${'x'.repeat(5_000)}"}`))).toMatchObject({
      reason: 'TOO_LONG',
    });
    expect(
      (await failure(createZone({ compute_zone: 1, valid_vip_networks: ['x'], volume_zone: 'v' }))).fields,
    ).toEqual({
      'availability_zone_profile.availability_zone_data.compute_zone': 'INVALID_TEXT',
      'availability_zone_profile.availability_zone_data.valid_vip_networks[0]': 'INVALID_UUID',
      'availability_zone_profile.availability_zone_data.volume_zone': 'UNSUPPORTED_BY_PROVIDER',
    });
  });

  it('has the keys that the provider tells, to administrators', async () => {
    const { flavorCapabilities } = await world.providers.listFlavorCapabilities({ provider: 'amphora' }, admin);
    expect(flavorCapabilities.map(({ name }) => name)).toEqual([
      'loadbalancer_topology',
      'compute_flavor',
      'amp_image_tag',
      'colocation_limit',
    ]);
    expect(flavorCapabilities.at(-1)?.description).toContain('ACTIVE_STANDBY have amphorae of their own');
    const zones = await world.providers.listAvailabilityZoneCapabilities({ provider: 'amphora' }, admin);
    expect(zones.availabilityZoneCapabilities.map(({ name }) => name)).toEqual(['compute_zone', 'valid_vip_networks']);
    expect((await world.providers.listProviders({}, alice)).providers.map(({ name }) => name)).toEqual(['amphora']);
    const asked = { provider: 'amphora' };
    expect(await failure(world.providers.listFlavorCapabilities(asked, alice))).toMatchObject({ kind: 'forbidden' });
    expect(await failure(world.providers.listFlavorCapabilities({ provider: 'f5' }, admin))).toMatchObject({
      reason: 'PROVIDER_NOT_FOUND',
    });
  });

  it('is frozen while a flavor uses the profile, which keeps its name free', async () => {
    const flavor = await createFlavor({ compute_flavor: 'small' });
    const change = (fields: Partial<FlavorProfile>) =>
      world.flavorProfiles.updateFlavorProfile(
        {
          flavorProfile: FlavorProfile.fromPartial({ id: flavor.flavorProfileId, ...fields }),
          updateMask: undefined,
          requestId: '',
        },
        admin,
      );
    expect(await failure(change({ flavorData: '{}' }))).toMatchObject({
      kind: 'state',
      reason: 'FLAVOR_PROFILE_IN_USE',
    });
    expect(await change({ name: 'new', flavorData: '{"compute_flavor":"small"}' })).toMatchObject({ name: 'new' });
    const profile = { id: flavor.flavorProfileId, etag: '' };
    expect(await failure(world.flavorProfiles.deleteFlavorProfile(profile, admin))).toMatchObject({
      reason: 'FLAVOR_PROFILE_IN_USE',
    });
    await world.flavors.deleteFlavor({ id: flavor.id, etag: '' }, admin);
    expect(await change({ flavorData: '{"compute_flavor":"large"}' })).toMatchObject({
      flavorData: '{"compute_flavor":"large"}',
    });
    expect(await world.flavorProfiles.deleteFlavorProfile(profile, admin)).toMatchObject({ name: 'new' });
  });
});

describe('a load balancer of a flavor and zone', () => {
  it('keeps what they say', async () => {
    const flavor = await createFlavor({
      compute_flavor: 'large',
      amp_image_tag: 'beta',
      loadbalancer_topology: 'SINGLE',
      colocation_limit: 4,
    });
    const zone = await createZone({ compute_zone: 'az2', valid_vip_networks: [world.subnet.networkId] });
    const lb = await create({ flavorId: flavor.id, availabilityZone: zone.name });
    expect(lb).toMatchObject({ flavorId: flavor.id, availabilityZone: zone.name, topology: 'TOPOLOGY_SINGLE' });
    const [row] = await world.db.reader.query(
      `SELECT placement_compute_flavor, placement_image_tag, placement_zone, placement_colocation_limit
       FROM load_balancer WHERE id = $1`,
      [lb.id],
    );
    expect(row).toEqual({
      placement_compute_flavor: 'large',
      placement_image_tag: 'beta',
      placement_zone: 'az2',
      placement_colocation_limit: 4,
    });
  });

  it('is refused what is not there, is disabled, or does not take the network, all at once', async () => {
    const flavor = await createFlavor({}, { enabled: false });
    const zone = await createZone({ valid_vip_networks: [randomUUID()] });
    expect((await failure(create({ flavorId: flavor.id, availabilityZone: zone.name }))).fields).toEqual({
      'load_balancer.flavor_id': 'FLAVOR_DISABLED',
      'load_balancer.vip_subnet_id': 'VIP_NETWORK_NOT_ALLOWED',
    });
    expect((await failure(create({ flavorId: randomUUID(), availabilityZone: 'nowhere' }))).fields).toEqual({
      'load_balancer.flavor_id': 'FLAVOR_NOT_FOUND',
      'load_balancer.availability_zone': 'AVAILABILITY_ZONE_NOT_FOUND',
    });
  });

  it('keeps its flavor and zone from being deleted until it is gone itself', async () => {
    const flavor = await createFlavor();
    const zone = await createZone();
    const { id } = await create({ flavorId: flavor.id, availabilityZone: zone.name });
    await settle(world, id);
    const removeFlavor = () => world.flavors.deleteFlavor({ id: flavor.id, etag: '' }, admin);
    const removeZone = () => world.zones.deleteAvailabilityZone({ name: zone.name, etag: '' }, admin);
    expect(await failure(removeFlavor())).toMatchObject({ kind: 'state', reason: 'FLAVOR_IN_USE' });
    expect(await failure(removeZone())).toMatchObject({ kind: 'state', reason: 'AVAILABILITY_ZONE_IN_USE' });
    await world.loadBalancers.deleteLoadBalancer({ id, cascade: false, etag: '', requestId: '' }, alice);
    await settle(world, id);
    expect((await removeFlavor()).id).toBe(flavor.id);
    expect((await removeZone()).name).toBe(zone.name);
    expect(await failure(world.zones.getAvailabilityZone({ name: zone.name }, alice))).toMatchObject({
      reason: 'AVAILABILITY_ZONE_NOT_FOUND',
    });
  });

  it('is not made with a flavor that is deleted at the same time', async () => {
    for (let round = 0; round < 10; round++) {
      const { id: flavorId } = await createFlavor();
      const [made, deleted] = await Promise.allSettled([
        create({ flavorId }),
        world.flavors.deleteFlavor({ id: flavorId, etag: '' }, admin),
      ]);
      expect([made.status, deleted.status].sort()).toEqual(['fulfilled', 'rejected']);
      const { reason } = made.status === 'rejected' ? made : (deleted as PromiseRejectedResult);
      expect(['FLAVOR_NOT_FOUND', 'FLAVOR_IN_USE']).toContain(reason.reason);
    }
  });
});

describe('an availability zone', () => {
  it('is known by its name, which cannot be changed', async () => {
    const zone = await createZone({}, { description: 'd' });
    expect(await world.zones.getAvailabilityZone({ name: zone.name }, alice)).toEqual(zone);
    const availabilityZone = AvailabilityZone.fromPartial({ name: zone.name, enabled: false });
    const changed = await world.zones.updateAvailabilityZone(
      { availabilityZone, updateMask: ['enabled', 'description'], requestId: '' },
      admin,
    );
    expect(changed).toMatchObject({ enabled: false, description: '' });
    expect(await failure(create({ availabilityZone: zone.name }))).toMatchObject({
      reason: 'AVAILABILITY_ZONE_DISABLED',
    });
  });

  it('is listed page by page', async () => {
    const names = [(await createZone()).name, (await createZone()).name];
    const seen: string[] = [];
    for (let pageToken = '', page = 0; page === 0 || pageToken !== ''; page++) {
      const reply = await world.zones.listAvailabilityZones({ pageSize: 1, pageToken, name: '' }, alice);
      seen.push(...reply.availabilityZones.map(({ name }) => name));
      pageToken = reply.nextPageToken;
    }
    expect(seen).toEqual(expect.arrayContaining(names));
    expect(new Set(seen).size).toBe(seen.length);
  });
});
