import { failoverLoadBalancer } from '@octavia/flows';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Agents, type Mode } from './agents.ts';
import { requester, TestWorld } from './world.ts';

let world: TestWorld;
let agents: Agents;
beforeEach(async () => {
  world = await TestWorld.open();
  agents = new Agents();
  await world.work(await agents.open());
});
afterEach(async () => {
  await world.close();
  await agents.close();
});

const NOTHING = { amphorae: 0, resources: 0, secrets: 0, turns: 0 };

async function served(): Promise<{ id: string; amphoraId: string }> {
  const id = await world.create();
  expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
  const [amphora] = await world.serving(id);
  return { id, amphoraId: amphora?.id ?? '' };
}

function failOver(id: string): Promise<string> {
  return world.db.transaction(async (tx) =>
    world.flows.start(tx, failoverLoadBalancer(id, requester, { deadlineMs: 15_000 })),
  );
}

async function lastError(id: string): Promise<string> {
  const [flow] = await world.flows.open(world.db.reader, id);
  return flow?.lastError ? `${flow.lastError.reason} ${flow.lastError.message}` : '';
}

describe('an amphora that does not come up', () => {
  it.each<[Mode, number, RegExp]>([
    ['silent', 3_000, /did not answer within .* refused the connection: no agent listens there/],
    ['dies', 15_000, /did not come up: Its agent ended.* the stand-in was told to die/],
    ['garbage', 3_000, /did not answer within .* an answer that is not an agent's \(text\/html\)/],
    ['hang', 4_000, /did not answer within/],
  ])(
    'is tried anew, then the load balancer is in ERROR, and nothing is left over: %s',
    async (mode, deadlineMs, words) => {
      agents.all(mode);
      const id = await world.create(deadlineMs);
      expect(await world.settled(id)).toMatchObject({
        provisioningStatus: 'ERROR',
        fault: { reason: 'AMPHORA_BUILD_FAILED', message: expect.stringMatching(words) },
      });
      const built: { status: string }[] = await world.db.reader.query('SELECT status FROM amphora');
      expect(built).toEqual([{ status: 'DELETED' }, { status: 'DELETED' }, { status: 'DELETED' }]);
      expect(await world.leftovers()).toMatchObject(NOTHING);
      expect({ left: agents.left(), running: agents.running() }).toEqual({ left: [], running: [] });

      agents.all('ok');
      await failOver(id);
      expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
      await world.delete(id);
      expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'DELETED' });
      expect({ left: agents.left(), running: agents.running() }).toEqual({ left: [], running: [] });
    },
  );

  it('can be deleted from ERROR, too', async () => {
    agents.all('dies');
    const id = await world.create();
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ERROR' });
    await world.delete(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'DELETED' });
    expect(await world.leftovers()).toEqual({ ...NOTHING, quota: 0, instances: 0 });
  });
});

describe('an agent that misbehaves', () => {
  it.each<[Mode, RegExp]>([
    ['garbage', /AMPHORA_UNAVAILABLE .* an answer that is not an agent's/],
    ['error', /AMPHORA_UNAVAILABLE .* ENOSPC: no space left on device/],
    ['hang', /AMPHORA_UNAVAILABLE .* did not answer in time/],
  ])('is asked again until it behaves, and holds up no other load balancer: %s', async (mode, words) => {
    const [one, other] = [await served(), await served()];
    agents.tell(one.amphoraId, mode);
    const listener = await world.addListener(one.id, 80);
    await world.until('a second try', async () => words.test(await lastError(one.id)));
    expect(await world.lb(one.id)).toMatchObject({ provisioningStatus: 'PENDING_UPDATE' });

    const startedAt = performance.now();
    const elsewhere = await world.addListener(other.id, 80);
    await world.until('the other push', async () => (await world.listener(elsewhere)).provisioning_status === 'ACTIVE');
    expect(performance.now() - startedAt).toBeLessThan(3_000);

    agents.tell(one.amphoraId, 'ok');
    expect(await world.settled(one.id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
  });

  it('and goes on doing so leaves ERROR with its last words at the deadline, and a failover replaces it', async () => {
    const { id, amphoraId } = await served();
    agents.tell(amphoraId, 'error');
    const listener = await world.addListener(id, 80, 1_500);
    expect(await world.settled(id)).toMatchObject({
      provisioningStatus: 'ERROR',
      fault: { reason: 'DEADLINE_EXCEEDED', message: expect.stringContaining('ENOSPC: no space left on device') },
    });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ERROR' });
    await failOver(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
    expect((await world.serving(id)).map((amphora) => amphora.id)).not.toContain(amphoraId);
  });

  it('is replaced in the middle of a push that hangs', async () => {
    const { id, amphoraId } = await served();
    agents.tell(amphoraId, 'hang');
    const listener = await world.addListener(id, 80);
    await world.until(
      'the push',
      async () => (await world.flows.open(world.db.reader, id))[0]?.step === 'push_configuration',
    );
    await failOver(id);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect(await world.listener(listener)).toMatchObject({ provisioning_status: 'ACTIVE' });
    expect((await world.serving(id)).map((amphora) => amphora.id)).not.toContain(amphoraId);
  });
});
