import { FailoverCandidates } from '@octavia/db';
import { placementOf, type SeatedAmphora } from '@octavia/domain';
import { NoopComputeDriver } from '@octavia/drivers';
import { failoverAmphora, failoverLoadBalancer } from '@octavia/flows';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requester, TestWorld } from './world.ts';

const NOTHING = { amphorae: 0, resources: 0, secrets: 0, turns: 0, instances: 0 };
const FOR_EVER = 1_000;

let world: TestWorld;
beforeEach(async () => {
  world = await TestWorld.open();
  await world.work({}, { colocationLimit: 3 });
});
afterEach(() => world.close());

async function create(fields: Parameters<TestWorld['create']>[1] = {}): Promise<string> {
  const id = await world.create(60_000, fields);
  expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
  return id;
}

async function several(count: number): Promise<string[]> {
  const ids = [];
  for (let number = 0; number < count; number++) ids.push(await create());
  return ids;
}

async function amphoraOf(id: string): Promise<SeatedAmphora> {
  const [only, ...others] = await world.seats.ofLoadBalancer(world.db.reader, id, ['ALLOCATED']);
  if (!only || others.length > 0) throw new Error(`${id} has ${others.length + 1} amphorae.`);
  return only;
}

/** Waits until it is served elsewhere. */
async function moved(id: string, from: string): Promise<void> {
  const isAt = async () => (await world.seats.ofLoadBalancer(world.db.reader, id, ['ALLOCATED'])).map((one) => one.id);
  await world.until('it is moved', async () => !(await isAt()).includes(from), 60_000);
}

const idsOf = async (ids: readonly string[]) => (await Promise.all(ids.map(amphoraOf))).map(({ id }) => id);
const fenced = () => world.compute.control.calls.filter(({ method }) => method === 'fence').length;
const pushesTo = (amphoraId: string, id: string) =>
  world.amphora.control.calls.filter(
    ({ method, args }) => method === 'pushHaproxy' && args[0] === amphoraId && args[1] === id,
  ).length;

/** It serves its configuration and has its VIP at this amphora, and nowhere else. */
async function expectServed(id: string, amphora: SeatedAmphora): Promise<void> {
  expect(await world.network.holders(id)).toEqual([amphora.id]);
  const { lbNetworkIp, agentPort } = amphora;
  const endpoint = { amphoraId: amphora.id, lbNetworkIp: lbNetworkIp ?? '', agentPort };
  expect(await world.amphora.getHaproxyEtag(endpoint, id)).not.toBeNull();
}

/** As health: heartbeats stopped. */
async function fallSilent(amphoraId: string): Promise<void> {
  await world.compute.disturb(amphoraId, 'STOPPED');
  world.amphora.silence(amphoraId);
  await world.db.transaction(async (tx) => {
    const candidates = new FailoverCandidates();
    const all = await candidates.lock(tx, amphoraId);
    await candidates.setFault(tx, amphoraId, { reason: 'HEARTBEAT_LOST', message: 'silent' });
    for (const { loadBalancerId } of all) {
      await world.flows.start(tx, failoverAmphora(amphoraId, loadBalancerId, requester));
    }
  });
}

describe('an amphora for several load balancers', () => {
  it('takes as many of a project as the limit says, tells why, and then there is another one', async () => {
    const ids = await several(4);
    const [first, second, third, fourth] = await Promise.all(ids.map(amphoraOf));
    expect(new Set([first?.id, second?.id, third?.id]).size).toBe(1);
    expect(fourth?.id).not.toBe(first?.id);
    expect(first?.choice).toMatchObject({
      origin: 'NEW',
      reason: expect.stringMatching(/^no amphora of the project has/),
    });
    expect(third?.choice).toEqual({
      origin: 'COLOCATED',
      reason: 'it serves the project and has room: load balancer 3 of 3',
    });
    for (const [index, id] of ids.entries()) await expectServed(id, await amphoraOf(ids[index] ?? id));
    const events = await world.db.reader.query(
      `SELECT payload ->> 'origin' AS origin FROM event WHERE kind = 'amphora_chosen' ORDER BY id`,
    );
    expect(events.map(({ origin }: { origin: string }) => origin)).toEqual(['NEW', 'COLOCATED', 'COLOCATED', 'NEW']);
  });

  it('is never shared by two projects', async () => {
    const [mine, theirs] = [await create(), await create({ projectId: 'other' })];
    expect((await amphoraOf(mine)).id).not.toBe((await amphoraOf(theirs)).id);
  });

  it('is not joined by one whose flavor wants it alone, and one of such a flavor is joined by nobody', async () => {
    const alone = placementOf({ colocation_limit: 1 }, {});
    const [shared, first] = [await create(), await create({ placement: alone })];
    const joined = await create();
    expect((await amphoraOf(first)).id).not.toBe((await amphoraOf(shared)).id);
    expect((await amphoraOf(joined)).id).toBe((await amphoraOf(shared)).id);
  });

  it('is never that of a pair', async () => {
    await create();
    const pair = await create({ topology: 'ACTIVE_STANDBY' });
    const single = await create();
    const ofPair = await world.serving(pair);
    expect(ofPair.map(({ isShared, seatLimit }) => [isShared, seatLimit])).toEqual([
      [false, 1],
      [false, 1],
    ]);
    expect(ofPair.map(({ id }) => id)).not.toContain((await amphoraOf(single)).id);
  });

  it('takes no two load balancers of an apolocation group', async () => {
    const a = { apolocationGroup: 'a' };
    const ids = [await create(a), await create(a), await create({ apolocationGroup: 'b' }), await create()];
    const [first, second, third, fourth] = await idsOf(ids);
    expect(second).not.toBe(first);
    expect([first, second]).toContain(third);
    expect(fourth).toBe(third);
  });

  it('is on another compute host than those of the group, where there are several', async () => {
    const compute = new NoopComputeDriver({ hosts: ['h1', 'h2'] });
    const hosts = await TestWorld.open();
    try {
      await hosts.work({ compute });
      const ids = [];
      for (const _ of [1, 2]) {
        const id = await hosts.create(60_000, { apolocationGroup: 'a' });
        await hosts.settled(id);
        ids.push(id);
      }
      const serving = (await Promise.all(ids.map((id) => hosts.serving(id)))).flat();
      expect(serving.map(({ computeHost }) => computeHost).sort()).toEqual(['h1', 'h2']);
      expect(serving[1]?.choice?.reason).toContain('built apart from apolocation group a');
    } finally {
      await hosts.close();
    }
  });

  it('is never given beyond its limit, however many come at once', async () => {
    await create();
    const ids = await Promise.all(Array.from({ length: 12 }, () => world.create()));
    await world.idle();
    for (const id of ids) expect(await world.lb(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    const rows = await world.db.reader.query(
      `SELECT seats_taken, seat_limit, (SELECT count(*)::integer FROM seat WHERE amphora_id = amphora.id) AS seats FROM amphora`,
    );
    expect(rows.every((row: Record<string, number>) => row.seats === row.seats_taken && Number(row.seats) <= 3)).toBe(
      true,
    );
    expect(rows.reduce((sum: number, row: Record<string, number>) => sum + (row.seats ?? 0), 0)).toBe(13);
  });

  it('is passed over when it does not answer', async () => {
    const [id] = await several(1);
    const { id: amphoraId } = await amphoraOf(id ?? '');
    world.amphora.silence(amphoraId);
    const other = await create();
    expect((await amphoraOf(other)).id).not.toBe(amphoraId);
    await world.idle();
    expect(
      (await world.amphorae.get(world.db.reader, amphoraId)).seats.map(({ loadBalancerId }) => loadBalancerId),
    ).toEqual([id]);
  });
});

describe('leaving an amphora that serves others', () => {
  it('a deletion takes its own load balancer along, and with the last one the amphora', async () => {
    const [first = '', second = ''] = await several(2);
    const amphora = await amphoraOf(first);
    const pushes = pushesTo(amphora.id, second);
    await world.delete(first);
    expect(await world.settled(first)).toMatchObject({ provisioningStatus: 'DELETED' });
    expect(await world.network.holders(first)).toEqual([]);
    await expectServed(second, await amphoraOf(second));
    expect([fenced(), pushesTo(amphora.id, second)]).toEqual([0, pushes]);
    expect((await amphoraOf(second)).isShared).toBe(false);
    await world.delete(second);
    await world.settled(second);
    expect(await world.leftovers()).toMatchObject(NOTHING);
  });

  it('a failover moves one, and the others serve on', async () => {
    const [first = '', second = ''] = await several(2);
    const amphora = await amphoraOf(first);
    await world.db.transaction((tx) => world.flows.start(tx, failoverLoadBalancer(first, requester)));
    expect(await world.settled(first)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    await world.idle();
    const moved = await amphoraOf(first);
    expect(moved.id).not.toBe(amphora.id);
    await expectServed(first, moved);
    await expectServed(second, amphora);
    expect([fenced(), pushesTo(amphora.id, second)]).toEqual([0, 1]);
    expect((await world.amphorae.get(world.db.reader, amphora.id)).seats).toHaveLength(1);
  });

  it('comes back to it later as if it had never been there', async () => {
    const [first = '', second = ''] = await several(2);
    const amphora = await amphoraOf(first);
    const move = async () => {
      await world.db.transaction((tx) => world.flows.start(tx, failoverLoadBalancer(first, requester)));
      await world.settled(first);
      await world.idle();
      return amphoraOf(first);
    };
    await move();
    expect(await move()).toMatchObject({ id: amphora.id, choice: { origin: 'COLOCATED' } });
    await expectServed(first, amphora);
    await expectServed(second, amphora);
  });

  it('a creation that fails leaves, and the others serve on', async () => {
    const [first = ''] = await several(1);
    const amphora = await amphoraOf(first);
    world.amphora.control.failNext('pushHaproxy', new Error('a bug'), FOR_EVER);
    const id = await world.create(2_000);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ERROR' });
    await world.idle();
    expect((await world.amphorae.get(world.db.reader, amphora.id)).seats).toMatchObject([{ loadBalancerId: first }]);
    expect(await world.network.holders(id)).toEqual([]);
    await expectServed(first, amphora);
    expect(fenced()).toBe(0);
  });

  it('is done by the next worker when one dies at it', async () => {
    const [first = '', second = ''] = await several(2);
    const amphora = await amphoraOf(first);
    world.amphora.control.delayNext('deleteLoadBalancer', 3_600_000);
    await world.delete(first);
    await world.loseWorkerIn(first, 'delete_amphorae');
    expect(await world.settled(first)).toMatchObject({ provisioningStatus: 'DELETED' });
    await expectServed(second, amphora);
    expect((await world.amphorae.get(world.db.reader, amphora.id)).seats).toHaveLength(1);
  });

  it('is forced where the agent does not answer: the amphora is isolated, and the others are moved', async () => {
    const [first = '', second = ''] = await several(2);
    const amphora = await amphoraOf(first);
    world.amphora.silence(amphora.id);
    await world.delete(first);
    expect(await world.settled(first)).toMatchObject({ provisioningStatus: 'DELETED' });
    await moved(second, amphora.id);
    await world.idle();
    await expectServed(second, await amphoraOf(second));
    expect((await world.amphorae.get(world.db.reader, amphora.id)).status).toBe('DELETED');
    expect(fenced()).toBeGreaterThan(0);
  });
});

describe('the death of an amphora that serves several', () => {
  it('moves all of them, and leaves nothing of it', async () => {
    const ids = await several(3);
    const [dead = ''] = await idsOf(ids);
    await fallSilent(dead);
    for (const id of ids) await moved(id, dead);
    await world.idle();
    for (const id of ids) {
      expect(await world.lb(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
      await expectServed(id, await amphoraOf(id));
    }
    expect(await world.amphorae.get(world.db.reader, dead)).toMatchObject({ status: 'DELETED' });
    for (const id of ids) await world.delete(id);
    for (const id of ids) await world.settled(id);
    await world.idle();
    expect(await world.leftovers()).toMatchObject(NOTHING);
  });

  it('is given no further load balancer from the moment on in which it is known', async () => {
    const [first = ''] = await several(1);
    const { id: dead } = await amphoraOf(first);
    await world.db.transaction((tx) =>
      new FailoverCandidates().setFault(tx, dead, { reason: 'HEARTBEAT_LOST', message: 'silent' }),
    );
    expect((await amphoraOf(await create())).id).not.toBe(dead);
  });
});
