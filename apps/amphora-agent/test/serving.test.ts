import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { isAlive } from '../src/processes.ts';
import { get } from './world/http.ts';
import { runLoad } from './world/load.ts';
import { createWorld, eventually, killHard, type World, type WorldOptions } from './world/world.ts';

const open: World[] = [];

async function world(options?: WorldOptions): Promise<World> {
  const created = await createWorld(options);
  open.push(created);
  return created;
}

afterEach(async () => {
  for (const created of open.splice(0)) await created.close();
});

async function serve(w: World, text: string): Promise<void> {
  expect(await w.upload(text)).toMatchObject({ status: 202 });
  expect(await w.act('reload')).toMatchObject({ status: 202 });
}

for (const isPlainUser of [false, true]) {
  describe(`an agent started by ${isPlainUser ? 'a plain user' : 'whoever runs the tests'}`, () => {
    it('serves a configuration when the answer to the reload has come', async () => {
      const w = await world({ isPlainUser });
      await w.start();
      const details = (await w.call('GET', '/1.0/details')).json as { platform: { user: string | null } };
      const isRoot = process.getuid?.() === 0 && !isPlainUser;
      expect(details.platform).toEqual({
        base_path: w.basePath,
        socket_path: w.socketPath,
        user: isRoot ? 'nobody' : null,
        log_socket: null,
        exclusive_bind: true,
        strict_limits: false,
        fast_vrrp: false,
      });
      const { user } = details.platform;
      for (const answer of ['one', 'two', 'three', 'four', 'five', 'six']) {
        await serve(w, w.text({ answer, user }));
        expect(await get(w.vip, 8080)).toBe(answer);
      }
      const listed = await w.call('GET', '/1.0/listeners');
      expect(listed.json).toEqual([{ status: 'ACTIVE', uuid: w.listener, type: 'HTTP' }]);
    });

    it('stops HAProxy and itself at SIGTERM and leaves nothing running', async () => {
      const w = await world({ isPlainUser });
      const agent = await w.start();
      await serve(w, w.text());
      agent.kill('SIGTERM');
      await eventually('the agent has ended', () => agent.exitCode !== null);
      expect(agent.exitCode).toBe(0);
      expect(w.master()).toBeNull();
      expect(w.processes().haproxy).toEqual([]);
    });

    it('loses no request in hitless reloads under load', async () => {
      const w = await world({ isPlainUser });
      await w.start();
      const member = createServer((_, response) => response.end('member'));
      await new Promise<void>((resolve) => member.listen(0, '127.0.0.1', resolve));
      const { port } = member.address() as AddressInfo;
      const pool = { pool: '20000000-0000-4000-8000-000000000001', members: [{ id: 'm1', port }] };
      await serve(w, w.text(pool));
      const load = runLoad(w.vip, 8080, 'member');
      for (let reload = 0; reload < 8; reload++) await serve(w, w.text({ ...pool, more: `# ${reload}\n` }));
      const { done, failures } = await load.stop();
      member.close();
      expect(failures).toEqual([]);
      expect(done).toBeGreaterThan(50);
    });
  });
}

describe('a configuration that cannot be served', () => {
  it('is refused with the words of HAProxy when it is wrong, and the running one serves on', async () => {
    const w = await world();
    await w.start();
    const good = w.text({ answer: 'good' });
    await serve(w, good);
    const refused = await w.upload(w.text({ more: '    nonsense yes\n' }));
    expect(refused.status).toBe(400);
    expect(refused.json).toMatchObject({
      message: 'Invalid request',
      details: expect.stringContaining("unknown keyword 'nonsense'"),
    });
    expect((await w.call('GET', `/1.0/loadbalancer/${w.lb}/haproxy`)).text).toBe(good);
    expect(await w.act('reload')).toMatchObject({ status: 202 });
    expect(await get(w.vip, 8080)).toBe('good');
  });

  it('is refused when its port is taken, and the one before stays on disk and serves', async () => {
    const w = await world();
    await w.start();
    const good = w.text({ answer: 'good' });
    await serve(w, good);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(8081, w.vip, resolve));
    const refused = await w.upload(w.text({ port: 8081 }));
    other.close();
    expect(refused.status).toBe(400);
    expect(refused.json).toEqual({
      message: 'Invalid request',
      details: `address ${w.vip} port 8081: another process of this machine has it. Choose another port, or stop that process and change the listener to try again`,
    });
    expect((await w.call('GET', `/1.0/loadbalancer/${w.lb}/haproxy`)).text).toBe(good);
    expect(await get(w.vip, 8080)).toBe('good');
  });

  it('is refused at the reload when its port was taken since the check, and the one before is back on disk', async () => {
    const w = await world();
    await w.start();
    const good = w.text({ answer: 'good' });
    await serve(w, good);
    expect(await w.upload(w.text({ port: 8081 }))).toMatchObject({ status: 202 });
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(8081, w.vip, resolve));
    const refused = await w.act('reload');
    other.close();
    expect(refused.status).toBe(500);
    expect(refused.json).toMatchObject({ message: 'Error starting haproxy' });
    expect((await w.call('GET', `/1.0/loadbalancer/${w.lb}/haproxy`)).text).toBe(good);
    expect(await get(w.vip, 8080)).toBe('good');
  });

  it('does not count as there when the very first one cannot be served', async () => {
    const w = await world();
    await w.start();
    expect(await w.upload(w.text({ address: '203.0.113.7' }))).toMatchObject({
      status: 400,
      json: { details: expect.stringContaining('this machine does not have the address') },
    });
    expect(await w.act('start')).toMatchObject({ status: 404 });
    await serve(w, w.text());
    expect(await get(w.vip, 8080)).toBe('ok');
  });

  it('names what to do when a plain user asks for a port below 1024', async () => {
    const w = await world({ isPlainUser: true });
    await w.start();
    const lowest = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
    const reply = await w.upload(w.text({ port: 80 }));
    if (lowest <= 80) expect(reply.status).toBe(202);
    else
      expect(reply).toMatchObject({
        status: 400,
        json: {
          details: expect.stringContaining('port 80 needs root or CAP_NET_BIND_SERVICE: choose a port above 1023'),
        },
      });
  });

  it('goes back to the last good one when HAProxy itself fails the reload', async () => {
    const w = await world();
    await w.start();
    const good = w.text({ answer: 'good' });
    await serve(w, good);
    // A socket in a folder that is not there passes the check of the text and fails when it is bound.
    await w.upload(
      good
        .replace('    maxconn 1000\n', '    stats maxconn 5\n    maxconn 1000\n')
        .replace(`${w.lb}.sock`, `no/${w.lb}.sock`),
    );
    const reply = await w.act('reload');
    expect(reply).toMatchObject({ status: 500, json: { message: 'Error reloading haproxy' } });
    expect((await w.call('GET', `/1.0/loadbalancer/${w.lb}/haproxy`)).text).toBe(good);
    expect(await get(w.vip, 8080)).toBe('good');
    await serve(w, w.text({ answer: 'better' }));
    expect(await get(w.vip, 8080)).toBe('better');
  });

  it('may be checked and never served: after the death of HAProxy and of the agent, what passed the check is served', async () => {
    const w = await world();
    await w.start();
    await serve(w, w.text({ answer: 'served' }));
    const checked = w.text({ answer: 'checked' });
    expect(await w.upload(checked)).toMatchObject({ status: 202 });
    expect(await w.upload(w.text({ more: '    nonsense yes\n' }))).toMatchObject({ status: 400 });
    expect(await get(w.vip, 8080)).toBe('served');
    await killHard(w.processes().agent);
    const master = w.master();
    if (!master) throw new Error('HAProxy does not run');
    expect(await get(w.vip, 8080)).toBe('served');
    await killHard(master);
    await w.start();
    expect((await w.call('GET', `/1.0/loadbalancer/${w.lb}/haproxy`)).text).toBe(checked);
    expect(await w.act('reload')).toMatchObject({ status: 202 });
    expect(await get(w.vip, 8080)).toBe('checked');
  });

  it('keeps the old one when the new one cannot be written', async () => {
    const w = await world();
    await w.start();
    const good = w.text({ answer: 'good' });
    await serve(w, good);
    mkdirSync(join(w.basePath, w.lb, 'haproxy.cfg.new.tmp'));
    expect(await w.upload(w.text({ answer: 'other' }))).toMatchObject({
      status: 500,
      json: { message: 'Error writing a file' },
    });
    expect((await w.call('GET', `/1.0/loadbalancer/${w.lb}/haproxy`)).text).toBe(good);
  });
});

describe('the death of processes', () => {
  it('of HAProxy is not healed: its listeners leave the heartbeat until the controller starts it', async () => {
    const w = await world();
    await w.start();
    await serve(w, w.text());
    await w.heartbeats.next(({ listeners }) => w.listener in listeners);
    const master = w.master();
    if (!master) throw new Error('HAProxy does not run');
    await killHard(master);
    await w.heartbeats.next(({ listeners }) => !(w.listener in listeners));
    for (let beat = 0; beat < 5; beat++) expect((await w.heartbeats.next()).listeners).toEqual({});
    expect(w.master()).toBeNull();
    expect(w.log()).toContain('haproxy died');
    expect(w.processes().haproxy).toEqual([]);
    expect((await w.call('GET', '/1.0/listeners')).json).toMatchObject([{ status: 'OFFLINE' }]);
    expect(await w.act('start')).toMatchObject({ status: 202 });
    expect(await get(w.vip, 8080)).toBe('ok');
  });

  it('of a worker alone ends HAProxy, and is not healed either', async () => {
    const w = await world();
    await w.start();
    await serve(w, w.text());
    const worker = w.processes().haproxy[0]?.workers[0];
    if (!worker) throw new Error('no worker is recorded');
    await killHard(worker);
    await eventually('the master has ended', () => w.master() === null);
    await w.heartbeats.next(({ listeners }) => !(w.listener in listeners));
  });

  it('of HAProxy is over for certain when it is started again, also when a worker hangs', async () => {
    const w = await world();
    await w.start();
    await serve(w, w.text());
    const [worker, master] = [w.processes().haproxy[0]?.workers[0], w.master()];
    if (!worker || !master) throw new Error('HAProxy does not run');
    process.kill(worker.pid, 'SIGSTOP');
    await killHard(master);
    await eventually('the agent has noticed', () => w.processes().haproxy.length === 0);
    expect(await w.act('start')).toMatchObject({ status: 202 });
    expect(isAlive(worker)).toBe(false);
    expect(await get(w.vip, 8080)).toBe('ok');
  });

  it('of the agent leaves HAProxy serving, and the next agent adopts it', async () => {
    const w = await world();
    const agent = await w.start();
    await serve(w, w.text({ answer: 'before' }));
    const { agent: recorded, haproxy } = w.processes();
    const master = w.master();
    expect(recorded.pid).toBe(agent.pid);
    expect(haproxy).toMatchObject([{ pid: master?.pid, startTime: master?.startTime }]);
    await killHard(recorded);
    expect(await get(w.vip, 8080)).toBe('before');

    await w.start();
    expect(w.master()?.startTime).toBe(master?.startTime);
    await w.heartbeats.next(({ seq, listeners }) => seq < 5 && w.listener in listeners);
    await serve(w, w.text({ answer: 'after' }));
    expect(await get(w.vip, 8080)).toBe('after');
    expect(w.master()?.pid).toBe(master?.pid);
    if (master) await killHard(master);
    await w.heartbeats.next(({ listeners }) => !(w.listener in listeners));
    expect(w.processes().haproxy).toEqual([]);
  });

  it('of the agent just after it spawned HAProxy, before it wrote down the pid, leaves one that is adopted too', async () => {
    const w = await world();
    await w.start();
    await serve(w, w.text());
    const { agent, ...rest } = w.processes();
    const master = w.master();
    await killHard(agent);
    const haproxy = rest.haproxy.map((record) => ({ ...record, pid: null, startTime: null }));
    writeFileSync(join(w.folder, 'processes.json'), JSON.stringify({ ...rest, agent, haproxy }));
    await w.start();
    expect(w.processes().haproxy).toMatchObject([{ pid: master?.pid, startTime: master?.startTime }]);
  });

  it('leaves no second agent a chance while the first one lives', async () => {
    const w = await world();
    await w.start();
    await serve(w, w.text());
    const before = readFileSync(join(w.folder, 'processes.json'), 'utf8');
    const second = w.spawn();
    await eventually('the second agent has ended', () => second.exitCode !== null);
    expect(second.exitCode).toBe(70);
    expect(readFileSync(join(w.folder, 'processes.json'), 'utf8')).toBe(before);
  });

  it('by the removal of the load balancer is clean', async () => {
    const w = await world();
    await w.start();
    await serve(w, w.text());
    expect(await w.call('DELETE', `/1.0/listeners/${w.lb}`)).toMatchObject({ status: 200, json: { message: 'OK' } });
    expect(w.master()).toBeNull();
    await expect(get(w.vip, 8080)).rejects.toThrow('ECONNREFUSED');
    expect(await w.call('GET', `/1.0/loadbalancer/${w.lb}/haproxy`)).toMatchObject({ status: 404 });
  });
});
