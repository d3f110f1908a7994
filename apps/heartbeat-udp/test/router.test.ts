import { InvalidRequest, shardOf, statusHash, statusHashBits } from '@octavia/domain';
import { ReportHeartbeatsRequest } from '@octavia/proto';
import { describe, expect, it } from 'vitest';
import { amphoraId, body, LISTENER, MEMBER, POOL } from './seal.ts';
import { World } from './world.ts';

const UP = { listeners: { [LISTENER]: 'OPEN' }, pools: { [POOL]: { status: 'UP', members: { [MEMBER]: 'UP' } } } };
const never = () => Promise.withResolvers<never>().promise;
const failing = async (): Promise<never> => {
  throw new Error('gone');
};

describe('what an owner is told', () => {
  it('is one entry for each amphora, with the newest of everything and the sums of differences', async () => {
    const world = new World();
    world.say(body(1, 5, { rx: 10 }));
    world.say(body(1, 6, { rx: 20 }));
    world.nowMs += 30;
    world.say(body(1, 7, { rx: 30 }));
    world.nowMs += 12;
    world.own('a:1');
    await world.until(() => world.requestsTo('a:1').length === 1);
    const [request] = world.requestsTo('a:1');
    expect(request).toMatchObject({ number: 1n, senderId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    expect(request?.heartbeats).toEqual([
      {
        amphoraId: amphoraId(1),
        ageMs: 12,
        seq: 7n,
        boot: '',
        statusHash: statusHashBits(statusHash(UP)),
        status: UP,
        counters: [
          {
            listenerId: LISTENER,
            absolute: false,
            bytesIn: 60n,
            bytesOut: 3n,
            totalConnections: 3n,
            requestErrors: 0n,
            activeConnections: 7n,
          },
        ],
        datagrams: 3,
      },
    ]);
  });

  it('is that the listener lives, when there is nothing else to tell, with a number of its own and without a retry', async () => {
    const world = new World({}, 5);
    world.answers.set('a:1', failing);
    world.own('a:1');
    await world.until(() => world.requestsTo('a:1').length >= 3);
    world.answers.delete('a:1');
    world.say(body(1, 1));
    await world.until(() => world.heartbeatsAt('a:1').length === 1);
    const numbers = world.requestsTo('a:1').map((request) => request.number);
    expect(numbers).toEqual(numbers.map((_, index) => BigInt(index + 1)));
    await world.router.drain(0);
  });

  it('has the newest totals, where an amphora sends totals', async () => {
    const world = new World();
    world.say(body(1, 5, { rx: 10, ver: 2 }));
    world.say(body(1, 6, { rx: 25, ver: 2 }));
    world.own('a:1');
    await world.until(() => world.heartbeatsAt('a:1').length === 1);
    expect(world.heartbeatsAt('a:1')[0]?.counters).toMatchObject([
      { absolute: true, bytesIn: 25n, totalConnections: 1n },
    ]);
  });

  it('has the whole status once, again when it changes, when it is wanted, and for another owner', async () => {
    const world = new World();
    world.own('a:1');
    let seq = 0;
    const sent = async (owner: string, member = 'UP') => {
      const before = world.heartbeatsAt(owner).length;
      world.say(body(1, seq++, { member }));
      await world.until(() => world.heartbeatsAt(owner).length > before);
      return world.heartbeatsAt(owner).at(-1)?.status !== undefined;
    };
    expect(await sent('a:1')).toBe(true);
    expect(await sent('a:1')).toBe(false);
    expect(await sent('a:1', 'DOWN')).toBe(true);
    world.answers.set('a:1', () => ({ wantedStatuses: [amphoraId(1), amphoraId(99)] }));
    expect(await sent('a:1', 'DOWN')).toBe(false);
    world.answers.delete('a:1');
    expect(await sent('a:1', 'DOWN')).toBe(true);
    expect(await sent('a:1', 'DOWN')).toBe(false);
    world.own('b:1');
    expect(await sent('b:1', 'DOWN')).toBe(true);
    world.own('a:1');
    expect(await sent('a:1', 'DOWN')).toBe(true);
  });

  it('comes in batches of at most 1000 entries, numbered without a gap', async () => {
    const world = new World();
    for (let n = 0; n < 2500; n++) world.say(body(n, 0));
    world.own('a:1');
    await world.until(() => world.heartbeatsAt('a:1').length === 2500);
    expect(world.requestsTo('a:1').map(({ number, heartbeats }) => [number, heartbeats.length])).toEqual([
      [1n, 1000],
      [2n, 1000],
      [3n, 500],
    ]);
    expect(world.router.waiting).toBe(0);
  });

  it('comes in smaller batches where statuses are long, one at least', async () => {
    const world = new World();
    for (let n = 0; n < 5; n++) world.say(body(n, 0), 1_000_000);
    world.say(body(5, 0), 3_000_000);
    world.own('a:1');
    await world.until(() => world.heartbeatsAt('a:1').length === 6);
    expect(world.requestsTo('a:1').map(({ heartbeats }) => heartbeats.length)).toEqual([2, 2, 1, 1]);
  });
});

describe('a sender that names ever other listeners', () => {
  it('does not grow what waits, nor a batch beyond what gRPC takes', async () => {
    const world = new World();
    const listeners = (first: number, count: number) =>
      Object.fromEntries(
        Array.from({ length: count }, (_, n) => {
          const stats = { tx: 2 ** 50, rx: 2 ** 50, conns: 2 ** 50, totconns: 2 ** 50, ereq: 2 ** 50 };
          return [`10000000-0000-4000-8000-${String(first + n).padStart(12, '0')}`, { status: 'OPEN', stats }];
        }),
      );
    for (let seq = 0; seq < 20; seq++) world.say({ ...body(1, seq), listeners: listeners(seq * 200, 200) });
    for (let n = 2; n < 12; n++) world.say({ ...body(n, 0), listeners: listeners(0, 9_000) });
    world.own('a:1');
    await world.until(() => world.heartbeatsAt('a:1').length === 11);
    expect(world.heartbeatsAt('a:1')[0]?.counters.length).toBe(1000);
    for (const request of world.requestsTo('a:1')) {
      expect(ReportHeartbeatsRequest.encode(request).finish().length).toBeLessThan(4_194_304);
    }
  });
});

describe('a batch whose answer is lost', () => {
  it('is sent again with its number and content, only older, and counts once with the next in order', async () => {
    const world = new World();
    world.own('a:1');
    let failures = 3;
    world.answers.set('a:1', () => {
      world.nowMs += 100;
      if (failures-- > 0) throw new Error('deadline exceeded');
      return {};
    });
    world.say(body(1, 0, { rx: 10 }));
    await world.until(() => world.requestsTo('a:1').length >= 1);
    world.say(body(1, 1, { rx: 7 }));
    world.say(body(2, 0));
    await world.until(() => world.heartbeatsAt('a:1').length === 6);
    const requests = world.requestsTo('a:1');
    expect(requests.map(({ number }) => number)).toEqual([1n, 1n, 1n, 1n, 2n]);
    const withoutAge = requests.slice(0, 4).map(({ heartbeats }) => heartbeats.map(({ ageMs, ...rest }) => rest));
    for (const content of withoutAge) expect(content).toEqual(withoutAge[0]);
    expect(requests.slice(0, 4).map(({ heartbeats }) => heartbeats[0]?.ageMs)).toEqual([0, 100, 200, 300]);
    expect(requests[4]?.heartbeats).toMatchObject([
      { amphoraId: amphoraId(1), counters: [{ bytesIn: 7n }] },
      { amphoraId: amphoraId(2) },
    ]);
    expect(world.batches.filter((batch) => batch.startsWith('retried'))).toHaveLength(3);
  });

  it('is dropped when the owner refuses it for good, and the next one is sent', async () => {
    const world = new World();
    world.own('a:1');
    world.answers.set('a:1', ({ number }) => {
      if (number === 1n) throw new InvalidRequest([{ field: 'heartbeats', description: 'bad', reason: 'BAD' }]);
      return {};
    });
    world.say(body(1, 0));
    await world.until(() => world.batches.includes('refused a:1'));
    world.say(body(1, 1));
    await world.until(() => world.batches.includes('taken a:1'));
    expect(world.heartbeatsAt('a:1').at(-1)?.status).toBeDefined();
  });
});

describe('a change of owner', () => {
  it('moves what waits, with its counters', async () => {
    const world = new World();
    world.own('a:1');
    world.answers.set('a:1', never);
    world.say(body(1, 0));
    await world.until(() => world.requestsTo('a:1').length === 1);
    world.say(body(2, 0, { rx: 5 }));
    world.own('b:1');
    await world.until(() => world.heartbeatsAt('b:1').length === 1);
    expect(world.heartbeatsAt('b:1')).toMatchObject([{ amphoraId: amphoraId(2), counters: [{ bytesIn: 5n }] }]);
  });

  it('takes what may have been counted already to the new owner without its counters', async () => {
    const world = new World();
    world.own('a:1');
    world.answers.set('a:1', failing);
    world.say(body(1, 0));
    await world.until(() => world.requestsTo('a:1').length > 1);
    world.own('b:1');
    await world.until(() => world.heartbeatsAt('b:1').length === 1);
    expect(world.heartbeatsAt('b:1')).toMatchObject([{ amphoraId: amphoraId(1), counters: [], seq: 0n }]);
    expect(world.heartbeatsAt('b:1')[0]?.status).toBeDefined();
    expect(world.batches).toContain('abandoned a:1');
  });

  it('goes on numbering when an owner comes back', async () => {
    const world = new World();
    for (const owner of ['a:1', 'b:1', 'a:1']) {
      world.own(owner);
      const before = world.batches.length;
      world.say(body(1, before));
      await world.until(() => world.batches.length > before);
    }
    expect(world.requestsTo('a:1').map(({ number }) => number)).toEqual([1n, 2n]);
    expect(world.requestsTo('b:1').map(({ number }) => number)).toEqual([1n]);
  });

  it('is believed when the old owner tells it first: entries that it did not take are whole at the next one', async () => {
    const world = new World();
    world.own('a:1');
    world.answers.set('a:1', ({ heartbeats }) => ({ notOwned: heartbeats.map((one) => shardOf(one.amphoraId)) }));
    world.say(body(1, 0, { rx: 3 }));
    await world.until(() => world.requestsTo('a:1').length >= 2);
    world.own('b:1');
    await world.until(() => world.heartbeatsAt('b:1').length === 1);
    expect(world.heartbeatsAt('b:1')).toMatchObject([{ counters: [{ bytesIn: 3n }], datagrams: 1 }]);
    expect(world.heartbeatsAt('b:1')[0]?.status).toBeDefined();
  });

  it('sends each amphora to the owner of its shard', async () => {
    const world = new World();
    world.own('a:1', 'b:1', '');
    for (let n = 0; n < 300; n++) world.say(body(n, 0));
    const expected = [0, 0, 0];
    for (let n = 0; n < 300; n++) {
      const third = Math.floor((shardOf(amphoraId(n)) * 3) / 4096);
      expected[third] = (expected[third] ?? 0) + 1;
    }
    await world.until(
      () => world.heartbeatsAt('a:1').length + world.heartbeatsAt('b:1').length >= 300 - (expected[2] ?? 0),
    );
    expect([world.heartbeatsAt('a:1').length, world.heartbeatsAt('b:1').length, world.router.waiting]).toEqual(
      expected,
    );
  });
});

describe('while no owner is known', () => {
  it('keeps the newest of each amphora, and drops the oldest amphorae beyond its limit, counted', async () => {
    const world = new World({ waitingEntries: 100 });
    for (let round = 0; round < 3; round++) for (let n = 0; n < 60; n++) world.say(body(n, round));
    expect(world.router.waiting).toBe(60);
    for (let n = 60; n < 150; n++) world.say(body(n, 0));
    expect(world.router.waiting).toBe(100);
    expect(world.counts.get('backlog_full')).toBe(150);
    world.own('a:1');
    await world.until(() => world.heartbeatsAt('a:1').length === 100);
    expect(world.heartbeatsAt('a:1')[0]).toMatchObject({ amphoraId: amphoraId(50), seq: 2n, datagrams: 3 });
  });

  it('stays within its memory under a flood of long bodies, and empties its count of it', async () => {
    const world = new World({ waitingBytes: 10_000 });
    for (let n = 0; n < 1000; n++) world.say(body(n, 0), 1_000);
    for (let n = 990; n < 1000; n++) world.say(body(n, 1), 1_000);
    expect(world.router.waiting).toBe(10);
    world.own('a:1');
    await world.until(() => world.router.waiting === 0);
    for (let n = 0; n < 10; n++) world.say(body(n, 9), 1_000);
    await world.until(() => world.router.waiting === 0);
    expect(world.counts.get('backlog_full')).toBe(990);
  });

  it('remembers no more amphorae than it may', async () => {
    const world = new World({ knownAmphorae: 10, waitingEntries: 1000 });
    for (let n = 0; n < 100; n++) world.say(body(n, 7, { boot: 'x' }));
    world.own('a:1');
    await world.until(() => world.router.waiting === 0);
    // Forgotten, so the owner has to judge it; those known are judged here.
    expect(world.say(body(1, 7, { boot: 'x' }))).toBe('accepted');
    expect(world.say(body(99, 7, { boot: 'x' }))).toBe('replayed');
  });
});

describe('a datagram that comes again', () => {
  it('is told from a new start by the boot id', () => {
    const world = new World();
    expect(world.say(body(1, 5, { boot: 'one' }))).toBe('accepted');
    expect(world.say(body(1, 5, { boot: 'one' }))).toBe('replayed');
    expect(world.say(body(1, 4, { boot: 'one' }))).toBe('replayed');
    expect(world.say(body(1, 0, { boot: 'two' }))).toBe('accepted');
    expect(world.say(body(1, 6, { boot: 'two' }))).toBe('accepted');
  });

  it('does not count twice in a batch, also without a boot id', async () => {
    const world = new World();
    for (let copy = 0; copy < 3; copy++) world.say(body(1, 5, { rx: 10 }));
    world.own('a:1');
    await world.until(() => world.heartbeatsAt('a:1').length === 1);
    expect(world.heartbeatsAt('a:1')).toMatchObject([{ datagrams: 1, counters: [{ bytesIn: 10n }] }]);
  });

  it('is left to the owner when the sender may have started again, and gives way to what is newer', async () => {
    const world = new World();
    world.own('a:1');
    world.say(body(1, 50, { rx: 10 }));
    await world.until(() => world.heartbeatsAt('a:1').length === 1);
    expect(world.say(body(1, 3, { rx: 1000 }))).toBe('accepted');
    expect(world.say(body(1, 51, { rx: 20 }))).toBe('accepted');
    await world.until(() => world.heartbeatsAt('a:1').length === 2);
    expect(world.heartbeatsAt('a:1')[1]).toMatchObject({ seq: 51n, counters: [{ bytesIn: 20n }] });
    expect(world.say(body(1, 0, { rx: 5 }))).toBe('accepted');
    await world.until(() => world.heartbeatsAt('a:1').length === 3);
    expect(world.heartbeatsAt('a:1')[2]).toMatchObject({ seq: 0n, counters: [{ bytesIn: 5n }] });
  });
});

describe('the end of the process', () => {
  it('sends what waits, and gives up in time when nobody takes it', async () => {
    const world = new World();
    world.own('a:1');
    world.say(body(1, 0));
    await world.router.drain(15_000);
    expect(world.heartbeatsAt('a:1')).toHaveLength(1);

    const stuck = new World();
    stuck.own('a:1');
    stuck.answers.set('a:1', failing);
    stuck.say(body(1, 0));
    stuck.nowMs = 0;
    await stuck.router.drain(20);
    expect(stuck.batches).toContain('retried a:1');
  });
});
