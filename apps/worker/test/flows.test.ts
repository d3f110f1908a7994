import { AmphoraBuildError, AmphoraUnavailable, FenceNotConfirmed, NetworkUnavailable } from '@octavia/drivers';
import { failoverLoadBalancer } from '@octavia/flows';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requester, TestWorld } from './world.ts';

let world: TestWorld;
beforeEach(async () => {
  world = await TestWorld.open();
  await world.work();
});
afterEach(() => world.close());

const NOTHING = { amphorae: 0, resources: 0, secrets: 0, turns: 0, instances: 0 };

describe('creating a load balancer', () => {
  it('ends ACTIVE with an amphora that has the VIP and the configuration', async () => {
    const id = await world.create();
    const listener = await world.addListener(id, 80);
    const lb = await world.settled(id);
    expect(lb).toMatchObject({ provisioningStatus: 'ACTIVE', appliedRevision: 1, fault: null });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
    const [amphora] = await world.serving(id);
    expect(amphora).toMatchObject({
      status: 'ALLOCATED',
      appliedRevision: 2,
      haIp: lb.vip.address,
      role: 'STANDALONE',
    });
    expect(await world.network.holders(id)).toEqual([amphora?.id]);
    // Once it has booted, the amphora alone has its key.
    expect(await world.leftovers()).toMatchObject({ secrets: 0, turns: 0 });
  });

  it('takes a spare rather than build', async () => {
    const spare = await world.spare();
    const id = await world.create();
    await world.settled(id);
    expect((await world.serving(id)).map((one) => one.id)).toEqual([spare]);
    expect((await world.compute.list()).length).toBe(1);
  });

  it('takes no spare that does not answer', async () => {
    const dead = await world.spare();
    world.amphora.control.failNext('getFacts', new AmphoraUnavailable('no answer'));
    const id = await world.create();
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect((await world.serving(id)).map((one) => one.id)).not.toContain(dead);
    expect((await world.amphorae.get(world.db.reader, dead)).status).toBe('DELETED');
  });

  const breakages = [
    ['compute', 'build', 'build_amphorae', new AmphoraBuildError('no room')],
    ['certificates', 'issueAgentCertificate', 'build_amphorae', new Error('a bug')],
    ['compute', 'get', 'wait_for_amphorae', new Error('a bug')],
    ['amphora', 'getFacts', 'wait_for_amphorae', new Error('a bug')],
    ['network', 'allocateVip', 'reserve_vip', new Error('a bug')],
    ['network', 'plugVip', 'plug_vip', new Error('a bug')],
    ['amphora', 'plugVip', 'plug_vip', new Error('a bug')],
    ['amphora', 'pushHaproxy', 'push_configuration', new Error('a bug')],
  ] as const;
  for (const [driver, method, , error] of breakages) {
    it(`ends in ERROR and leaves nothing behind when ${driver}.${method} fails for good`, async () => {
      world[driver].control.failNext(method, error);
      const id = await world.create();
      const listener = await world.addListener(id, 80);
      const lb = await world.settled(id);
      expect(lb).toMatchObject({ provisioningStatus: 'ERROR', fault: { message: error.message } });
      expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ERROR' });
      expect(await world.network.holders(id)).toEqual([]);
      expect(await world.leftovers()).toMatchObject(NOTHING);
      // ERROR is no dead end: the next change builds what is missing.
      const second = await world.addListener(id, 81);
      expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
      expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE', fault_reason: null });
      expect(await world.listener(second)).toMatchObject({ provisioning_status: 'ACTIVE' });
    });
  }

  for (const [driver, method, step] of breakages) {
    it(`ends ACTIVE with one amphora when the worker is lost in ${driver}.${method}`, async () => {
      world[driver].control.delayNext(method, 3_600_000);
      const id = await world.create();
      const listener = await world.addListener(id, 80);
      await world.loseWorkerIn(id, step);
      expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
      expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
      const [amphora, ...others] = await world.serving(id);
      expect(others).toEqual([]);
      expect(await world.network.holders(id)).toEqual([amphora?.id]);
      expect(await world.leftovers()).toMatchObject({ amphorae: 1, instances: 1, secrets: 0, turns: 0 });
    });
  }

  it('tries again what was unavailable, and waits for the amphora to answer', async () => {
    world.compute.control.timeOutNext('build', 2);
    world.network.control.failNext('plugVip', new NetworkUnavailable('away'));
    world.amphora.control.failNext('getFacts', new AmphoraUnavailable('boots'), 3);
    const id = await world.create();
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect((await world.compute.list()).length).toBe(1);
  });

  it('ends in ERROR before its deadline when amphora after amphora does not come up', async () => {
    world.amphora.control.failNext('getFacts', new AmphoraUnavailable('It boots for ever.'), 1_000);
    const id = await world.create(1_500);
    expect(await world.settled(id)).toMatchObject({
      provisioningStatus: 'ERROR',
      fault: {
        reason: 'AMPHORA_BUILD_FAILED',
        message: expect.stringMatching(/did not answer within .* boots for ever.*fail the load balancer over/),
      },
    });
    expect(await world.leftovers()).toMatchObject(NOTHING);
  });

  it('takes another amphora when the first does not come up', async () => {
    world.compute.control.failNext('get', new AmphoraBuildError('It ended.'), 2);
    const id = await world.create();
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect(world.compute.control.calls.filter(({ method }) => method === 'build')).toHaveLength(3);
    const [amphora] = await world.serving(id);
    expect(await world.network.holders(id)).toEqual([amphora?.id]);
    expect(await world.leftovers()).toMatchObject({ amphorae: 1, instances: 1, resources: 1, secrets: 0, turns: 0 });
  });

  it('goes on with another amphora when the worker is lost while it replaces the first', async () => {
    world.compute.control.failNext('get', new AmphoraBuildError('It ended.'));
    // The first build passes, the one of the replacement hangs.
    world.compute.control.delayNext('build', 0);
    world.compute.control.delayNext('build', 3_600_000);
    const id = await world.create();
    await world.loseWorkerIn(id, 'wait_for_amphorae');
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    const [amphora, ...others] = await world.serving(id);
    expect(others).toEqual([]);
    expect(await world.network.holders(id)).toEqual([amphora?.id]);
    expect(await world.leftovers()).toMatchObject({ amphorae: 1, instances: 1, resources: 1, secrets: 0, turns: 0 });
  });

  it('is undone for a deletion, which leaves nothing at all', async () => {
    world.amphora.control.delayNext('plugVip', 60_000);
    const id = await world.create();
    await world.addListener(id, 80);
    await world.until('the plug', async () => (await world.network.holders(id)).length === 1);
    await world.delete(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'DELETED' });
    expect(await world.leftovers()).toEqual({ ...NOTHING, quota: 0 });
    const addresses = await world.db.reader.query('SELECT load_balancer_id, free_at > now() AS rests FROM vip_address');
    expect(addresses).toEqual([{ load_balancer_id: null, rests: true }]);
  });
});

describe('changing a load balancer', () => {
  it('folds many changes into few pushes, and settles each', async () => {
    const id = await world.create();
    await world.settled(id);
    const before = world.pushes();
    const listeners = await Promise.all(Array.from({ length: 40 }, (_, i) => world.addListener(id, 8000 + i)));
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', desiredRevision: 41 });
    for (const listener of listeners) {
      expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
    }
    expect(world.pushes() - before).toBeLessThan(20);
    expect((await world.serving(id))[0]?.appliedRevision).toBe(41);
  });

  it('removes what is to be deleted, and its quota, only when the push without it is applied', async () => {
    const id = await world.create();
    const listener = await world.addListener(id, 80);
    await world.settled(id);
    world.amphora.control.delayNext('pushHaproxy', 300);
    await world.removeListener(listener);
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'PENDING_DELETE' });
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'GONE' });
    expect(await world.leftovers()).toMatchObject({ quota: 1 });
  });

  it('keeps the last good configuration when one is refused, and never renders the refused creation again', async () => {
    const id = await world.create();
    const good = await world.addListener(id, 80);
    await world.settled(id);
    world.refuse = (text) => (text.includes(':6666') ? 'cannot bind socket [6666]' : null);
    const bad = await world.addListener(id, 6666);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect(await world.listener(bad)).toEqual({
      provisioning_status: 'ERROR',
      fault_reason: 'CONFIGURATION_REFUSED',
      fault_message: expect.stringContaining('cannot bind socket'),
    });
    const next = await world.addListener(id, 81);
    await world.settled(id);
    for (const one of [good, next]) expect(await world.listener(one)).toMatchObject({ provisioning_status: 'ACTIVE' });
    expect(await world.listener(bad)).toMatchObject({ provisioning_status: 'ERROR' });
  });

  it('serves a new amphora what is left when a creation is refused, and fails over with it', async () => {
    world.refuse = (text) => (text.includes(':6666') ? 'cannot bind socket [6666]' : null);
    world.compute.control.delayNext('build', 200);
    const id = await world.create();
    const bad = await world.addListener(id, 6666);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect(await world.listener(bad)).toMatchObject({
      provisioning_status: 'ERROR',
      fault_reason: 'CONFIGURATION_REFUSED',
    });
    const good = await world.addListener(id, 80);
    await world.settled(id);
    const [amphora] = await world.serving(id);
    if (amphora) await world.fallSilent(amphora);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect(await world.listener(good)).toMatchObject({ provisioning_status: 'ACTIVE' });
    expect(await world.listener(bad)).toMatchObject({ provisioning_status: 'ERROR' });
    // A refused creation can be deleted as anything else.
    await world.removeListener(bad);
    await world.settled(id);
    expect(await world.listener(bad)).toMatchObject({ provisioning_status: 'GONE' });
  });

  it('puts what cannot be rendered in ERROR with the reason, and serves the rest', async () => {
    const id = await world.create();
    const good = await world.addListener(id, 80);
    await world.settled(id);
    const bad = await world.addListener(id, 81);
    await world.db.reader.query(`UPDATE listener SET protocol = 'UDP' WHERE id = $1`, [bad]);
    await world.addListener(id, 82);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect(await world.listener(good)).toMatchObject({ provisioning_status: 'ACTIVE' });
    expect(await world.listener(bad)).toMatchObject({
      provisioning_status: 'ERROR',
      fault_reason: 'UNSUPPORTED_BY_PROVIDER',
    });
  });

  it('keeps trying while the amphora cannot be reached, without losing a change', async () => {
    const id = await world.create();
    await world.settled(id);
    world.amphora.control.failNext('pushHaproxy', new AmphoraUnavailable('no route'), 3);
    const first = await world.addListener(id, 80);
    await world.until('a retry', async () => (await world.flows.open(world.db.reader, id))[0]?.lastError !== null);
    const second = await world.addListener(id, 81);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    for (const one of [first, second])
      expect(await world.listener(one)).toMatchObject({ provisioning_status: 'ACTIVE' });
  });

  it('ends in ERROR at the deadline when the amphora stays unreachable, and a failover serves everything', async () => {
    const id = await world.create();
    await world.settled(id);
    world.amphora.control.failNext('pushHaproxy', new AmphoraUnavailable('no route'), 50);
    const listener = await world.addListener(id, 80, 500);
    expect(await world.settled(id)).toMatchObject({
      provisioningStatus: 'ERROR',
      fault: { reason: 'DEADLINE_EXCEEDED' },
    });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ERROR' });
    world.amphora.control.reset();
    const [amphora] = await world.serving(id);
    if (amphora) await world.fallSilent(amphora);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
  });

  it('does not push what the amphora has already', async () => {
    const id = await world.create();
    await world.addListener(id, 80);
    await world.settled(id);
    const before = world.pushes();
    await world.db.transaction(async (tx) => {
      await tx.query(
        `UPDATE load_balancer SET description = 'other', desired_revision = desired_revision + 1, revision = desired_revision + 1,
         provisioning_status = 'PENDING_UPDATE' WHERE id = $1`,
        [id],
      );
      const { updateLoadBalancer } = await import('@octavia/flows');
      await world.flows.ensurePush(tx, updateLoadBalancer(id, requester));
    });
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', appliedRevision: 3 });
    expect(world.pushes()).toBe(before);
  });

  it('tells each change of a status as an event, numbered without a gap', async () => {
    const id = await world.create();
    await world.addListener(id, 80);
    await world.settled(id);
    const events: { number: string; kind: string; object_kind: string; payload: { to?: string } }[] =
      await world.db.reader.query('SELECT number, kind, object_kind, payload FROM event ORDER BY number');
    expect(events.map(({ number }) => Number(number))).toEqual(events.map((_, i) => i + 1));
    const became = (kind: string) => events.filter((one) => one.object_kind === kind).map(({ payload }) => payload.to);
    expect(became('load_balancer').at(-1)).toBe('ACTIVE');
    expect(became('listener').at(-1)).toBe('ACTIVE');
    expect(events.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['vip_plugged', 'configuration_pushed']));
  });
});

describe('failing over', () => {
  for (const hasSpare of [true, false]) {
    it(`replaces a dead amphora ${hasSpare ? 'by a spare' : 'by a new one when there is no spare'}`, async () => {
      const id = await world.create();
      const listener = await world.addListener(id, 80);
      await world.settled(id);
      const spare = hasSpare ? await world.spare() : null;
      const [old] = await world.serving(id);
      if (!old) throw new Error('Nothing serves.');
      await world.fallSilent(old);
      expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
      const [now] = await world.serving(id);
      expect(now).toMatchObject({ status: 'ALLOCATED', appliedRevision: 2 });
      if (spare) expect(now?.id).toBe(spare);
      expect(await world.network.holders(id)).toEqual([now?.id]);
      expect((await world.amphorae.get(world.db.reader, old.id)).status).toBe('DELETED');
      expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
      expect((await world.compute.list()).length).toBe(1);
      expect(await fencedBeforePlug(old.computeId)).toBe(true);
    });
  }

  it('plugs nothing before it is certain that the old holder is isolated', async () => {
    const id = await world.create();
    await world.settled(id);
    const [old] = await world.serving(id);
    if (!old) throw new Error('Nothing serves.');
    world.compute.control.failNext('fence', new FenceNotConfirmed(old.computeId ?? '', 'its process does not end'), 3);
    const before = world.network.control.calls.length;
    await world.fallSilent(old);
    await world.until('a retry', async () => (await world.flows.open(world.db.reader, id))[0]?.lastError !== null);
    expect(world.network.control.calls.slice(before).map(({ method }) => method)).not.toContain('plugVip');
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
  });

  it('ends in ERROR when there is no replacement, and a later failover repairs it', async () => {
    const id = await world.create();
    await world.settled(id);
    const [old] = await world.serving(id);
    if (!old) throw new Error('Nothing serves.');
    world.compute.control.failNext('build', new AmphoraBuildError('no room'));
    await world.fallSilent(old);
    expect(await world.settled(id)).toMatchObject({
      provisioningStatus: 'ERROR',
      fault: { reason: 'AMPHORA_BUILD_FAILED' },
    });
    await world.fallSilent(old);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect((await world.serving(id)).length).toBe(1);
  });

  it('stops a push for it, and loses no change', async () => {
    const id = await world.create();
    await world.settled(id);
    const [old] = await world.serving(id);
    if (!old) throw new Error('Nothing serves.');
    world.amphora.control.delayNext('pushHaproxy', 60_000);
    const listener = await world.addListener(id, 80);
    // Not only the step: a push that is stopped before its call would leave the delay to the failover's.
    await world.until('the push', async () => world.amphora.control.underWay.includes('pushHaproxy'));
    await world.fallSilent(old);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
  });

  it('leaves nothing to do to a creation that waited while a failover went before it', async () => {
    const busy = await TestWorld.open();
    try {
      const id = await busy.create();
      await busy.db.transaction((tx) => busy.flows.start(tx, failoverLoadBalancer(id, requester)));
      await busy.work();
      expect(await busy.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
      const [amphora, ...others] = await busy.serving(id);
      expect(others).toEqual([]);
      expect(await busy.network.holders(id)).toEqual([amphora?.id]);
      expect((await busy.compute.list()).map(({ amphoraId, status }) => [amphoraId, status])).toEqual([
        [amphora?.id, 'ACTIVE'],
      ]);
    } finally {
      await busy.close();
    }
  });

  it("replaces the amphora on an operator's word", async () => {
    const id = await world.create();
    await world.settled(id);
    const [old] = await world.serving(id);
    await world.db.transaction((tx) => world.flows.start(tx, failoverLoadBalancer(id, requester)));
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect((await world.serving(id))[0]?.id).not.toBe(old?.id);
  });
});

describe('deleting', () => {
  it('leaves nothing outside, and a row that says DELETED', async () => {
    const id = await world.create();
    await world.addListener(id, 80);
    await world.settled(id);
    await world.delete(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'DELETED' });
    expect(await world.leftovers()).toEqual({ ...NOTHING, quota: 0 });
    expect(await world.network.holders(id)).toEqual([]);
  });

  it('settles in ERROR when it cannot, and can be asked for again', async () => {
    const id = await world.create();
    await world.settled(id);
    world.network.control.failNext('releaseVip', new Error('a bug'));
    await world.delete(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ERROR' });
    await world.delete(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'DELETED' });
    expect(await world.leftovers()).toEqual({ ...NOTHING, quota: 0 });
  });

  it('marks a spare that does not come up for deletion, and deletes it', async () => {
    world.compute.control.failNext('build', new AmphoraBuildError('no room'));
    await world.spare('DELETED');
    await world.idle();
    expect(await world.leftovers()).toMatchObject(NOTHING);
  });

  it('sees to it that an amphora which was never built is not built later either', async () => {
    // A worker that was stopped just before its call wakes up when all is cleaned up.
    world.compute.control.failNext('build', new AmphoraBuildError('no room'));
    const amphoraId = await world.spare('DELETED');
    await expect(world.compute.build({ amphoraId })).rejects.toThrow(/is not built/);
    expect(await world.compute.list()).toEqual([]);
  });
});

/** Order of the last fence of an instance and the plug after it, as the drivers saw them. */
async function fencedBeforePlug(computeId: string | null): Promise<boolean> {
  const rows: { kind: string }[] = await world.db.reader.query(
    `SELECT kind FROM event WHERE kind IN ('amphora_fenced', 'vip_plugged') ORDER BY number`,
  );
  const isFenced = world.compute.control.calls.some(({ method, args }) => method === 'fence' && args[0] === computeId);
  return isFenced && rows.map(({ kind }) => kind).join() === 'vip_plugged,amphora_fenced,vip_plugged';
}
