import { status } from '@grpc/grpc-js';
import { AvailabilityZone, AvailabilityZoneProfile, Flavor, FlavorProfile } from '@octavia/proto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Refusal, World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world.stop());

const profile = FlavorProfile.create({
  id: 'p-id',
  name: 'big',
  provider: 'amphora',
  flavorData: '{"compute_flavor":"l"}',
});
const flavor = Flavor.create({ id: 'f-id', name: 'large', flavorProfileId: 'p-id', enabled: true, description: 'd' });
const zoneProfile = AvailabilityZoneProfile.create({ id: 'zp-id', name: 'racks', provider: 'amphora' });
const zone = AvailabilityZone.create({ name: 'east', availabilityZoneProfileId: 'zp-id', enabled: false });

beforeEach(() => {
  world.calls.length = 0;
  world.overrides.clear();
  const answers: Record<string, object> = {
    createFlavorProfile: profile,
    listFlavorProfiles: { flavorProfiles: [profile], nextPageToken: '' },
    updateFlavorProfile: profile,
    deleteFlavorProfile: profile,
    createFlavor: flavor,
    listFlavors: { flavors: [flavor], nextPageToken: '' },
    updateFlavor: flavor,
    deleteFlavor: flavor,
    createAvailabilityZoneProfile: zoneProfile,
    listAvailabilityZoneProfiles: { availabilityZoneProfiles: [zoneProfile], nextPageToken: '' },
    createAvailabilityZone: zone,
    listAvailabilityZones: { availabilityZones: [zone], nextPageToken: '' },
    updateAvailabilityZone: zone,
    deleteAvailabilityZone: zone,
    listProviders: { providers: [{ name: 'amphora', description: 'ours' }] },
    listFlavorCapabilities: { flavorCapabilities: [{ name: 'compute_flavor', description: 'c' }] },
    listAvailabilityZoneCapabilities: { availabilityZoneCapabilities: [{ name: 'compute_zone', description: 'z' }] },
  };
  for (const [method, answer] of Object.entries(answers)) world.overrides.set(method, () => answer);
});

describe('flavors', () => {
  it('are made of a profile that is named by its name', async () => {
    const data = '{"compute_flavor":"l"}';
    await world.run([
      ...['loadbalancer', 'flavorprofile', 'create', '--name', 'big', '--provider', 'amphora', '--flavor-data', data],
    ]);
    expect(world.request('createFlavorProfile').flavorProfile).toMatchObject({
      name: 'big',
      provider: 'amphora',
      flavorData: data,
    });
    expect(await world.json('loadbalancer flavor create --name large --flavorprofile big --disable')).toEqual({
      id: 'f-id',
      name: 'large',
      flavor_profile_id: 'p-id',
      enabled: true,
      description: 'd',
      created_at: null,
      updated_at: null,
    });
    expect(world.request('createFlavor').flavor).toMatchObject({
      name: 'large',
      flavorProfileId: 'p-id',
      enabled: false,
    });
  });

  it('are listed by what they are, and shown by name', async () => {
    expect(await world.json('loadbalancer flavor list --enable --flavorprofile big')).toEqual([
      { id: 'f-id', name: 'large', flavor_profile_id: 'p-id', enabled: true },
    ]);
    expect(await world.json('loadbalancer flavor list --disable')).toEqual([]);
    expect(await world.json('loadbalancer flavorprofile list --provider amphora')).toEqual([
      { id: 'p-id', name: 'big', provider_name: 'amphora' },
    ]);
    expect(await world.json('loadbalancer flavor show large')).toMatchObject({ id: 'f-id' });
    expect(await world.json('loadbalancer flavorprofile show big')).toMatchObject({ flavor_data: profile.flavorData });
  });

  it('change in what is said, and in nothing else', async () => {
    expect((await world.run('loadbalancer flavor set --disable --name huge large')).code).toBe(0);
    expect(world.request('updateFlavor')).toMatchObject({
      flavor: { id: 'f-id', name: 'huge', enabled: false },
      updateMask: ['name', 'enabled'],
    });
    expect((await world.run('loadbalancer flavor unset --description large')).code).toBe(0);
    expect(world.request('updateFlavor')).toMatchObject({ updateMask: ['description'] });
    expect((await world.run('loadbalancer flavorprofile set --name bigger big')).code).toBe(0);
    expect(world.request('updateFlavorProfile')).toMatchObject({ updateMask: ['name'] });
    expect((await world.run('loadbalancer flavor set large')).code).toBe(2);
    expect((await world.run('loadbalancer flavor delete large')).code).toBe(0);
    expect(world.request('deleteFlavor')).toEqual({ id: 'f-id', etag: '' });
    expect((await world.run('loadbalancer flavorprofile delete big')).code).toBe(0);
  });

  it('tell by which option a bad key of the data came', async () => {
    world.overrides.set('createFlavorProfile', () => {
      const field = 'flavor_profile.flavor_data.colour';
      throw new Refusal(status.INVALID_ARGUMENT, 'UNSUPPORTED_BY_PROVIDER', 'no', [
        { field, description: 'colour is not supported', reason: 'UNSUPPORTED_BY_PROVIDER' },
      ]);
    });
    const { code, err } = await world.run(
      'loadbalancer flavorprofile create --name p --provider amphora --flavor-data {"colour":1}',
    );
    expect(code).toBe(2);
    expect(err).toContain('--flavor-data: colour is not supported [UNSUPPORTED_BY_PROVIDER]');
  });
});

describe('availability zones', () => {
  it('are known by their names', async () => {
    await world.run([
      ...['loadbalancer', 'availabilityzoneprofile', 'create', '--name', 'racks', '--provider', 'amphora'],
      ...['--availability-zone-data', '{"compute_zone":"e"}'],
    ]);
    expect(world.request('createAvailabilityZoneProfile').availabilityZoneProfile).toMatchObject({
      availabilityZoneData: '{"compute_zone":"e"}',
    });
    await world.json('loadbalancer availabilityzone create --name east --availabilityzoneprofile racks');
    expect(world.request('createAvailabilityZone').availabilityZone).toMatchObject({
      name: 'east',
      availabilityZoneProfileId: 'zp-id',
    });
    expect(await world.json('loadbalancer availabilityzone list')).toEqual([
      { name: 'east', availability_zone_profile_id: 'zp-id', enabled: false },
    ]);
    expect((await world.run('loadbalancer availabilityzone set --enable east')).code).toBe(0);
    expect(world.request('updateAvailabilityZone')).toMatchObject({
      availabilityZone: { name: 'east', enabled: true },
      updateMask: ['enabled'],
    });
    expect((await world.run('loadbalancer availabilityzone delete east')).code).toBe(0);
    expect(world.request('deleteAvailabilityZone')).toEqual({ name: 'east', etag: '' });
  });
});

describe('providers', () => {
  it('are listed with what flavors and zones can say to them', async () => {
    expect(await world.json('loadbalancer provider list')).toEqual([{ name: 'amphora', description: 'ours' }]);
    expect(await world.json('loadbalancer provider capability list amphora')).toEqual([
      { type: 'flavor', name: 'compute_flavor', description: 'c' },
      { type: 'availability_zone', name: 'compute_zone', description: 'z' },
    ]);
    const zones = await world.json('loadbalancer provider capability list --availability-zone amphora');
    expect(zones.map(({ name }: { name: string }) => name)).toEqual(['compute_zone']);
  });
});
