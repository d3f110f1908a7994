import { AgentConfigs, FenceConfirmations } from '@octavia/db';
import { AmphoraUnavailable, ComputeUnavailable, FenceNotConfirmed, InstanceOfAnotherHost } from '@octavia/drivers';
import { configureAmphora, failoverLoadBalancer } from '@octavia/flows';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { definitions } from '../src/flows/index.ts';
import { requester, TestWorld } from './world.ts';

let world: TestWorld;
beforeEach(async () => {
  world = await TestWorld.open();
});
afterEach(() => world.close());

const FOR_EVER = 10_000;
const serving = async () => {
  const id = await world.create();
  await world.settled(id);
  const [amphora] = await world.serving(id);
  if (!amphora) throw new Error('There is no amphora.');
  return { id, amphora };
};
const confirm = (amphoraId: string) =>
  new FenceConfirmations().confirm(world.db.reader, { amphoraId, author: 'root', requestId: 'r' });
const failover = (id: string, deadlineMs = 60_000) =>
  world.db.transaction((tx) => world.flows.start(tx, failoverLoadBalancer(id, requester, { deadlineMs })));
const neverFenced = () =>
  world.compute.control.failNext('fence', new FenceNotConfirmed('instance', 'its host is away'), FOR_EVER);
const kinds = async (id: string): Promise<string[]> =>
  (await world.db.reader.query('SELECT kind FROM event WHERE load_balancer_id = $1 ORDER BY id', [id])).map(
    (row: { kind: string }) => row.kind,
  );

describe('a failover whose old holder cannot be isolated', () => {
  beforeEach(() => world.work());

  it('waits, says for what, and goes on once a person has confirmed it', async () => {
    const { id, amphora } = await serving();
    neverFenced();
    const flowId = await failover(id);
    await world.until('a wait for the isolation', async () => {
      const flow = await world.flows.get(world.db.reader, flowId);
      return flow.state === 'QUEUED' && flow.step === 'fence_old_holders';
    });
    const waiting = await world.flows.get(world.db.reader, flowId);
    expect(waiting.waitingFor).toBe('the amphora to be isolated, or a person to confirm that it is');
    expect(waiting.lastError).toMatchObject({ reason: 'FENCE_NOT_CONFIRMED' });
    expect(waiting.lastError?.message).toContain(`amphora fence --confirm ${amphora.id}`);
    // Nothing has moved meanwhile.
    expect(await world.network.holders(id)).toEqual([amphora.id]);
    await confirm(amphora.id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    const [successor] = (await world.serving(id)).filter(({ status }) => status === 'ALLOCATED');
    expect(successor?.id).not.toBe(amphora.id);
    expect(await kinds(id)).toContain('amphora_fenced');
  });

  it('ends in ERROR with that reason when nobody does anything, and leaves the old holder as it is', async () => {
    const { id, amphora } = await serving();
    neverFenced();
    await failover(id, 600);
    await world.until('ERROR', async () => (await world.lb(id)).provisioningStatus === 'ERROR');
    expect((await world.lb(id)).fault).toMatchObject({ reason: 'FENCE_NOT_CONFIRMED' });
    expect(await world.network.holders(id)).toEqual([amphora.id]);
    expect((await world.amphorae.get(world.db.reader, amphora.id)).status).toBe('ALLOCATED');
    // ERROR is no dead end.
    world.compute.control.reset();
    await failover(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
  });

  it('waits for a compute service that is away, and for a host whose workers are gone, in the same way', async () => {
    for (const error of [new ComputeUnavailable('it is away'), new InstanceOfAnotherHost('c', 'h')]) {
      const { id, amphora } = await serving();
      world.compute.control.failNext('fence', error, FOR_EVER);
      await failover(id, 600);
      await world.until('ERROR', async () => (await world.lb(id)).provisioningStatus === 'ERROR');
      expect((await world.lb(id)).fault).toMatchObject({ reason: 'FENCE_NOT_CONFIRMED' });
      world.compute.control.reset();
      expect((await world.amphorae.get(world.db.reader, amphora.id)).status).toBe('ALLOCATED');
    }
  });

  it('does not believe a confirmation of an amphora that was heard after it', async () => {
    const { id, amphora } = await serving();
    await confirm(amphora.id);
    await world.db.reader.query(`INSERT INTO liveness_slot (amphora_id, shard, page, slot) VALUES ($1, 0, 0, 0)`, [
      amphora.id,
    ]);
    await world.db.reader.query(
      `INSERT INTO liveness_page (page, epoch, written_at, ages_ms, generations)
       VALUES (0, 1, clock_timestamp() + interval '1 minute', '{0}', '{1}')`,
    );
    neverFenced();
    await failover(id, 600);
    await world.until('ERROR', async () => (await world.lb(id)).provisioningStatus === 'ERROR');
    expect((await world.lb(id)).fault).toMatchObject({ reason: 'FENCE_NOT_CONFIRMED' });
  });

  it('needs no word about a replacement that was built for a failover that gave up, and never had the VIP', async () => {
    const { id, amphora } = await serving();
    neverFenced();
    await failover(id, 600);
    await world.until('ERROR', async () => (await world.lb(id)).provisioningStatus === 'ERROR');
    const replacements = (await world.seats.ofLoadBalancer(world.db.reader, id)).filter((one) => one.id !== amphora.id);
    expect(replacements).toMatchObject([{ status: 'PENDING_DELETE', haIp: null }]);
    await confirm(amphora.id);
    await failover(id);
    await world.until('ACTIVE', async () => (await world.lb(id)).provisioningStatus === 'ACTIVE');
    const fenced = await world.db.reader.query(`SELECT object_id FROM event WHERE kind = 'amphora_fenced'`);
    expect(fenced).toEqual([{ object_id: amphora.id }]);
  });

  it('isolates one that may have got the VIP before its worker died', async () => {
    const { id, amphora } = await serving();
    world.network.control.delayNext('plugVip', 3_600_000);
    const flowId = await failover(id);
    await world.until('a plug', async () => world.network.control.underWay.includes('plugVip'));
    const [young] = (await world.seats.ofLoadBalancer(world.db.reader, id)).filter((one) => one.id !== amphora.id);
    // The other replacement comes, and the undo of the first did not see what it had done.
    world.network.control.failNext('unplugVip', new Error('a bug'), FOR_EVER);
    await world.flows.requestStop(world.db.reader, flowId);
    await world.until('the end', async () => (await world.flows.get(world.db.reader, flowId)).state === 'CANCELLED');
    world.network.control.reset();
    await failover(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect(young).toMatchObject({ haIp: (await world.lb(id)).vip.address });
  });

  it('asks the network driver to let the confirmed one go, too', async () => {
    const { id, amphora } = await serving();
    neverFenced();
    await confirm(amphora.id);
    await failover(id);
    await world.settled(id);
    const plugs = world.network.control.calls.filter(({ method }) => method === 'plugVip');
    expect(plugs.at(-1)?.args).toMatchObject([{ confirmedFences: [amphora.id] }]);
  });
});

describe('a deletion of what nobody reaches', () => {
  beforeEach(() => world.work());

  it('ends once a person has isolated it, and leaves a recorded orphan behind', async () => {
    const { id, amphora } = await serving();
    neverFenced();
    world.compute.control.failNext('delete', new ComputeUnavailable('its host is away'), FOR_EVER);
    await world.delete(id);
    await world.until('a wait', async () => {
      const [flow] = await world.flows.open(world.db.reader, id);
      return flow?.lastError?.reason === 'FENCE_NOT_CONFIRMED';
    });
    await confirm(amphora.id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'DELETED' });
    const left = await world.db.reader.query('SELECT kind, name, state, amphora_id FROM external_resource');
    expect(left).toEqual([
      { kind: 'instance', name: `amphora-${amphora.id}`, state: 'DELETING', amphora_id: amphora.id },
    ]);
    expect(await kinds(id)).toContain('orphan_left');
  });
});

describe('the configuration of an agent', () => {
  const configure = async (amphoraId: string, loadBalancerId: string | null, deadlineMs = 60_000) => {
    const flow = configureAmphora(amphoraId, loadBalancerId, requester, { deadlineMs });
    const id = await world.db.transaction((tx) => world.flows.start(tx, flow));
    await world.idle();
    return world.flows.get(world.db.reader, id);
  };
  const noted = async (amphoraId: string) =>
    (await world.db.reader.query('SELECT agent_settings FROM amphora WHERE id = $1', [amphoraId]))[0].agent_settings;

  it('is sent anew, noted, and touches no traffic', async () => {
    await world.work();
    const { id, amphora } = await serving();
    const built = await noted(amphora.id);
    expect(built).toMatch(/^[0-9a-f]{32}$/);
    await world.db.reader.query('UPDATE amphora SET agent_settings = NULL');
    const pushes = world.pushes();
    expect(await configure(amphora.id, id)).toMatchObject({ state: 'SUCCEEDED' });
    expect(world.amphora.control.calls.at(-1)).toMatchObject({ method: 'updateAgentConfig', outcome: 'done' });
    expect(await noted(amphora.id)).toBe(built);
    expect(world.pushes()).toBe(pushes);
    expect(await world.lb(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
  });

  it('is left to a worker that has the newest settings', async () => {
    await world.work();
    const { id, amphora } = await serving();
    await new AgentConfigs().want(world.db.reader, 'of another worker');
    expect(await configure(amphora.id, id, 400)).toMatchObject({
      state: 'FAILED',
      lastError: { reason: 'DEADLINE_EXCEEDED', message: expect.stringContaining('AGENT_SETTINGS_DIFFER') },
    });
    expect(world.amphora.control.calls.map(({ method }) => method)).not.toContain('updateAgentConfig');
  });

  it('waits for an agent that does not answer, and is dropped for one that is on its way out', async () => {
    await world.work();
    const spare = await world.spare();
    world.amphora.control.failNext('updateAgentConfig', new AmphoraUnavailable('hiccup'));
    expect(await configure(spare, null)).toMatchObject({ state: 'SUCCEEDED' });
    await world.db.transaction((tx) => world.amphorae.setStatus(tx, spare, 'PENDING_DELETE'));
    expect(await configure(spare, null)).toMatchObject({ state: 'CANCELLED' });
  });
});

describe('a flow of ours that cannot be settled', () => {
  it('leaves its load balancer in ERROR with the reason, and a failover mends it', async () => {
    let isBroken = true;
    const broken = definitions.map((flow) =>
      flow.name === 'load_balancer.create'
        ? {
            ...flow,
            settle: async (...args: Parameters<NonNullable<typeof flow.settle>>) => {
              if (isBroken) throw new TypeError('a bug of ours');
              return (await flow.settle?.(...args)) ?? null;
            },
          }
        : flow,
    );
    await world.work({}, { definitions: broken });
    const id = await world.create();
    const listener = await world.addListener(id, 80);
    await world.until('ERROR', async () => (await world.lb(id)).provisioningStatus === 'ERROR');
    expect((await world.lb(id)).fault).toMatchObject({ reason: 'SETTLE_FAILED' });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ERROR' });
    await world.idle();
    isBroken = false;
    await failover(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
  });
});
