import { AmphoraUnavailable, ComputeUnavailable, FenceNotConfirmed, NetworkUnavailable } from '@octavia/drivers';
import { failoverLoadBalancer } from '@octavia/flows';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requester, TestWorld } from './world.ts';

/** Long enough for a few tries, short enough to wait for. */
const DEADLINE_MS = 400;
const FOR_EVER = 10_000;

const WORDS = 'it is away, says the test';
/** What may be away, and an error that says so. */
const outages = {
  'compute.build': ['compute', 'build', new ComputeUnavailable(WORDS)],
  'compute.fence': ['compute', 'fence', new FenceNotConfirmed('instance', WORDS)],
  'compute.delete': ['compute', 'delete', new ComputeUnavailable(WORDS)],
  'network.allocateVip': ['network', 'allocateVip', new NetworkUnavailable(WORDS)],
  'network.releaseVip': ['network', 'releaseVip', new NetworkUnavailable(WORDS)],
  'network.plugVip': ['network', 'plugVip', new NetworkUnavailable(WORDS)],
  'amphora.plugVip': ['amphora', 'plugVip', new AmphoraUnavailable(WORDS)],
  'amphora.pushHaproxy': ['amphora', 'pushHaproxy', new AmphoraUnavailable(WORDS)],
} as const;
type Outage = keyof typeof outages;

/** Each kind of flow with every driver call that can keep it from its end. */
const kinds = {
  create: ['compute.build', 'network.allocateVip', 'network.plugVip', 'amphora.plugVip', 'amphora.pushHaproxy'],
  update: ['amphora.pushHaproxy'],
  failover: ['compute.build', 'compute.fence', 'network.plugVip', 'amphora.plugVip', 'amphora.pushHaproxy'],
  delete: ['compute.fence', 'compute.delete', 'network.releaseVip'],
} as const satisfies Record<string, readonly Outage[]>;
type Kind = keyof typeof kinds;
/** What a person may do next. */
const ways = ['change', 'failover', 'delete'] as const;

const cases = (Object.keys(kinds) as Kind[]).flatMap((kind) =>
  kinds[kind].flatMap((outage) =>
    // Nothing but deletion follows a deletion that failed.
    (kind === 'delete' ? (['delete'] as const) : ways).map((way) => ({ kind, outage, way })),
  ),
);

let world: TestWorld;
beforeAll(async () => {
  world = await TestWorld.open();
  await world.work();
});
afterAll(() => world.close());

function begin(outage: Outage): void {
  const [driver, method, error] = outages[outage];
  world[driver].control.failNext(method, error, FOR_EVER);
}

function end(): void {
  for (const driver of ['compute', 'network', 'amphora'] as const) world[driver].control.reset();
}

/** Starts a flow of the kind while something is away. Returns the id of its load balancer, and of the listener below it. */
async function start(kind: Kind, outage: Outage): Promise<{ id: string; listener: string }> {
  if (kind === 'create') {
    begin(outage);
    const id = await world.create(DEADLINE_MS);
    return { id, listener: await world.addListener(id, 80) };
  }
  const id = await world.create();
  await world.settled(id);
  const isUpdate = kind === 'update';
  if (isUpdate) begin(outage);
  const listener = await world.addListener(id, 80, DEADLINE_MS);
  if (isUpdate) return { id, listener };
  await world.settled(id);
  begin(outage);
  const options = { deadlineMs: DEADLINE_MS };
  if (kind === 'delete') await world.delete(id, options);
  else await world.db.transaction((tx) => world.flows.start(tx, failoverLoadBalancer(id, requester, options)));
  return { id, listener };
}

async function goOn(way: (typeof ways)[number], id: string): Promise<string> {
  if (way === 'delete') {
    await world.delete(id);
    return 'DELETED';
  }
  if (way === 'change') await world.addListener(id, 81);
  else await world.db.transaction((tx) => world.flows.start(tx, failoverLoadBalancer(id, requester)));
  return 'ACTIVE';
}

describe('a flow whose deadline passes', () => {
  it('settles in ERROR with what it waited for, and from there everything works', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...cases), async ({ kind, outage, way }) => {
        const { id, listener } = await start(kind, outage);
        // Not the end of all flows: an amphora that was given up may have to wait for the end of the outage.
        await world.until(`ERROR (${kind}, ${outage})`, async () => {
          const { provisioningStatus } = await world.lb(id);
          if (provisioningStatus === 'ACTIVE' && kind === 'create') throw new Error('It became ACTIVE.');
          return provisioningStatus === 'ERROR';
        });
        const lb = await world.lb(id);
        expect(lb.fault?.reason).toBe(outage === 'compute.fence' ? 'FENCE_NOT_CONFIRMED' : 'DEADLINE_EXCEEDED');
        expect(lb.fault?.message).toContain(WORDS);
        expect((await world.listener(listener)).provisioning_status).not.toMatch(/^PENDING_(CREATE|UPDATE)/);

        end();
        const wanted = await goOn(way, id);
        expect((await world.settled(id)).provisioningStatus).toBe(wanted);
        const status = (await world.listener(listener)).provisioning_status;
        expect(status).toBe(wanted === 'DELETED' ? 'GONE' : 'ACTIVE');
        expect(await world.serving(id)).toHaveLength(wanted === 'DELETED' ? 0 : 1);
        if (wanted === 'ACTIVE') await world.delete(id);
        expect((await world.settled(id)).provisioningStatus).toBe('DELETED');
        expect(await world.leftovers()).toEqual({
          amphorae: 0,
          resources: 0,
          secrets: 0,
          quota: 0,
          turns: 0,
          instances: 0,
        });
      }),
      // One run takes about a second; over many runs of the tests every case comes.
      { numRuns: Number(process.env.DEADLINE_RUNS ?? 12), endOnFailure: true },
    );
  });
});
