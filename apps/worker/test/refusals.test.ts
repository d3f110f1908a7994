import { createHash } from 'node:crypto';
import { Trees } from '@octavia/db';
import { insertSeat } from '@octavia/db/testing';
import { etagOf, type Intent } from '@octavia/domain';
import { AmphoraUnavailable } from '@octavia/drivers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Callers } from './callers.ts';
import { TestWorld } from './world.ts';

let world: TestWorld;
let id: string;
let callers: Callers;
beforeEach(async () => {
  world = await TestWorld.open();
  await world.work();
  id = await world.create();
  await world.settled(id);
  callers = new Callers(world, id);
});
afterEach(() => world.close());

const WORDS = '[ALERT] config: parsing [haproxy.cfg:12]: unknown keyword';
/** The agents refuse whatever has one of these in it. */
function refuse(...parts: readonly string[]): void {
  world.refuse = (text) => {
    const found = parts.find((part) => text.includes(part));
    return found === undefined ? null : `${WORDS} '${found}'`;
  };
}

async function tree() {
  const read = await new Trees().read(world.db.reader, id);
  if (!read) throw new Error('It is gone.');
  return read;
}
async function object(wanted: string): Promise<Intent & Record<string, unknown>> {
  const { loadBalancer, listeners, pools, members } = await tree();
  const found = [loadBalancer, ...listeners, ...pools, ...members].find((one) => one.id === wanted);
  if (!found) throw new Error(`There is no ${wanted}.`);
  return found as unknown as Intent & Record<string, unknown>;
}
const status = async (wanted: string) => (await object(wanted)).provisioningStatus;

/** The listeners are in ERROR where they are refused, else ACTIVE. */
async function expectRefused(ids: readonly string[], isRefused: (index: number) => boolean): Promise<void> {
  const { listeners } = await tree();
  const statuses = ids.map((one) => listeners.find((listener) => listener.id === one)?.provisioningStatus);
  expect(statuses).toEqual(ids.map((_, i) => (isRefused(i) ? 'ERROR' : 'ACTIVE')));
}

/** Calls of the agent since the last question. */
function calls(): Record<string, number> {
  const all = world.amphora.control.calls;
  const since = all.slice(seen);
  seen = all.length;
  const count = (method: string) => since.filter((call) => call.method === method).length;
  return { pushes: count('pushHaproxy'), checks: count('checkHaproxy'), reloads: count('reloadHaproxy') };
}
let seen = 0;

async function events(kind: string) {
  return world.db.reader.query(
    `SELECT author, request_id, object_kind, object_id, payload FROM event WHERE load_balancer_id = $1 AND kind = $2 ORDER BY id`,
    [id, kind],
  );
}

describe('one refused change among 300 that are folded', () => {
  it.each([0, 211])('is found in few checks (it is number %i), and the rest is served with one reload', async (bad) => {
    refuse(':6666');
    calls();
    const ids: string[] = [];
    await callers.together(async (tx) => {
      for (let i = 0; i < 300; i++) ids.push(await callers.addListener(i === bad ? 6666 : 10_000 + i, {}, tx));
    });
    expect(await world.settled(id)).toMatchObject({
      provisioningStatus: 'ACTIVE',
      fault: null,
      desiredRevision: 301,
    });
    const { pushes = 0, checks = 0, reloads } = calls();
    // The first push is refused before any reload, the last one reloads.
    expect({ pushes, reloads }).toEqual({ pushes: 2, reloads: 0 });
    expect(pushes + checks).toBeLessThanOrEqual(2 * Math.log2(300));
    await expectRefused(ids, (i) => i === bad);
    expect((await object(ids[bad] ?? '')).fault).toEqual({
      reason: 'CONFIGURATION_REFUSED',
      message: `${WORDS} ':6666'`,
    });
    const [amphora] = await world.serving(id);
    expect(amphora?.appliedRevision).toBe(301);
    expect(await world.amphora.served(amphora?.id ?? '', id)).not.toBeNull();
  });
});

describe('what an agent whose check binds nothing refuses', () => {
  it('is found by reloads, and the rest is served', async () => {
    world.refuse = (text, _, when) => (when === 'reload' && text.includes(':6666') ? `${WORDS} ':6666'` : null);
    calls();
    const ids: string[] = [];
    await callers.together(async (tx) => {
      for (let i = 0; i < 16; i++) ids.push(await callers.addListener(i === 9 ? 6666 : 10_000 + i, {}, tx));
    });
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    await expectRefused(ids, (i) => i === 9);
    expect((await object(ids[9] ?? '')).fault).toMatchObject({ message: `${WORDS} ':6666'` });
    const { pushes = 0, checks } = calls();
    // The check passes everything, so that is asked nothing. The first push, the search, and the one that serves.
    expect(checks).toBe(0);
    expect(pushes).toBeLessThanOrEqual(Math.log2(16) + 3 + 1);
    const [amphora] = await world.serving(id);
    expect(amphora?.appliedRevision).toBe(17);
    const served = await world.amphora.served(amphora?.id ?? '', id);
    const text = world.taken.at(-1) ?? '';
    expect([...text.matchAll(/bind \S+:(\d+)/g)]).toHaveLength(15);
    expect(served).toBe(createHash('md5').update(text).digest('hex'));
  });
});

describe('a refused update', () => {
  it('goes back to what is served, with a revision of ours, a new etag and an event, and the rest is served', async () => {
    const first = await callers.addListener(80, { connectionLimit: 100, timeoutClientData: 1_000 });
    const second = await callers.addListener(81);
    await world.settled(id);
    const [amphora] = await world.serving(id);
    refuse('maxconn 666');
    await callers.together(async (tx) => {
      await callers.change('listener', first, { connectionLimit: 666, name: 'new' }, tx);
      await callers.change('listener', second, { connectionLimit: 5 }, tx);
    });
    const wanted = await object(first);
    await world.settled(id);
    const lb = await world.lb(id);
    expect(lb).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null, desiredRevision: 6 });
    const back = await object(first);
    expect(back).toMatchObject({
      provisioningStatus: 'ERROR',
      connectionLimit: 100,
      name: `listener ${first}`,
      author: 'octavia',
      requestId: 'request',
      revision: 6,
      appliedRevision: 6,
      fault: { reason: 'CONFIGURATION_REFUSED', message: expect.stringContaining(WORDS) },
    });
    expect(etagOf(back)).not.toBe(etagOf(wanted));
    expect(await object(second)).toMatchObject({ provisioningStatus: 'ACTIVE', connectionLimit: 5 });
    expect(await events('change_refused')).toMatchObject([
      {
        author: 'octavia',
        request_id: 'request',
        object_kind: 'listener',
        object_id: first,
        payload: {
          action: 'UPDATE',
          reason: 'CONFIGURATION_REFUSED',
          message: expect.stringContaining(WORDS),
          fields: expect.arrayContaining(['name', 'connectionLimit']),
          went_back: expect.arrayContaining(['name', 'connectionLimit']),
          refused_revision: 4,
          revision: 6,
        },
      },
    ]);
    expect((await world.serving(id))[0]?.appliedRevision).toBe(6);
    const text = (await rendered()) ?? '';
    expect(await world.amphora.served(amphora?.id ?? '', id)).toBe(createHash('md5').update(text).digest('hex'));
    // It is a listener as any other: the next change is tried, and settles it.
    await callers.change('listener', first, { connectionLimit: 7 });
    await world.settled(id);
    expect(await object(first)).toMatchObject({ provisioningStatus: 'ACTIVE', connectionLimit: 7, fault: null });
  });

  it('stays in ERROR while others change, and through a failover', async () => {
    const first = await callers.addListener(80, { connectionLimit: 100 });
    await world.settled(id);
    refuse('maxconn 666');
    await callers.change('listener', first, { connectionLimit: 666 });
    await world.settled(id);
    await callers.addListener(81);
    await world.settled(id);
    const [amphora] = await world.serving(id);
    if (amphora) await world.fallSilent(amphora);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect(await object(first)).toMatchObject({ provisioningStatus: 'ERROR', connectionLimit: 100 });
    const [next] = await world.serving(id);
    expect(next?.id).not.toBe(amphora?.id);
    const served = createHash('md5')
      .update((await rendered()) ?? '')
      .digest('hex');
    expect(await world.amphora.served(next?.id ?? '', id)).toBe(served);
  });

  it('leaves what a caller has changed since: a newer value wins, and the other fields go back', async () => {
    const first = await callers.addListener(80, { connectionLimit: 100, timeoutClientData: 1_000 });
    await world.settled(id);
    refuse('maxconn 666');
    world.amphora.control.delayNext('checkHaproxy', 300);
    await callers.change('listener', first, { connectionLimit: 666, timeoutClientData: 2_000 });
    await world.until('the search', async () => world.amphora.control.underWay.includes('checkHaproxy'));
    await callers.change('listener', first, { timeoutClientData: 3_000 });
    await world.settled(id);
    expect(await object(first)).toMatchObject({
      provisioningStatus: 'ACTIVE',
      fault: null,
      connectionLimit: 100,
      timeoutClientData: 3_000,
    });
    const [{ payload }] = await events('change_refused');
    expect(payload).toMatchObject({ went_back: ['connectionLimit'] });
  });
});

describe('what needs something that is refused', () => {
  it('is refused with it, and is served once that is corrected', async () => {
    const listener = await callers.addListener(80);
    await world.settled(id);
    refuse('balance leastconn');
    const made: string[] = [];
    await callers.together(async (tx) => {
      const pool = await callers.addPool({ lbAlgorithm: 'LEAST_CONNECTIONS' }, tx);
      made.push(pool, await callers.addMember(pool, '10.0.0.1', {}, tx));
      made.push(await callers.addListener(81, { defaultPoolId: pool }, tx));
      await callers.change('listener', listener, { defaultPoolId: pool, connectionLimit: 5 }, tx);
      made.push(await callers.addListener(82, {}, tx));
    });
    const [pool = '', member = '', user = '', other = ''] = made;
    await world.settled(id);
    expect(await object(pool)).toMatchObject({
      provisioningStatus: 'ERROR',
      fault: { reason: 'CONFIGURATION_REFUSED', message: expect.stringContaining('balance leastconn') },
    });
    const needs = { reason: 'DEPENDS_ON_REFUSED', message: expect.stringContaining(`pool ${pool}`) };
    for (const one of [member, user])
      expect(await object(one)).toMatchObject({ provisioningStatus: 'ERROR', fault: needs });
    const back = { provisioningStatus: 'ERROR', fault: needs, defaultPoolId: null, connectionLimit: -1 };
    expect(await object(listener)).toMatchObject(back);
    expect(await status(other)).toBe('ACTIVE');
    // A correction of the pool is one of everything that was new with it.
    await callers.change('pool', pool, { lbAlgorithm: 'SOURCE_IP' });
    await world.settled(id);
    for (const one of [pool, member, user])
      expect(await object(one)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect(await object(listener)).toMatchObject(back);
  });

  it('is refused at once while that is as it was', async () => {
    const pool = await callers.addPool();
    await callers.addListener(80, { defaultPoolId: pool });
    await world.settled(id);
    // A member is to blame itself: its pool and the listener are taken without it.
    refuse('10.6.6.6');
    let bad = '';
    let member = '';
    await callers.together(async (tx) => {
      bad = await callers.addPool({}, tx);
      await callers.addListener(81, { defaultPoolId: bad }, tx);
      member = await callers.addMember(bad, '10.6.6.6', {}, tx);
    });
    await world.settled(id);
    expect(await status(member)).toBe('ERROR');
    expect(await status(bad)).toBe('ACTIVE');
    await world.db.reader.query(
      `UPDATE pool SET provisioning_status = 'ERROR', applied_revision = 0, fault_reason = 'CONFIGURATION_REFUSED', fault_message = 'x'
       WHERE id = $1`,
      [bad],
    );
    const late = await callers.addMember(bad, '10.0.0.7');
    const user = await callers.addListener(82, { defaultPoolId: bad });
    await world.settled(id);
    for (const one of [late, user]) {
      expect(await object(one)).toMatchObject({ provisioningStatus: 'ERROR', fault: { reason: 'DEPENDS_ON_REFUSED' } });
    }
    await callers.change('pool', bad, { lbAlgorithm: 'SOURCE_IP' });
    await world.settled(id);
    for (const one of [late, user, bad])
      expect(await object(one)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect(await status(member)).toBe('ERROR');
  });

  it('a pool that is deleted serves on, with its members, while its listener cannot leave it', async () => {
    const blue = await callers.addPool();
    const listener = await callers.addListener(80, { defaultPoolId: blue });
    const member = await callers.addMember(blue, '10.0.0.1');
    await world.settled(id);
    refuse('10.6.6.6', 'balance leastconn');
    let green = '';
    await callers.together(async (tx) => {
      green = await callers.addPool({ lbAlgorithm: 'LEAST_CONNECTIONS' }, tx);
      await callers.change('listener', listener, { defaultPoolId: green }, tx);
      await callers.delete('pool', blue, tx);
    });
    expect(await status(member)).toBe('PENDING_DELETE');
    await world.settled(id);
    expect(await object(listener)).toMatchObject({ provisioningStatus: 'ERROR', defaultPoolId: blue });
    expect(await object(blue)).toMatchObject({ provisioningStatus: 'ERROR', fault: { reason: 'DEPENDS_ON_REFUSED' } });
    expect(await object(member)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect(await rendered()).toContain('10.0.0.1');
    // Both can be asked for again.
    await callers.delete('pool', blue);
    await world.settled(id);
    expect((await tree()).pools.map((pool) => pool.id)).toEqual([green]);
    expect(await object(listener)).toMatchObject({ provisioningStatus: 'ACTIVE', defaultPoolId: null });
    const [{ in_use: inUse }] = await world.db.reader.query(`SELECT in_use FROM quota WHERE resource = 'member'`);
    expect(inUse).toBe(0);
  });
});

describe('the search for refused changes', () => {
  it('finds several, and pushes again for what it did not look at in its time', async () => {
    refuse(
      ...Array.from({ length: 30 }, (_, i) => `:66${10 + i} `),
      ...Array.from({ length: 30 }, (_, i) => `:66${10 + i}\n`),
    );
    const ids: string[] = [];
    await callers.together(async (tx) => {
      for (let i = 0; i < 60; i++) ids.push(await callers.addListener(6600 + i, {}, tx));
    });
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    for (const [i, listener] of ids.entries())
      expect(await status(listener)).toBe(i >= 10 && i < 40 ? 'ERROR' : 'ACTIVE');
  });

  it('blames no change where nothing at all is taken: all stay desired, and a failover serves them', async () => {
    const listener = await callers.addListener(80);
    await world.settled(id);
    const [old] = await world.serving(id);
    world.refuse = (_, amphoraId) => (amphoraId === old?.id ? 'out of memory' : null);
    await callers.change('listener', listener, { connectionLimit: 5 });
    expect(await world.settled(id)).toMatchObject({
      provisioningStatus: 'ERROR',
      fault: { reason: 'LAST_GOOD_REFUSED', message: expect.stringContaining('out of memory') },
    });
    expect(await object(listener)).toMatchObject({ provisioningStatus: 'ERROR', connectionLimit: 5 });
    if (old) await world.fallSilent(old);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
    expect(await object(listener)).toMatchObject({ provisioningStatus: 'ACTIVE', connectionLimit: 5 });
  });

  it('is repeated by another worker when the first is lost in it, with the same result and one reload', async () => {
    refuse(':6666');
    world.amphora.control.delayNext('checkHaproxy', 2_000);
    const ids: string[] = [];
    await callers.together(async (tx) => {
      for (let i = 0; i < 8; i++) ids.push(await callers.addListener(i === 3 ? 6666 : 10_000 + i, {}, tx));
    });
    await world.until('the search', async () => world.amphora.control.underWay.includes('checkHaproxy'));
    const [flow] = await world.db.reader.query(`SELECT waiting_for FROM flow WHERE state = 'RUNNING'`);
    expect(flow.waiting_for).toContain('which of 8 changes they refuse: check 1');
    await world.db.reader.query(`UPDATE flow SET lease_expires_at = now() - interval '1 s' WHERE state = 'RUNNING'`);
    await world.db.reader.query(`SELECT pg_notify('flow', '')`);
    await world.settled(id);
    await expectRefused(ids, (i) => i === 3);
    expect(await world.amphora.served((await world.serving(id))[0]?.id ?? '', id)).not.toBeNull();
  });

  it('is cut off by a failover, which searches anew', async () => {
    const good = await callers.addListener(80);
    await world.settled(id);
    refuse(':6666');
    world.amphora.control.delayNext('checkHaproxy', 30_000);
    const bad = await callers.addListener(6666);
    await world.until('the search', async () => world.amphora.control.underWay.includes('checkHaproxy'));
    const [amphora] = await world.serving(id);
    if (amphora) await world.fallSilent(amphora);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect([await status(good), await status(bad)]).toEqual(['ACTIVE', 'ERROR']);
    expect((await world.serving(id))[0]?.id).not.toBe(amphora?.id);
  });

  it('takes the silence of an amphora for no refusal, and is tried again', async () => {
    refuse(':6666');
    world.amphora.control.failNext('checkHaproxy', new AmphoraUnavailable('no route'), 1);
    const good = await callers.addListener(80);
    const bad = await callers.addListener(6666);
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    expect([await status(good), await status(bad)]).toEqual(['ACTIVE', 'ERROR']);
  });
});

describe('two amphorae of a load balancer', () => {
  let second: string;
  beforeEach(async () => {
    second = await world.spare();
    await world.db.reader.query(`UPDATE amphora SET status = 'ALLOCATED' WHERE id = $1`, [second]);
    await insertSeat(world.db.reader, second, id, { role: 'BACKUP' });
  });

  it('serve the same where one refuses what the other takes', async () => {
    world.refuse = (text, amphoraId) => (amphoraId === second && text.includes(':6666') ? WORDS : null);
    const ids: string[] = [];
    await callers.together(async (tx) => {
      for (const port of [80, 6666, 81]) ids.push(await callers.addListener(port, {}, tx));
    });
    expect(await world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE' });
    await expectRefused(ids, (i) => i === 1);
    const [one, two] = await world.serving(id);
    const served = createHash('md5')
      .update((await rendered()) ?? '')
      .digest('hex');
    for (const amphora of [one, two]) expect(await world.amphora.served(amphora?.id ?? '', id)).toBe(served);
  });

  it('are asked no more once they are silent: what only that one refused is taken', async () => {
    world.refuse = (text, amphoraId) => {
      if (amphoraId !== second || !text.includes(':6666')) return null;
      void world.amphora.silence(second);
      return WORDS;
    };
    const ids: string[] = [];
    await callers.together(async (tx) => {
      for (const port of [80, 6666, 81]) ids.push(await callers.addListener(port, {}, tx));
    });
    await world.until('all are served', async () => (await status(ids[1] ?? '')) === 'ACTIVE');
    await expectRefused(ids, () => false);
  });

  it('where one refuses everything, it is out of order, and the other serves the change', async () => {
    world.refuse = (_, amphoraId) => (amphoraId === second ? 'out of memory' : null);
    const listener = await callers.addListener(80);
    await world.until('it is served', async () => (await status(listener)) === 'ACTIVE');
  });
});

/** What the agents checked last and took. */
async function rendered(): Promise<string | undefined> {
  return world.taken.at(-1);
}
