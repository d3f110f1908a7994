import { placementOf } from '@octavia/domain';
import { NoopComputeDriver } from '@octavia/drivers';
import { failoverAmphora, failoverLoadBalancer } from '@octavia/flows';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requester, TestWorld } from './world.ts';

let world: TestWorld;
beforeEach(async () => {
  world = await TestWorld.open();
  await world.work();
});
afterEach(() => world.close());

const LARGE = placementOf({ compute_flavor: 'large', amp_image_tag: 'beta' }, { compute_zone: 'az2' });

const eventsOf = (id: string): Promise<{ object_id: string; payload: Record<string, unknown> }[]> =>
  world.db.reader.query(
    `SELECT object_id, payload FROM event WHERE load_balancer_id = $1 AND kind = 'amphora_chosen' ORDER BY number`,
    [id],
  );
const built = () =>
  world.compute.control.calls.filter(({ method }) => method === 'build').map(({ args }) => args[0] as object);

describe('choosing an amphora', () => {
  it('takes the oldest spare of the class, and keeps and tells why', async () => {
    const [first] = [await world.spare(), await world.spare()];
    const id = await world.create();
    await world.settled(id);
    const [amphora] = await world.serving(id);
    expect(amphora).toMatchObject({
      id: first,
      choice: {
        origin: 'SPARE',
        reason: expect.stringMatching(/^the oldest ready spare of its class \(compute flavor \(default\), /),
      },
    });
    const [flow] = await world.flows.list(world.db.reader, { loadBalancerId: id }, 1);
    const steps = await world.flows.steps(world.db.reader, flow?.id ?? '');
    expect(steps.find(({ name }) => name === 'allocate_amphorae')?.output).toMatchObject({
      choices: [{ amphoraId: first, ...amphora?.choice }],
    });
    expect(await eventsOf(id)).toEqual([
      { object_id: first, payload: expect.objectContaining({ ...amphora?.choice, role: 'STANDALONE', zone: '' }) },
    ]);
  });

  it('builds one of the flavor and zone where all spares are of another class', async () => {
    const spare = await world.spare();
    const id = await world.create(60_000, { placement: LARGE });
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    const [amphora] = await world.serving(id);
    expect(amphora).toMatchObject({
      class: { computeFlavor: 'large', imageTag: 'beta', zone: 'az2', topology: 'SINGLE' },
      imageId: 'beta',
      choice: {
        origin: 'NEW',
        reason: 'no ready spare of its class (compute flavor large, image beta, zone az2); 1 ready of other classes',
      },
    });
    expect(built().at(-1)).toMatchObject({ amphoraFlavor: 'large', imageTag: 'beta', availabilityZone: 'az2' });
    expect((await world.amphorae.get(world.db.reader, spare)).status).toBe('READY');
  });

  it('builds the next one of the same flavor and zone at a failover', async () => {
    const id = await world.create(60_000, { placement: LARGE });
    await world.settled(id);
    const [old] = await world.serving(id);
    await world.db.transaction((tx) => world.flows.start(tx, failoverLoadBalancer(id, requester)));
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    const [amphora, ...others] = await world.serving(id);
    expect(others).toEqual([]);
    expect(amphora?.id).not.toBe(old?.id);
    expect(amphora?.class).toEqual(old?.class);
    expect(built().at(-1)).toMatchObject({ amphoraFlavor: 'large', imageTag: 'beta', availabilityZone: 'az2' });
  });

  it('never gives one spare to two load balancers', async () => {
    const spares = await Promise.all(Array.from({ length: 5 }, () => world.spare()));
    const ids = await Promise.all(Array.from({ length: 10 }, () => world.create()));
    await world.idle();
    const serving = (await Promise.all(ids.map((id) => world.serving(id)))).flat();
    expect(serving).toHaveLength(10);
    expect(new Set(serving.map(({ id }) => id)).size).toBe(10);
    const taken = serving.filter(({ choice }) => choice?.origin === 'SPARE').map(({ id }) => id);
    expect(taken.sort()).toEqual([...spares].sort());
  });

  it('goes on with what an earlier try was given, and tells its choice once', async () => {
    world.compute.control.delayNext('build', 3_600_000);
    const id = await world.create();
    await world.loseWorkerIn(id, 'build_amphorae');
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect(await eventsOf(id)).toHaveLength(1);
    expect(await world.serving(id)).toHaveLength(1);
  });

  it('puts the two of a pair on different compute hosts, as far as there are several', async () => {
    const compute = new NoopComputeDriver({ hosts: ['h1', 'h2'] });
    const pairs = await TestWorld.open();
    try {
      await pairs.work({ compute });
      const id = await pairs.create(60_000, { topology: 'ACTIVE_STANDBY' });
      expect(await pairs.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
      const serving = await pairs.serving(id);
      expect(serving.map(({ computeHost }) => computeHost).sort()).toEqual(['h1', 'h2']);
      expect(serving.map(({ choice }) => choice?.reason).join()).toContain('built apart from its peer');
      const [one, other] = serving;
      const spares = [await pairs.spare(), await pairs.spare()];
      const hosts = await Promise.all(
        spares.map(async (spare) => (await pairs.amphorae.get(pairs.db.reader, spare)).computeHost),
      );
      expect([...hosts].sort()).toEqual(['h1', 'h2']);
      // Of the two spares, the one that is not on the host of the survivor.
      await pairs.db.transaction((tx) => pairs.flows.start(tx, failoverAmphora(one?.id ?? '', id, requester)));
      expect(await pairs.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
      const successor = (await pairs.serving(id)).find((amphora) => amphora.id !== other?.id);
      expect(spares).toContain(successor?.id);
      expect(successor?.computeHost).not.toBe(other?.computeHost);
      expect(successor?.choice?.reason).toContain('on another compute host than its peer');
    } finally {
      await pairs.close();
    }
  });
});
