import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { get } from './world/http.ts';
import { createWorld, eventually, killHard, type World } from './world/world.ts';

const open: World[] = [];
afterEach(async () => {
  for (const created of open.splice(0)) await created.close();
});
async function world(intervalSeconds: number): Promise<World> {
  const created = await createWorld({ intervalSeconds });
  open.push(created);
  return created;
}

const POOL = '20000000-0000-4000-8000-000000000001';

describe('the heartbeats of an agent', () => {
  it('begin at once and with 0, empty, with the id of the amphora and of this start', async () => {
    const w = await world(60);
    const first = w.heartbeats.next();
    await w.start();
    expect(await first).toMatchObject({ id: w.amphoraId, seq: 0, ver: 3, listeners: {}, pools: {} });
    expect((await first).boot).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('do not wait for the interval when what is served has changed', async () => {
    const w = await world(60);
    await w.start();
    const changed = w.heartbeats.next(({ listeners }) => w.listener in listeners);
    await w.upload(w.text());
    await w.act('reload');
    expect((await changed).listeners[w.listener]).toMatchObject({ status: 'OPEN' });
  });

  it('tell statuses of members as HAProxy has them, and DRAIN for one that is up with weight 0', async () => {
    const w = await world(0.1);
    const member = createServer((_, response) => response.end('x'));
    await new Promise<void>((resolve) => member.listen(0, '127.0.0.1', resolve));
    const { port } = member.address() as AddressInfo;
    await w.start();
    const check = 'check inter 100ms fall 1 rise 1';
    const members = [
      { id: 'up', port, rest: check },
      { id: 'draining', port, rest: `weight 0 ${check}` },
      { id: 'down', port: 1, rest: check },
      { id: 'unchecked', port, rest: 'weight 0' },
      { id: 'disabled', port, rest: `${check} disabled` },
    ];
    await w.upload(w.text({ pool: POOL, members }));
    await w.act('reload');
    const key = `${POOL}:${w.listener}`;
    const { pools } = await w.heartbeats.next((message) => message.pools[key]?.members.down === 'DOWN');
    member.close();
    expect(pools).toEqual({
      [key]: {
        status: 'UP',
        members: { up: 'UP', draining: 'DRAIN', down: 'DOWN', unchecked: 'no check', disabled: 'MAINT' },
      },
    });
  });

  it('count each connection once, over reloads and a restart of the agent', async () => {
    const w = await world(0.1);
    await w.start();
    await w.upload(w.text());
    await w.act('reload');
    const total = () =>
      w.heartbeats.received.reduce((sum, { listeners }) => sum + (listeners[w.listener]?.stats.totconns ?? 0), 0);
    for (const _ of [1, 2, 3]) await get(w.vip, 8080);
    await eventually('three connections are reported', () => total() === 3);
    await w.act('reload');
    for (const _ of [1, 2, 3, 4, 5]) await get(w.vip, 8080);
    await eventually('the connections after the reload are reported', () => total() === 8);
    await killHard(w.processes().agent);
    await w.start();
    await w.heartbeats.next(({ listeners }) => w.listener in listeners);
    await get(w.vip, 8080);
    await eventually('the connection after the restart is reported', () => total() === 9);
    await w.heartbeats.next();
    expect(total()).toBe(9);
  });

  it('go on, without its listeners, while HAProxy does not answer', async () => {
    const w = await world(0.1);
    await w.start();
    await w.upload(w.text());
    await w.act('reload');
    await w.heartbeats.next(({ listeners }) => w.listener in listeners);
    const worker = w.processes().haproxy[0]?.workers[0];
    if (!worker) throw new Error('no worker is recorded');
    process.kill(worker.pid, 'SIGSTOP');
    await w.heartbeats.next(({ listeners }) => !(w.listener in listeners));
    await w.heartbeats.next(({ listeners }) => !(w.listener in listeners));
    process.kill(worker.pid, 'SIGCONT');
    await w.heartbeats.next(({ listeners }) => w.listener in listeners);
  });

  it('have numbers without gaps', async () => {
    const w = await world(0.05);
    await w.start();
    await eventually('twenty have arrived', () => w.heartbeats.received.length > 20);
    const numbers = w.heartbeats.received.map(({ seq }) => seq);
    expect(numbers).toEqual(numbers.map((_, index) => index));
  });
});
