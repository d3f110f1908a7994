import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { describeComputeDriver } from '../src/compute/compute-driver.contract.ts';
import { FenceMarks } from '../src/compute/local/fence-marks.ts';
import { writeRecord } from '../src/compute/local/instance-record.ts';
import type { InstancePaths } from '../src/compute/local/options.ts';
import { bootId, eachProcess, hasEnvironment, readProcess } from '../src/compute/local/process-table.ts';
import { spawnAgent } from '../src/compute/local/spawn-agent.ts';
import { ComputeUnavailable, InstanceOfAnotherHost } from '../src/errors.ts';
import { mayMakeNamespaces } from '../src/testing/guest.ts';
import { startLocalCompute, startNamespacesCompute } from './local-compute-world.ts';
import { until } from './until.ts';

for (const usesCgroups of [true, false]) {
  describeLocal(`local, cgroups ${usesCgroups ? 'where it may' : 'off'}`, () => startLocalCompute({ usesCgroups }));
}
describe.runIf(mayMakeNamespaces())('in namespaces mode, which needs root,', () => {
  describeLocal('local', startNamespacesCompute);
});

function describeLocal(name: string, start: () => ReturnType<typeof startLocalCompute>) {
  describeComputeDriver(name, async () => {
    const world = await start();
    return {
      ...world,
      breakNext: null,
      suspend: async (computeId) => {
        process.kill(await world.agentPid(computeId), 'SIGSTOP');
        await until('it is stopped', async () => readProcess(await world.agentPid(computeId))?.state === 'T');
      },
      kill: async (computeId) => {
        const pid = await world.agentPid(computeId);
        process.kill(pid, 'SIGKILL');
        await until('it is gone', () => readProcess(pid) === null);
      },
    };
  });
}

async function open(...options: Parameters<typeof startLocalCompute>) {
  const world = await startLocalCompute(...options);
  onTestFinished(world.stop);
  return world;
}

async function built(...options: Parameters<typeof startLocalCompute>) {
  const world = await open(...options);
  const amphoraId = randomUUID();
  const computeId = await world.driver.build({ amphoraId });
  await world.started(computeId);
  return { ...world, amphoraId, computeId };
}

/** A process of nobody's, which must survive. */
function bystander(...args: string[]) {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', ...args], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  const { pid = 0 } = child;
  return { pid, startTime: readProcess(pid)?.startTime ?? '' };
}

describe('a local instance', () => {
  it('gets its files below its folder, readable by us alone, and its configuration made true', async () => {
    const { driver, paths, started } = await open({ haproxyCmd: '/opt/haproxy' });
    const amphoraId = randomUUID();
    const computeId = await driver.build({
      amphoraId,
      configDriveFiles: {
        '/etc/octavia/amphora-agent.conf': '[haproxy_amphora]\nbase_path = /var/lib/octavia\nbind_host = ::\n',
        '/etc/octavia/certs/server.pem': Buffer.from('PEM'),
      },
    });
    await started(computeId);
    const { folder, config, sockets } = paths(computeId);
    const { lbNetworkIp } = await driver.get({ computeId });
    const text = await readFile(config, 'utf8');
    expect(text).toContain(`base_path = ${folder}/var/lib/octavia\nbind_host = ${lbNetworkIp}\nbind_port = 9443\n`);
    expect(text).toContain('haproxy_cmd = /opt/haproxy\n');
    expect(text).toContain(`[octavia_controller]\nsocket_path = ${sockets}\nexclusive_bind = True\n`);
    expect(await readFile(join(folder, 'etc/octavia/certs/server.pem'), 'utf8')).toBe('PEM');
    expect((await stat(join(folder, 'etc/octavia/certs/server.pem'))).mode & 0o777).toBe(0o600);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    expect((await stat(sockets)).mode & 0o777).toBe(0o700);
  });

  it('gets new files whole, its configuration made true again, and keeps those that are not named', async () => {
    const { driver, paths, started } = await open();
    const config = '/etc/octavia/amphora-agent.conf';
    const [server, client] = ['/etc/octavia/certs/server.pem', '/etc/octavia/certs/client_ca.pem'];
    const computeId = await driver.build({
      amphoraId: randomUUID(),
      configDriveFiles: { [config]: '', [server]: 'old', [client]: 'old' },
    });
    await started(computeId);
    await driver.replaceFiles(computeId, {
      [server]: 'new',
      [config]: '[haproxy_amphora]\nbase_path = /var/lib/octavia\n',
    });
    const { folder } = paths(computeId);
    const { lbNetworkIp } = await driver.get({ computeId });
    expect(await readFile(join(folder, server), 'utf8')).toBe('new');
    expect(await readFile(join(folder, client), 'utf8')).toBe('old');
    expect(await readFile(join(folder, config), 'utf8')).toContain(
      `${folder}/var/lib/octavia\nbind_host = ${lbNetworkIp}\n`,
    );
    expect((await stat(join(folder, server))).mode & 0o777).toBe(0o600);
    expect((await readdir(join(folder, 'etc/octavia/certs'))).sort()).toEqual(['client_ca.pem', 'server.pem']);
  });

  it('keeps its files when the worker loses its flow between the drafts and their appearing', async () => {
    const { driver, restart, paths, computeId } = await built();
    const server = '/etc/octavia/certs/server.pem';
    await driver.replaceFiles(computeId, { [server]: 'old' });
    // The successor comes while the big file is drafted: it is admitted at once, the drafts take longer.
    const at = (epoch: number) => ({ fence: { flowId: 'flow-1', epoch } });
    await restart().get({ computeId }, at(2));
    await expect(driver.replaceFiles(computeId, { [server]: 'stale' }, at(1))).rejects.toMatchObject({
      reason: 'STALE_FENCE',
    });
    expect(await readFile(join(paths(computeId).folder, server), 'utf8')).toBe('old');
    expect(await readdir(join(paths(computeId).folder, 'etc/octavia/certs'))).toEqual(['server.pem']);
  });

  it('does not inherit what our environment holds', async () => {
    process.env.DATABASE_URL = 'postgres://secret';
    onTestFinished(() => void delete process.env.DATABASE_URL);
    const { agentPid, computeId } = await built();
    expect(await readFile(`/proc/${await agentPid(computeId)}/environ`, 'utf8')).not.toContain('secret');
  });

  it('tells the last words of an agent that ended', async () => {
    const { driver } = await open();
    const configDriveFiles = { '/etc/octavia/amphora-agent.conf': '[x]\nstand_in = dies\n' };
    const computeId = await driver.build({ amphoraId: randomUUID(), configDriveFiles });
    const stopped = await until('it stopped', async () => {
      const instance = await driver.get({ computeId });
      return instance.status === 'STOPPED' ? instance : null;
    });
    expect(stopped.fault).toContain('the stand-in was told to die');
  });

  it('is never taken for ended while it claims the instance, however slow the machine', async () => {
    const { driver, root } = await open();
    const seen = new Set<string>();
    // The moment between the two halves of the claim, made long.
    await writeFile(join(root, 'ln'), '#!/bin/sh\nsleep 0.3\nexec /bin/ln "$@"\n', { mode: 0o755 });
    const { PATH } = process.env;
    process.env.PATH = `${root}:${PATH}`;
    onTestFinished(() => {
      process.env.PATH = PATH;
    });
    const computeId = await driver.build({ amphoraId: randomUUID() });
    await until('it runs', async () => {
      const { status } = await driver.get({ computeId });
      seen.add(status);
      return status === 'ACTIVE' ? true : null;
    });
    expect([...seen]).toEqual(['BUILDING', 'ACTIVE']);
  });

  it('cannot be built without an agent, and says which file is missing', async () => {
    const { driver } = await open({ agentBundlePath: '/nowhere/agent.mjs' });
    await expect(driver.build({ amphoraId: randomUUID() })).rejects.toThrow('/nowhere/agent.mjs');
  });
});

describe('a build that crashed half-way', () => {
  it('after it leased the address: the next one takes the same', async () => {
    const { driver, layout } = await open();
    const amphoraId = randomUUID();
    await mkdir(layout.leases, { recursive: true });
    await symlink(amphoraId, join(layout.leases, '127.99.99.99'));
    await driver.build({ amphoraId });
    expect((await driver.get({ amphoraId })).lbNetworkIp).toBe('127.99.99.99');
  });

  it('before it started the agent: the next one finishes it, with its own files', async () => {
    const { driver, paths, started } = await open();
    const amphoraId = randomUUID();
    const hostId = await driver.hostId();
    const id = `${hostId}:${amphoraId}`;
    const rest = { agentPort: 9443, zone: 'z', imageId: 'i', computeFlavor: 'f' };
    await writeRecord(paths(id).record, { amphoraId, hostId, address: '127.1.2.3', ...rest });
    expect(await driver.get({ amphoraId })).toMatchObject({ status: 'BUILDING' });
    const computeId = await driver.build({ amphoraId, configDriveFiles: { '/key': 'second' } });
    await started(computeId);
    expect(await driver.get({ amphoraId })).toMatchObject({ status: 'ACTIVE' });
    expect(await readFile(join(paths(computeId).folder, 'key'), 'utf8')).toBe('second');
  });

  it('after it started the agent: there is one agent, not two', async () => {
    const { amphoraId, computeId, agentPid, restart } = await built();
    const pid = await agentPid(computeId);
    await restart().build({ amphoraId });
    expect(await agentPid(computeId)).toBe(pid);
  });

  it('and woke up late, after the other one: its agent ends before it runs', async () => {
    const { options, amphoraId, computeId, paths, alive } = await built();
    const before = await alive(computeId);
    await spawnLate(options.agentBundlePath, amphoraId, paths(computeId));
    expect(await alive(computeId)).toEqual(before);
  });

  it('and woke up late, after the fence: its agent ends before it runs', async () => {
    const { options, driver, amphoraId, computeId, paths } = await built();
    await driver.fence(computeId);
    await rm(paths(computeId).claim);
    await rm(paths(computeId).processes);
    await spawnLate(options.agentBundlePath, amphoraId, paths(computeId));
    await expect(stat(paths(computeId).processes)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

/** Does the last thing that a build does, and waits until the process of it is gone. */
async function spawnLate(agentBundlePath: string, amphoraId: string, paths: InstancePaths) {
  const marker = `late-${randomUUID()}`;
  await spawnAgent({
    nodePath: process.execPath,
    agentBundlePath,
    amphoraId,
    paths,
    cgroupProcs: [],
    networkNamespace: null,
    environment: { MARKER: marker },
  });
  await until('the late agent is gone', async () => {
    let isThere = false;
    await eachProcess(({ pid }) => {
      isThere ||= hasEnvironment(pid, 'MARKER', marker);
    });
    return !isThere;
  });
}

describe('a fence', () => {
  it.each([true, false])(
    'kills the whole tree, which ignores SIGTERM and left the session (cgroups: %s)',
    async (usesCgroups) => {
      const { driver, computeId, alive } = await built({ usesCgroups });
      expect(await alive(computeId)).toHaveLength(3);
      await driver.fence(computeId);
      expect(await alive(computeId)).toEqual([]);
    },
  );

  it('kills what an agent left that is long dead', async () => {
    const { driver, computeId, alive, agentPid } = await built({ usesCgroups: false });
    const pid = await agentPid(computeId);
    process.kill(pid, 'SIGKILL');
    await until('the agent is gone', () => readProcess(pid) === null);
    expect(await alive(computeId)).toHaveLength(2);
    await driver.fence(computeId);
    expect(await alive(computeId)).toEqual([]);
  });

  it.each(['[', '[]'])(
    'kills what has nothing but an inherited variable to tell whose it is (processes.json: %s)',
    async (hints) => {
      const { driver, computeId, alive, agentPid, paths, processes } = await built({ usesCgroups: false });
      const children = await processes(computeId);
      for (const pid of await alive(computeId)) if (pid === (await agentPid(computeId))) process.kill(pid, 'SIGKILL');
      await writeFile(paths(computeId).processes, hints);
      await driver.fence(computeId);
      expect(children.filter(({ pid }) => readProcess(pid) !== null)).toEqual([]);
    },
  );

  it('believes the list of the agent, however deep a process is in it', async () => {
    const { driver, computeId, paths } = await built({ usesCgroups: false });
    const helper = bystander();
    await writeFile(paths(computeId).processes, JSON.stringify({ version: 1, haproxy: [{ workers: [helper] }] }));
    await driver.fence(computeId);
    expect(readProcess(helper.pid)).toBeNull();
  });

  it('kills suspended processes too', async () => {
    const { driver, computeId, alive } = await built();
    for (const pid of await alive(computeId)) process.kill(pid, 'SIGSTOP');
    await driver.fence(computeId);
    expect(await alive(computeId)).toEqual([]);
  });

  it('kills processes that carry the folder of the amphora in their command line, and no other', async () => {
    const { driver, computeId, paths } = await built({ usesCgroups: false });
    const { folder } = paths(computeId);
    const helper = bystander(`${folder}/haproxy.cfg`);
    const neighbour = bystander(`${folder}2/haproxy.cfg`);
    await driver.fence(computeId);
    expect(readProcess(helper.pid)).toBeNull();
    expect(readProcess(neighbour.pid)).not.toBeNull();
  });

  it('leaves a process alone that has the pid of the agent or of a child by now', async () => {
    const { driver, computeId, paths } = await built({ usesCgroups: false });
    await driver.fence(computeId);
    const other = bystander();
    const { claim, processes } = paths(computeId);
    await writeFile(claim, `${other.pid} ${BigInt(other.startTime) - 1n} ${bootId()}\n`);
    await writeFile(processes, JSON.stringify([{ name: 'x', pid: other.pid, startTime: Number(other.startTime) - 1 }]));
    await driver.fence(computeId);
    expect(readProcess(other.pid)).not.toBeNull();
    expect(await driver.status(computeId)).toBe('DOWN');
  });

  it('believes neither records of an earlier run of the machine nor a list that names older processes', async () => {
    const { driver, computeId, paths, agentPid } = await built({ usesCgroups: false });
    await driver.fence(computeId);
    const older = bystander();
    const newer = bystander();
    const { claim, processes } = paths(computeId);
    await writeFile(claim, `${older.pid} ${older.startTime} another-boot\n`);
    await driver.fence(computeId);
    await writeFile(claim, `${await agentPid(computeId)} ${Number(newer.startTime) + 1} ${bootId()}\n`);
    await writeFile(processes, JSON.stringify([{ name: 'x', ...older }]));
    await driver.fence(computeId);
    expect(readProcess(older.pid)).not.toBeNull();
  });

  it('also finds an agent whose claim was cut short by a crash', async () => {
    const { driver, computeId, paths, alive, agentPid } = await built({ usesCgroups: false });
    const pid = await agentPid(computeId);
    const left = await alive(computeId);
    await writeFile(paths(computeId).claim, '');
    await driver.fence(computeId);
    expect([pid, ...left].filter((one) => readProcess(one) !== null)).toEqual([]);
  });
});

describe('a machine that lets nothing be written', () => {
  it('is reported as ComputeUnavailable, with the path and what to do', async () => {
    const { driver, layout } = await open();
    await driver.hostId();
    await writeFile(layout.amphorae, 'a file where a folder must be');
    const building = driver.build({ amphoraId: randomUUID() });
    await expect(building).rejects.toBeInstanceOf(ComputeUnavailable);
    await expect(building).rejects.toThrow(layout.amphorae);
    await rm(layout.amphorae);
  });

  it('does not keep a running instance from being fenced: nobody can start another', async () => {
    const { driver, layout, computeId, amphoraId, alive } = await built();
    await rm(layout.marks, { recursive: true, force: true });
    await writeFile(layout.marks, 'a file where a folder must be');
    await driver.fence(computeId);
    expect(await alive(computeId)).toEqual([]);
    const unknown = driver.fence(computeId.replace(amphoraId, randomUUID()));
    await expect(unknown).rejects.toMatchObject({ reason: 'FENCE_NOT_CONFIRMED' });
    await rm(layout.marks);
  });
});

describe('a compute host', () => {
  it('keeps its id, and refuses a folder that belongs to another', async () => {
    const { driver, restart } = await open();
    const hostId = await driver.hostId();
    expect(await restart().hostId()).toBe(hostId);
    await expect(restart({ hostId: 'other' }).list()).rejects.toBeInstanceOf(ComputeUnavailable);
  });

  it('refuses an instance whose folder another host wrote', async () => {
    const { driver, paths, amphoraId, computeId } = await built();
    const record = JSON.parse(await readFile(paths(computeId).record, 'utf8'));
    await writeFile(paths(computeId).record, JSON.stringify({ ...record, hostId: 'other' }));
    await expect(driver.get({ amphoraId })).rejects.toBeInstanceOf(InstanceOfAnotherHost);
    await expect(driver.fence(computeId)).rejects.toBeInstanceOf(InstanceOfAnotherHost);
    expect(await driver.list()).toEqual([]);
    await writeFile(paths(computeId).record, JSON.stringify(record));
  });

  it('gives back addresses and files of deleted instances', async () => {
    const { driver, computeId, layout, paths } = await built();
    const { folder, sockets } = paths(computeId);
    await driver.delete(computeId);
    expect(await readdir(layout.leases)).toEqual([]);
    for (const path of [folder, sockets]) await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('forgets after a week that it deleted an amphora, but not that it fenced one that is still there', async () => {
    const { driver, layout, computeId, amphoraId } = await built();
    await driver.fence(computeId);
    const marks = new FenceMarks(layout);
    const deleted = randomUUID();
    await marks.make(deleted);
    const inDays = (days: number) => new FenceMarks(layout).forgetOld(Date.now() + days * 86_400_000);
    await inDays(6);
    expect(await marks.has(deleted)).toBe(true);
    await inDays(8);
    expect([await marks.has(deleted), await marks.has(amphoraId)]).toEqual([false, true]);
  });

  it('says so when all its addresses are leased', async () => {
    const { driver } = await open({ managementFirst: '127.9.9.1', managementLast: '127.9.9.1' });
    await driver.build({ amphoraId: randomUUID() });
    await expect(driver.build({ amphoraId: randomUUID() })).rejects.toBeInstanceOf(ComputeUnavailable);
  });

  it('names every wrong option at once', async () => {
    const { restart } = await open();
    expect(() => restart({ dataFolder: 'relative', runtimeFolder: `/${'x'.repeat(40)}` })).toThrow(
      /dataFolder must be an absolute path; runtimeFolder has 41 bytes/,
    );
  });

  it('refuses a type of amphora that it cannot make', async () => {
    const { driver } = await open();
    await expect(driver.build({ amphoraId: randomUUID(), amphoraType: 'BARE_METAL' })).rejects.toMatchObject({
      reason: 'NOT_IMPLEMENTED',
    });
  });
});
