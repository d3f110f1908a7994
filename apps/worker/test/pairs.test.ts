import type { SeatedAmphora } from '@octavia/domain';
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
const HANGS_MS = 3_600_000;

const createPair = (deadlineMs?: number) => world.create(deadlineMs, { topology: 'ACTIVE_STANDBY' });

/** Creates a pair with a listener, and waits for it. */
async function pair(): Promise<{ id: string; master: SeatedAmphora; backup: SeatedAmphora }> {
  const id = await createPair();
  await world.addListener(id, 80);
  expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
  return { id, ...(await membersOf(id)) };
}

async function membersOf(id: string): Promise<{ master: SeatedAmphora; backup: SeatedAmphora }> {
  const serving = await world.serving(id);
  const [master, backup] = ['MASTER', 'BACKUP'].map((role) => serving.find((one) => one.role === role));
  if (serving.length !== 2 || !master || !backup) throw new Error(`${serving.length} amphorae are no pair.`);
  return { master, backup };
}

/** Checks that the pair is whole, and nothing else is left. */
async function expectWhole(id: string): Promise<{ master: SeatedAmphora; backup: SeatedAmphora }> {
  const lb = await world.lb(id);
  expect(lb).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
  const { master, backup } = await membersOf(id);
  for (const one of [master, backup]) {
    expect(one).toMatchObject({
      status: 'ALLOCATED',
      haIp: lb.vip.address,
      vrrpInterface: 'eth1',
      class: { topology: 'ACTIVE_STANDBY' },
      appliedRevision: lb.desiredRevision,
    });
    expect((await world.amphora.vrrpOf(one.id))?.isRunning).toBe(true);
  }
  expect(new Set([lb.vip.address, master.vrrpIp, backup.vrrpIp]).size).toBe(3);
  expect([...(await world.network.holders(id))].sort()).toEqual([master.id, backup.id].sort());
  expect(await world.leftovers()).toMatchObject({ amphorae: 2, instances: 2, resources: 2, secrets: 0, turns: 0 });
  return { master, backup };
}

/** Calls of all drivers in the order in which they ended, such as `plugVip <amphora id>`. */
async function record(): Promise<string[]> {
  const seen: string[] = [];
  for (const driver of ['compute', 'network', 'amphora'] as const) {
    const { control } = world[driver];
    const run = control.run.bind(control);
    control.run = async (method, args, context, work) => {
      const result = await run(method, args, context, work);
      seen.push(`${method} ${JSON.stringify(args)}`);
      return result;
    };
  }
  return seen;
}

function at(seen: readonly string[], method: string, id: string): number {
  const found = seen.findIndex((call) => call.startsWith(`${method} `) && call.includes(id));
  if (found < 0) throw new Error(`${method} of ${id} was not called: ${seen.join('\n')}`);
  return found;
}

async function events(kind: string): Promise<{ object_id: string; payload: Record<string, unknown> }[]> {
  return world.db.reader.query('SELECT object_id, payload FROM event WHERE kind = $1 ORDER BY number', [kind]);
}

/** Driver calls that create and failover of a pair make, with the step that makes them. */
const calls = [
  ['compute', 'build', 'build_amphorae'],
  ['certificates', 'issueAgentCertificate', 'build_amphorae'],
  ['compute', 'get', 'wait_for_amphorae'],
  ['network', 'plugVip', 'plug_vip'],
  ['amphora', 'plugVip', 'plug_vip'],
  ['amphora', 'pushHaproxy', 'push_configuration'],
  ['amphora', 'getInterface', 'configure_vrrp'],
  ['amphora', 'uploadVrrp', 'configure_vrrp'],
  ['amphora', 'startVrrp', 'start_vrrp'],
] as const;

describe('creating a pair', () => {
  it('ends ACTIVE with a MASTER and a BACKUP, each with an address of its own beside the VIP', async () => {
    const { id } = await pair();
    await expectWhole(id);
  });

  it('builds both at the same time, and waits for them together', async () => {
    for (let i = 0; i < 2; i++) world.compute.control.delayNext('build', HANGS_MS);
    const id = await createPair();
    const building = () => world.compute.control.underWay.filter((method) => method === 'build').length;
    await world.until('two builds', async () => building() === 2);
    await world.loseWorkerIn(id, 'build_amphorae');
    await world.settled(id);
    await expectWhole(id);
  });

  it('takes spares, whose agents are told the topology', async () => {
    const spares = [await world.spare(), await world.spare()];
    const id = await createPair();
    await world.settled(id);
    const { master, backup } = await expectWhole(id);
    expect([master.id, backup.id].sort()).toEqual(spares.sort());
    const told = world.amphora.control.calls.filter(({ method }) => method === 'updateAgentConfig');
    expect(told.map(({ args }) => args[0]).sort()).toEqual(spares);
  });

  it('builds in the place of a spare that cannot be told', async () => {
    const spare = await world.spare();
    world.amphora.control.failNext('updateAgentConfig', new AmphoraUnavailable('no answer'));
    const id = await createPair();
    await world.settled(id);
    const { master, backup } = await expectWhole(id);
    expect([master.id, backup.id]).not.toContain(spare);
  });

  for (const [driver, method] of [...calls, ['network', 'allocateVip', 'reserve_vip']] as const) {
    it(`ends in ERROR and leaves nothing behind when ${driver}.${method} fails for good`, async () => {
      const error = method === 'build' ? new AmphoraBuildError('no room') : new Error('a bug');
      world[driver].control.failNext(method, error);
      const id = await createPair();
      expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ERROR', fault: { message: error.message } });
      expect(await world.network.holders(id)).toEqual([]);
      expect(await world.leftovers()).toMatchObject(NOTHING);
      await world.addListener(id, 81);
      await world.settled(id);
      await expectWhole(id);
    });
  }

  for (const [driver, method, step] of [...calls, ['network', 'allocateVip', 'reserve_vip']] as const) {
    it(`ends ACTIVE with two amphorae when the worker is lost in ${driver}.${method}`, async () => {
      world[driver].control.delayNext(method, HANGS_MS);
      const id = await createPair();
      await world.loseWorkerIn(id, step);
      await world.settled(id);
      await expectWhole(id);
    });
  }

  it('is undone for a deletion, which leaves nothing at all', async () => {
    world.amphora.control.delayNext('startVrrp', HANGS_MS);
    const id = await createPair();
    await world.until('the start', async () => world.amphora.control.underWay.includes('startVrrp'));
    await world.delete(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'DELETED' });
    expect(await world.leftovers()).toEqual({ ...NOTHING, quota: 0 });
  });
});

describe('deleting a pair', () => {
  it('leaves nothing outside', async () => {
    const { id } = await pair();
    await world.delete(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'DELETED' });
    expect(await world.leftovers()).toEqual({ ...NOTHING, quota: 0 });
    expect(await world.network.holders(id)).toEqual([]);
  });
});

describe('failing over one of a pair', () => {
  for (const role of ['master', 'backup'] as const) {
    it(`replaces the ${role} with the same role, and tells the other one before the new one takes part`, async () => {
      const { id, ...old } = await pair();
      const dead = old[role];
      const other = old[role === 'master' ? 'backup' : 'master'];
      const seen = await record();
      await world.fallSilent(dead);
      await world.settled(id);
      const now = (await expectWhole(id))[role];
      expect(now.id).not.toBe(dead.id);
      expect((await membersOf(id))[role === 'master' ? 'backup' : 'master'].id).toBe(other.id);
      const order = [
        at(seen, 'fence', dead.id),
        at(seen, 'plugVip', now.id),
        at(seen, 'pushHaproxy', now.id),
        at(seen, 'uploadVrrp', now.id),
        at(seen, 'uploadVrrp', other.id),
        at(seen, 'startVrrp', other.id),
        at(seen, 'startVrrp', now.id),
      ];
      expect(order).toEqual([...order].sort((a, b) => a - b));
      // The other one is neither isolated nor plugged anew.
      for (const method of ['fence', 'plugVip', 'unplugVip', 'stop', 'stopVrrp']) {
        expect(() => at(seen, method, other.id)).toThrow('was not called');
      }
    });
  }

  const failing = [['compute', 'fence', 'fence_old_holders'], ...calls] as const;
  for (const [driver, method, step] of failing) {
    it(`ends ACTIVE with two amphorae when the worker is lost in ${driver}.${method}`, async () => {
      const { id, master, backup } = await pair();
      // The other one starts anew before the new one.
      if (method === 'startVrrp') world[driver].control.delayNext(method, 0);
      world[driver].control.delayNext(method, HANGS_MS);
      await world.fallSilent(master);
      await world.loseWorkerIn(id, step);
      await world.settled(id);
      expect((await expectWhole(id)).backup.id).toBe(backup.id);
    });
  }

  it('ends ACTIVE when the worker is lost while it tells the other one', async () => {
    const { id, master, backup } = await pair();
    // The new one is the first that gets a configuration.
    world.amphora.control.delayNext('pushHaproxy', 0);
    world.amphora.control.delayNext('pushHaproxy', HANGS_MS);
    await world.fallSilent(master);
    await world.loseWorkerIn(id, 'introduce_comers');
    await world.settled(id);
    expect((await expectWhole(id)).backup.id).toBe(backup.id);
  });

  it('keeps the other one when there is no replacement, and a later failover repairs it', async () => {
    const { id, master, backup } = await pair();
    world.compute.control.failNext('build', new AmphoraBuildError('no room'));
    await world.fallSilent(master);
    expect(await world.settled(id)).toMatchObject({
      provisioningStatus: 'ERROR',
      fault: { reason: 'AMPHORA_BUILD_FAILED' },
    });
    expect(world.compute.control.calls.map(({ method }) => method)).not.toContain('fence');
    await world.fallSilent(master);
    await world.settled(id);
    expect((await expectWhole(id)).backup.id).toBe(backup.id);
  });

  it('plugs no third before the dead one is isolated', async () => {
    const { id, master } = await pair();
    world.compute.control.failNext('fence', new FenceNotConfirmed(master.computeId ?? '', 'it does not end'), 3);
    const before = world.network.control.calls.length;
    await world.fallSilent(master);
    await world.until('a retry', async () => (await world.flows.open(world.db.reader, id))[0]?.lastError !== null);
    expect(world.network.control.calls.slice(before).map(({ method }) => method)).not.toContain('plugVip');
    await world.settled(id);
    await expectWhole(id);
  });

  it('repairs a pair of which both are dead, one after the other', async () => {
    const { id, master, backup } = await pair();
    await world.amphora.silence(master.id);
    await world.amphora.silence(backup.id);
    await world.compute.disturb(backup.id, 'STOPPED');
    await world.fallSilent(master);
    await world.settled(id);
    const now = await expectWhole(id);
    expect([now.master.id, now.backup.id]).not.toContain(master.id);
    expect([now.master.id, now.backup.id]).not.toContain(backup.id);
    // The other one did not answer, so it was tried again for a while and replaced.
    expect((await events('amphora_given_up')).map(({ object_id }) => object_id)).toEqual([backup.id]);
  });
});

describe('failing over a pair', () => {
  const failover = (id: string) =>
    world.db.transaction((tx) => world.flows.start(tx, failoverLoadBalancer(id, requester)));

  it('replaces one at a time, the BACKUP first, so that traffic goes on', async () => {
    const { id, master, backup } = await pair();
    const seen = await record();
    await failover(id);
    await world.settled(id);
    const now = await expectWhole(id);
    const order = [
      at(seen, 'fence', backup.id),
      at(seen, 'plugVip', now.backup.id),
      at(seen, 'uploadVrrp', now.backup.id),
      at(seen, 'uploadVrrp', master.id),
      at(seen, 'startVrrp', now.backup.id),
      at(seen, 'fence', master.id),
      at(seen, 'plugVip', now.master.id),
      at(seen, 'uploadVrrp', now.master.id),
      at(seen, 'startVrrp', now.master.id),
    ];
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  it('replaces first who does not answer', async () => {
    const { id, master, backup } = await pair();
    await world.amphora.silence(master.id);
    const seen = await record();
    await failover(id);
    await world.settled(id);
    const now = await expectWhole(id);
    const order = [at(seen, 'fence', master.id), at(seen, 'startVrrp', now.master.id), at(seen, 'fence', backup.id)];
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  it('keeps what the first round brought into service when the second fails', async () => {
    const { id, master, backup } = await pair();
    // Plugs of the first round pass, the one of the second does not.
    world.amphora.control.delayNext('plugVip', 0);
    world.amphora.control.failNext('plugVip', new Error('a bug'));
    await failover(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ERROR', fault: { message: 'a bug' } });
    const serving = await world.serving(id);
    const young = serving.find(({ role }) => role === 'BACKUP');
    expect(young?.id).not.toBe(backup.id);
    expect(await world.network.holders(id)).toContain(young?.id);
    expect((await world.amphora.vrrpOf(young?.id ?? ''))?.isRunning).toBe(true);
    // The old MASTER is isolated, and still to be replaced.
    await world.fallSilent(master);
    await world.settled(id);
    expect((await expectWhole(id)).backup.id).toBe(young?.id);
  });

  it('replaces both at once when neither answers', async () => {
    const { id, master, backup } = await pair();
    for (const one of [master, backup]) await world.amphora.silence(one.id);
    await failover(id);
    await world.settled(id);
    const now = await expectWhole(id);
    expect([now.master.id, now.backup.id]).not.toContain(master.id);
    expect(await events('amphora_unreachable')).toEqual([]);
  });

  for (const [driver, method, step] of [
    ['compute', 'fence', 'fence_old_holders_2'],
    ['network', 'plugVip', 'plug_vip_2'],
    ['amphora', 'startVrrp', 'start_vrrp_2'],
  ] as const) {
    it(`ends ACTIVE with two amphorae when the worker is lost in the second ${driver}.${method}`, async () => {
      const { id, master } = await pair();
      if (method === 'fence') {
        // The deletion of the one that the first round replaced isolates that one at the same time.
        world.compute.control.delayNext('fence', HANGS_MS, 1, ([computeId]) => computeId === master.computeId);
      } else {
        // Both the new one of the first round and the old one that is told of it start keepalived.
        world[driver].control.delayNext(method, 0, method === 'startVrrp' ? 3 : 1);
        world[driver].control.delayNext(method, HANGS_MS);
      }
      await failover(id);
      await world.loseWorkerIn(id, step);
      await world.settled(id);
      await expectWhole(id);
    });
  }
});

describe('changing a pair of which one cannot be reached', () => {
  it('settles at once, and mends the other one when it answers again', async () => {
    const { id, master, backup } = await pair();
    await world.amphora.silence(backup.id);
    const listener = await world.addListener(id, 81);
    await world.until('ACTIVE', async () => (await world.listener(listener)).provisioning_status === 'ACTIVE', 5_000);
    expect((await membersOf(id)).master.appliedRevision).toBe(3);
    expect((await events('amphora_unreachable')).map(({ object_id }) => object_id)).toEqual([backup.id]);
    await world.amphora.silence(backup.id, false);
    await world.settled(id);
    const now = await expectWhole(id);
    expect([now.master.id, now.backup.id]).toEqual([master.id, backup.id]);
    expect(await events('amphora_given_up')).toEqual([]);
  });

  it('does not wait for one that hangs', async () => {
    const { id, master } = await pair();
    world.amphora.control.delayNext('pushHaproxy', HANGS_MS);
    const startedAt = performance.now();
    const listener = await world.addListener(id, 81);
    await world.until('ACTIVE', async () => (await world.listener(listener)).provisioning_status === 'ACTIVE', 10_000);
    expect(performance.now() - startedAt).toBeLessThan(7_000);
    await world.settled(id);
    expect((await expectWhole(id)).master.id).toBe(master.id);
  });

  it('replaces it when it stays away, and does not touch the other one', async () => {
    const { id, master, backup } = await pair();
    await world.amphora.silence(master.id);
    await world.addListener(id, 81);
    await world.settled(id);
    const now = await expectWhole(id);
    expect(now.master.id).not.toBe(master.id);
    expect(now.backup.id).toBe(backup.id);
    const fault = (await world.amphorae.get(world.db.reader, master.id)).fault;
    expect(fault).toMatchObject({ reason: 'AMPHORA_UNREACHABLE' });
    const fenced = world.compute.control.calls.filter(({ method }) => method === 'fence').map(({ args }) => args[0]);
    expect(fenced).not.toContain(backup.computeId);
  });

  it('takes further changes while it is being mended', async () => {
    const { id, backup } = await pair();
    await world.amphora.silence(backup.id);
    for (const port of [81, 82, 83]) {
      const listener = await world.addListener(id, port);
      await world.until('ACTIVE', async () => (await world.listener(listener)).provisioning_status === 'ACTIVE', 5_000);
    }
    await world.settled(id);
    await expectWhole(id);
  });

  it('repairs both when neither can be reached, and loses no change', async () => {
    const { id, master, backup } = await pair();
    for (const one of [master, backup]) await world.amphora.silence(one.id);
    const listener = await world.addListener(id, 81);
    await world.settled(id);
    const now = await expectWhole(id);
    expect([now.master.id, now.backup.id]).not.toContain(master.id);
    expect([now.master.id, now.backup.id]).not.toContain(backup.id);
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
  });

  it('tries again while neither can be reached for a moment', async () => {
    const { id, master, backup } = await pair();
    world.amphora.control.failNext('pushHaproxy', new AmphoraUnavailable('no route'), 2);
    await world.addListener(id, 81);
    await world.settled(id);
    const now = await expectWhole(id);
    expect([now.master.id, now.backup.id]).toEqual([master.id, backup.id]);
  });

  it('survives that the worker is lost while it mends', async () => {
    const { id, backup } = await pair();
    world.amphora.control.failNext('pushHaproxy', new NetworkUnavailable('no route'));
    world.amphora.control.delayNext('uploadVrrp', HANGS_MS);
    await world.addListener(id, 81);
    await world.loseWorkerIn(id, 'mend_amphora');
    await world.settled(id);
    await expectWhole(id);
    expect(backup.id).toBeDefined();
  });
});
