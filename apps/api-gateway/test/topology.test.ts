import { Deployments } from '@octavia/db';
import { Flavor, FlavorProfile, LoadBalancer } from '@octavia/proto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { admin, failure, startWorld, tenant, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());

const PAIRS = { topologies: ['SINGLE', 'ACTIVE_STANDBY'], reachesLoopback: false, hostAddress: '10.84.0.1' } as const;
const LOOPBACK = { topologies: ['SINGLE'], reachesLoopback: true, hostAddress: null } as const;
const tell = (what: typeof PAIRS | typeof LOOPBACK) => world.db.transaction((tx) => new Deployments().put(tx, what));
const alice = tenant();
const create = (fields: Partial<LoadBalancer> = {}) =>
  world.loadBalancers.createLoadBalancer({ loadBalancer: LoadBalancer.fromPartial(fields), requestId: '' }, alice);
const createPair = (fields: Partial<LoadBalancer> = {}) => create({ topology: 'TOPOLOGY_ACTIVE_STANDBY', ...fields });

describe('the topology of a load balancer', () => {
  beforeEach(() => world.db.reader.query('DELETE FROM deployment'));

  it('is SINGLE unless somebody says otherwise, also before a worker told anything', async () => {
    expect(await create()).toMatchObject({ topology: 'TOPOLOGY_SINGLE' });
    expect(await failure(createPair())).toMatchObject({ kind: 'unavailable', reason: 'DEPLOYMENT_UNKNOWN' });
  });

  it('is a pair where the drivers carry pairs', async () => {
    await tell(PAIRS);
    const created = await createPair();
    expect(created).toMatchObject({ topology: 'TOPOLOGY_ACTIVE_STANDBY' });
    const got = await world.loadBalancers.getLoadBalancer({ id: created.id }, alice);
    expect(got.topology).toBe('TOPOLOGY_ACTIVE_STANDBY');
    const { topologies } = await world.system.getCapabilities({}, alice);
    expect(topologies).toEqual(['TOPOLOGY_SINGLE', 'TOPOLOGY_ACTIVE_STANDBY']);
  });

  it('is refused in loopback mode, with the word that starts the other one', async () => {
    await tell(LOOPBACK);
    const refused = createPair();
    await expect(refused).rejects.toThrow('npm start -- --mode namespaces');
    expect(await failure(refused)).toMatchObject({ kind: 'state', reason: 'UNSUPPORTED_BY_PROVIDER' });
    expect((await world.system.getCapabilities({}, alice)).topologies).toEqual(['TOPOLOGY_SINGLE']);
  });

  it('is that of the flavor, and no other', async () => {
    await tell(PAIRS);
    const data = JSON.stringify({ loadbalancer_topology: 'ACTIVE_STANDBY' });
    const profile = await world.flavorProfiles.createFlavorProfile(
      { flavorProfile: FlavorProfile.fromPartial({ name: 'p', provider: 'amphora', flavorData: data }), requestId: '' },
      admin,
    );
    const flavor = await world.flavors.createFlavor(
      { flavor: Flavor.fromPartial({ name: 'pair', flavorProfileId: profile.id }), requestId: '' },
      admin,
    );
    expect(await create({ flavorId: flavor.id })).toMatchObject({ topology: 'TOPOLOGY_ACTIVE_STANDBY' });
    expect(await createPair({ flavorId: flavor.id })).toMatchObject({ topology: 'TOPOLOGY_ACTIVE_STANDBY' });
    expect(await failure(create({ flavorId: flavor.id, topology: 'TOPOLOGY_SINGLE' }))).toMatchObject({
      fields: { 'load_balancer.topology': 'TOPOLOGY_OF_FLAVOR' },
    });
  });

  it('cannot be changed', async () => {
    const { id } = await create();
    const update = (topology: LoadBalancer['topology']) =>
      world.loadBalancers.updateLoadBalancer(
        { loadBalancer: LoadBalancer.fromPartial({ id, topology }), requestId: '' },
        alice,
      );
    expect(await failure(update('TOPOLOGY_ACTIVE_STANDBY'))).toMatchObject({
      fields: { 'load_balancer.topology': 'IMMUTABLE_FIELD' },
    });
    expect(await update('TOPOLOGY_SINGLE')).toMatchObject({ topology: 'TOPOLOGY_SINGLE' });
  });
});
