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

function failOver(id: string, there = world): Promise<string> {
  return there.db.transaction(async (tx) =>
    there.flows.start(tx, failoverLoadBalancer(id, requester, { deadlineMs: 15_000 })),
  );
}

/** Half of it is for the first amphora; a busy machine needs a second to start one. */
const BUILD_DEADLINE_MS = 10_000;

async function givesUp(mode: Mode, words: RegExp): Promise<void> {
  const own = { world: await TestWorld.open(), agents: new Agents() };
  try {
    await own.world.work(await own.agents.open());
    own.agents.all(mode);
    const id = await own.world.create(BUILD_DEADLINE_MS);
    await own.world.until(
      'ERROR',
      async () => (await own.world.lb(id)).provisioningStatus === 'ERROR',
      3 * BUILD_DEADLINE_MS,
    );
    expect(await own.world.settled(id)).toMatchObject({
      fault: { reason: 'AMPHORA_BUILD_FAILED', message: expect.stringMatching(words) },
    });
    const built: { status: string }[] = await own.world.db.reader.query('SELECT status FROM amphora');
    expect(new Set(built.map(({ status }) => status))).toEqual(new Set(['DELETED']));
    // The third one only where there is a second left for it, which a busy machine may not have.
    expect([2, 3]).toContain(built.length);
    expect(await own.world.leftovers()).toMatchObject(NOTHING);
    expect({ left: own.agents.left(), running: own.agents.running() }).toEqual({ left: [], running: [] });

    own.agents.all('ok');
    await failOver(id, own.world);
    expect(await own.world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    await own.world.delete(id);
    expect(await own.world.settled(id)).toMatchObject({ provisioningStatus: 'DELETED' });
    expect({ left: own.agents.left(), running: own.agents.running() }).toEqual({ left: [], running: [] });
  } finally {
    await own.world.close();
    await own.agents.close();
  }
}

async function lastError(id: string): Promise<string> {
  const [flow] = await world.flows.open(world.db.reader, id);
  return flow?.lastError ? `${flow.lastError.reason} ${flow.lastError.message}` : '';
}

describe('an amphora that does not come up', () => {
  it('is tried anew, then the load balancer is in ERROR, and nothing is left over', { timeout: 90_000 }, async () => {
    // At once, each in a world of its own: what they wait for is time.
    await Promise.all([
      givesUp('silent', /did not answer within .*; the last try: .* refused the connection: no agent listens there/),
      givesUp('dies', /did not come up: Its agent ended.* the stand-in was told to die/),
      givesUp('garbage', /did not answer within .*; the last try: /),
      givesUp('hang', /did not answer within /),
    ]);
  });

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
