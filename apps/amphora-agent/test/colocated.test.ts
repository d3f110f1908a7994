import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { findProcesses, isAlive, readProcess } from '../src/processes.ts';
import { createAmphora } from './pair/amphora.ts';
import { ip, layWires, whyNoPair } from './pair/wires.ts';
import { createAuthority } from './world/authority.ts';
import { type Guest, guestOf, guestsOf } from './world/guests.ts';
import { get } from './world/http.ts';
import { runLoad } from './world/load.ts';
import { createWorld, eventually, killHard, type World } from './world/world.ts';

const open: World[] = [];
afterEach(async () => {
  for (const created of open.splice(0)) await created.close();
});

/** An agent with two load balancers that serve, each on a VIP of its own. */
async function colocated(): Promise<{ w: World; a: Guest; b: Guest }> {
  const w = await createWorld({ intervalSeconds: 0.1 });
  open.push(w);
  await w.start();
  const [a, b] = guestsOf(w, 'a', 'b');
  await a.serve();
  await b.serve();
  return { w, a, b };
}

/** Every process of a load balancer's HAProxy. */
const processesOf = (guest: Guest) => findProcesses((words) => words.includes('-W') && words.includes(guest.file));

describe('two load balancers of one amphora', () => {
  it('have a HAProxy, a folder and sockets of their own', async () => {
    const { w, a, b } = await colocated();
    expect(await get(a.vip, 8080)).toBe('a');
    expect(await get(b.vip, 8080)).toBe('b');
    expect(a.master().pid).not.toBe(b.master().pid);
    for (const { folder } of [a, b]) expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(readdirSync(w.socketPath)).toHaveLength(4);
    expect((await w.call('GET', '/1.0/listeners')).json).toHaveLength(2);
  });

  it('do not feel what befalls the other: death, reloads, a refused configuration, a full table, deletion', async () => {
    const { w, a, b } = await colocated();
    const { pid, startTime } = b.master();
    const load = runLoad(b.vip, 8080, 'b');
    const crowd = await fill(a);
    expect(await a.upload({ more: '    nonsense yes\n' })).toMatchObject({ status: 400 });
    for (let reload = 0; reload < 3; reload++) await a.serve({ more: `# ${reload}\n` });
    await killHard(a.master());
    await a.serve();
    expect(await w.call('DELETE', `/1.0/listeners/${a.lb}`)).toMatchObject({ status: 200 });
    for (const socket of crowd) socket.destroy();
    const { done, failures } = await load.stop();
    expect(failures).toEqual([]);
    expect(done).toBeGreaterThan(60);
    expect(b.master()).toMatchObject({ pid, startTime });
    expect(isAlive({ pid, startTime })).toBe(true);
  });

  it('are told of one by one: when one dies, heartbeats go on with the listeners of the other', async () => {
    const { w, a, b } = await colocated();
    await w.heartbeats.next(({ listeners }) => a.listener in listeners && b.listener in listeners);
    await killHard(a.master());
    await w.heartbeats.next(({ listeners }) => !(a.listener in listeners));
    const [first, second] = [await w.heartbeats.next(), await w.heartbeats.next()];
    for (const { listeners } of [first, second])
      expect(listeners).toEqual({ [b.listener]: expect.objectContaining({ status: 'OPEN' }) });
    expect(second.seq).toBe(first.seq + 1);
    await a.serve();
    await w.heartbeats.next(({ listeners }) => a.listener in listeners && b.listener in listeners);
  });

  it('are told of although one does not answer: the other one is in every heartbeat', async () => {
    const { w, a, b } = await colocated();
    for (const { pid } of processesOf(a)) process.kill(pid, 'SIGSTOP');
    await w.heartbeats.next(({ listeners }) => !(a.listener in listeners));
    for (let beat = 0; beat < 5; beat++) expect((await w.heartbeats.next()).listeners).toHaveProperty([b.listener]);
    for (const { pid } of processesOf(a)) process.kill(pid, 'SIGCONT');
    await w.heartbeats.next(({ listeners }) => a.listener in listeners);
  });
});

describe('the removal of one of two load balancers', () => {
  it('leaves nothing of it: no process, no file, no socket, no VIP that the agent remembers', async () => {
    const { w, a, b } = await colocated();
    for (const { vip } of [a, b]) {
      const port = { subnet_cidr: '127.0.0.0/8', gateway: null, mac_address: '00:00:00:00:00:00', vrrp_ip: vip };
      expect(await w.call('POST', `/1.0/plug/vip/${vip}`, port)).toMatchObject({ status: 202 });
    }
    const certificate = `/1.0/loadbalancer/${a.lb}/certificates/abc.pem`;
    expect(await w.call('PUT', certificate, 'PEM')).toMatchObject({ status: 200 });
    for (let i = 0; i < 2; i++) expect(await w.call('DELETE', `/1.0/listeners/${a.lb}`)).toMatchObject({ status: 200 });
    expect(processesOf(a)).toEqual([]);
    expect(existsSync(a.folder)).toBe(false);
    expect(await w.call('GET', certificate)).toMatchObject({ status: 404 });
    expect(readdirSync(w.socketPath)).toHaveLength(2);
    expect(JSON.parse(readFileSync(join(w.folder, 'plugged.json'), 'utf8'))).toMatchObject({ vips: [b.vip] });
    expect(w.processes().haproxy).toHaveLength(1);
    await killHard(w.processes().agent);
    await w.start();
    expect((await w.call('GET', '/1.0/listeners')).json).toMatchObject([{ uuid: b.listener, status: 'ACTIVE' }]);
    await expect(get(a.vip, 8080)).rejects.toThrow('ECONNREFUSED');
    expect(await get(b.vip, 8080)).toBe('b');
  });

  it('ends workers of earlier configurations too, which still have connections', async () => {
    const { w, a } = await colocated();
    const [client] = await connections(a, 1);
    const [old] = workersOf(a);
    await a.serve({ more: '# next\n' });
    expect(old && readProcess(old.pid)).not.toBeNull();
    await w.call('DELETE', `/1.0/listeners/${a.lb}`);
    expect(processesOf(a)).toEqual([]);
    client?.destroy();
  });

  it('is not done before a worker is gone that outlived its master', async () => {
    const { w, a, b } = await colocated();
    const [worker] = workersOf(a);
    if (!worker) throw new Error('no worker');
    process.kill(worker.pid, 'SIGSTOP'); // So that it does not see the end of its master.
    await killHard(a.master());
    await eventually('the agent has noticed', () => w.processes().haproxy.length === 1);
    expect(readProcess(worker.pid)).not.toBeNull();
    await w.call('DELETE', `/1.0/listeners/${a.lb}`);
    expect(readProcess(worker.pid)).toBeNull();
    expect(await get(b.vip, 8080)).toBe('b');
  });

  it('leaves a program alone that only reads its files', async () => {
    const { w, a } = await colocated();
    const { spawn } = process.getBuiltinModule('node:child_process');
    const reader = spawn('tail', ['-f', a.file], { stdio: 'ignore' });
    onTestFinished(() => void reader.kill('SIGKILL'));
    await w.call('DELETE', `/1.0/listeners/${a.lb}`);
    expect(reader.exitCode ?? reader.signalCode).toBeNull();
  });
});

describe.skipIf(whyNoPair() !== null)('two load balancers of one amphora with a network of its own', () => {
  it('have one interface: a second VIP leaves the first working, and the removal of one leaves the other', async () => {
    const root = mkdtempSync(join(tmpdir(), 'ag-'));
    onTestFinished(() => rmSync(root, { recursive: true, force: true }));
    const wires = layWires();
    onTestFinished(() => wires.close());
    const self = { id: randomUUID(), role: 'MASTER' } as const;
    const amphora = await createAmphora(root, wires, 0, self, await createAuthority('agents'), 'SINGLE');
    onTestFinished(() => amphora.close());
    await amphora.start();
    const { basePath, call, namespace } = amphora;
    const host = { amphoraId: self.id, basePath, socketPath: join(root, 's0'), call };
    const [first, second] = [wires.vip, wires.vip.replace(/\d+$/, '6')];
    const addresses = () => ip('-n', namespace, '-4', '-o', 'address', 'show', 'dev', 'eth1');
    const add = async (name: string, vip: string) => {
      const port = { subnet_cidr: wires.vipCidr, gateway: null, mac_address: amphora.vipMac, vrrp_ip: vip };
      expect(await call('POST', `/1.0/plug/vip/${vip}`, port)).toMatchObject({ status: 202 });
      const guest = guestOf(host, name, vip);
      await guest.serve();
      return guest;
    };
    const a = await add('a', first);
    const loadOnA = runLoad(first, 8080, 'a');
    const b = await add('b', second);
    expect((await loadOnA.stop()).failures).toEqual([]);

    const loadOnB = runLoad(second, 8080, 'b');
    for (let i = 0; i < 2; i++) expect(await call('DELETE', `/1.0/listeners/${a.lb}`)).toMatchObject({ status: 200 });
    expect((await loadOnB.stop()).failures).toEqual([]);
    expect(addresses()).not.toContain(`${first}/`);
    expect(addresses()).toContain(`${second}/`);
    expect(await call('GET', `/1.0/interface/${first}`)).toMatchObject({ status: 404 });
    expect(await call('GET', `/1.0/interface/${second}`)).toMatchObject({ status: 200 });
    await call('DELETE', `/1.0/listeners/${b.lb}`);
    expect(addresses()).toBe('');
  });
});

const workersOf = (guest: Guest) => processesOf(guest).filter(({ pid }) => pid !== guest.master().pid);

/** As many connections to A as it takes, and some more. */
async function fill(a: Guest): Promise<Socket[]> {
  await a.serve({ maxconn: 10 });
  return connections(a, 15);
}

async function connections({ vip }: Guest, count: number): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => connect(8080, vip));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (const socket of sockets) {
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    socket.on('error', () => {}).write('GET / HTTP/1.1\r\nHost: x\r\n'); // And never ends its question.
  }
  return sockets;
}
