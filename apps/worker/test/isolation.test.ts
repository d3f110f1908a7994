import type { AmphoraDriver, CallContext, ComputeDriver } from '@octavia/drivers';
import { configureAmphora, failoverLoadBalancer, rotateAmphoraCertificate, sweepOrphans } from '@octavia/flows';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requester, TestWorld } from './world.ts';

let world: TestWorld;
beforeEach(async () => {
  world = await TestWorld.open();
});
afterEach(() => world.close());

const CONCURRENCY = 4;
/** What creations take without trouble is some 100 ms; slots come back after a second. */
const IN_TIME_MS = 10_000;

/** A driver of which some calls hang until they are aborted or let go. */
function hanging<D extends object>(
  driver: D,
  hangs: (method: string, args: readonly unknown[]) => boolean,
): { driver: D; letGo: () => void } {
  const gone = new AbortController();
  const proxy = new Proxy(driver, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        if (!gone.signal.aborted && hangs(String(name), args)) {
          const { signal } = (args.at(-1) ?? {}) as CallContext;
          await new Promise<void>((resolve, reject) => {
            gone.signal.addEventListener('abort', () => resolve(), { once: true });
            signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
          });
        }
        return value.apply(target, args);
      };
    },
  });
  return { driver: proxy, letGo: () => gone.abort() };
}

/** Creates load balancers one after the other, and returns how long the slowest took. */
async function slowestOf(count: number): Promise<number> {
  let slowest = 0;
  for (let i = 0; i < count; i++) {
    const startedAt = performance.now();
    const id = await world.create();
    await world.until('ACTIVE', async () => (await world.lb(id)).provisioningStatus === 'ACTIVE');
    slowest = Math.max(slowest, performance.now() - startedAt);
  }
  return slowest;
}

describe('trouble with one endpoint', () => {
  it('slows nothing else: more amphorae hang than there are slots, and creations keep their time', async () => {
    const hung = new Set<string>();
    const { driver, letGo } = hanging<AmphoraDriver>(world.amphora, (_, [amphora]) =>
      hung.has((amphora as { amphoraId?: string })?.amphoraId ?? ''),
    );
    await world.work({ amphora: driver }, { limits: { concurrency: CONCURRENCY, failoverSlots: 1 } });
    const ids = await Promise.all(Array.from({ length: 2 * CONCURRENCY }, () => world.create()));
    for (const id of ids) await world.settled(id);
    for (const id of ids) for (const { id: amphoraId } of await world.serving(id)) hung.add(amphoraId);
    for (const id of ids) await world.addListener(id, 80);
    expect(await slowestOf(3)).toBeLessThan(IN_TIME_MS);
    // They have waited all the time, and end when the amphorae answer again.
    for (const id of ids) expect((await world.lb(id)).provisioningStatus).toBe('PENDING_UPDATE');
    letGo();
    for (const id of ids) expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
  });

  it('slows no change of what is there when the cloud hangs', async () => {
    let isAway = false;
    const { driver, letGo } = hanging<ComputeDriver>(world.compute, () => isAway);
    await world.work({ compute: driver }, { limits: { concurrency: CONCURRENCY, failoverSlots: 1 } });
    const id = await world.create();
    await world.settled(id);
    isAway = true;
    const waiting = await Promise.all(Array.from({ length: 2 * CONCURRENCY }, () => world.create()));
    const startedAt = performance.now();
    for (const port of [80, 81, 82]) {
      await world.addListener(id, port);
      await world.until('ACTIVE', async () => (await world.lb(id)).provisioningStatus === 'ACTIVE');
    }
    expect(performance.now() - startedAt).toBeLessThan(IN_TIME_MS);
    letGo();
    for (const one of waiting) expect(await world.settled(one)).toMatchObject({ provisioningStatus: 'ACTIVE' });
  });
});

describe('the calls of flows', () => {
  /** They ask about nothing that a flow changes. */
  const UNFENCED = ['managedSubnets', 'clientCa'];

  it('carry the epoch of their flow, each of them, so that none does anything after the lease was lost', async () => {
    await world.work();
    const id = await world.create();
    await world.addListener(id, 80);
    await world.settled(id);
    const start = async (flow: Parameters<typeof world.flows.start>[1]) => {
      await world.db.transaction((tx) => world.flows.start(tx, flow));
      await world.idle();
    };
    const [amphora] = await world.serving(id);
    const spare = await world.spare();
    await start(rotateAmphoraCertificate(amphora?.id ?? '', id, requester));
    await start(configureAmphora(spare, null, requester));
    await start(sweepOrphans(requester, { graceMs: 0 }));
    await start(failoverLoadBalancer(id, requester));
    await world.delete(id);
    await world.idle();
    const { compute, network, amphora: agents, certificates } = world;
    const calls = [compute, network, agents, certificates].flatMap(({ control }) => control.calls);
    expect(calls.length).toBeGreaterThan(20);
    const unfenced = calls.filter(({ fence, method }) => fence === null && !UNFENCED.includes(method));
    expect(unfenced.map(({ method }) => method)).toEqual([]);
  });
});
