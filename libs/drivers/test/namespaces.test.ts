import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { cgroupFolders, cgroupPids } from '../src/compute/local/cgroup.ts';
import { FenceMarks } from '../src/compute/local/fence-marks.ts';
import { readProcess } from '../src/compute/local/process-table.ts';
import { FenceNotConfirmed, PlugFailed } from '../src/errors.ts';
import { pluggedPairs, removeNamespace, unplugPairs } from '../src/namespaces/amphora-network.ts';
import { addressesIn, kernelHoldings } from '../src/namespaces/holdings.ts';
import { ipBatch, ipNetns, ipShow } from '../src/namespaces/ip.ts';
import { amphoraNames, pairNames } from '../src/namespaces/plan.ts';
import { membershipOf } from '../src/namespaces/processes-in.ts';
import { LocalNetworkDriver } from '../src/network/local/local-network.ts';
import { Guest, mayMakeNamespaces } from '../src/testing/guest.ts';
import { startNamespacesCompute } from './local-compute-world.ts';
import { until } from './until.ts';

async function open(...options: Parameters<typeof startNamespacesCompute>) {
  const world = await startNamespacesCompute(...options);
  onTestFinished(world.stop);
  const { plan } = world;
  const { dataFolder } = world.options;
  const network = new LocalNetworkDriver({ dataFolder, namespaces: plan, subnets: [{ name: 'vips', ...plan.vip }] });
  const build = async () => {
    const amphoraId = randomUUID();
    const computeId = await world.driver.build({ amphoraId });
    await world.started(computeId);
    return { amphoraId, computeId };
  };
  const vipOf = (loadBalancerId: string) =>
    network.allocateVip({ loadBalancerId, subnetId: plan.vip.id, address: null });
  /** What the agent does: it has no part in these tests. */
  const setVip = async (amphoraId: string, address: string) => {
    const { inner } = pairNames(plan, amphoraId, 'vip');
    const { namespace } = amphoraNames(plan, amphoraId);
    const setting = '/proc/sys/net/ipv4/conf/all/promote_secondaries';
    spawnSync('ip', ['netns', 'exec', namespace, 'sh', '-c', `echo 1 >${setting}`]);
    await ipBatch(
      [
        ['address', 'replace', `${address}/${plan.vip.prefixLength}`, 'dev', inner],
        ['link', 'set', inner, 'up'],
      ],
      { namespace },
    );
  };
  return { ...world, network, build, vipOf, setVip };
}

const all = ['management', 'vip'] as const;

/** Does something on a kernel that does not let go of interfaces. */
async function withInterfacesThatStay<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const script = '#!/bin/sh\nexport PATH=/usr/sbin:/sbin:$PATH\ngrep -v "^link delete" | exec ip "$@"\n';
  await writeFile(join(folder, 'ip'), script, { mode: 0o755 });
  const { PATH } = process.env;
  process.env.PATH = `${folder}:${PATH}`;
  return work().finally(() => {
    process.env.PATH = PATH;
  });
}

describe.runIf(mayMakeNamespaces())('a fence in namespaces mode, which needs root,', () => {
  it('makes an amphora silent whose kernel answers ARP although all its processes are dead', async () => {
    const { plan, driver, network, build, vipOf, setVip, alive } = await open();
    const { amphoraId, computeId } = await build();
    const vip = await vipOf('lb');
    const plug = { loadBalancerId: 'lb', amphoraId, computeId, vip, topology: 'SINGLE' } as const;
    const { macAddress } = await network.plugVip(plug);
    await setVip(amphoraId, vip.address);
    const guest = await Guest.open(plan);
    for (const pid of await alive(computeId)) process.kill(pid, 'SIGKILL');
    await until('its processes are dead', async () => (await alive(computeId)).length === 0);
    expect(await guest.whoHas(vip.address)).toBe(macAddress);

    await driver.fence(computeId);
    expect(await guest.whoHas(vip.address)).toBeNull();
    expect(await pluggedPairs(plan, amphoraId, all)).toEqual([]);
  });

  it('kills whoever is in the namespace, also one that nobody knows of', async () => {
    const { plan, driver, build } = await open();
    const { amphoraId, computeId } = await build();
    const { namespaceFile } = amphoraNames(plan, amphoraId);
    const stranger = spawn('nsenter', [`--net=${namespaceFile}`, 'sleep', '60'], { stdio: 'ignore' });
    onTestFinished(() => void stranger.kill('SIGKILL'));
    const { pid = 0 } = stranger;
    await until('it is inside', async () => (await membershipOf(amphoraNames(plan, amphoraId)))(pid));
    await driver.fence(computeId);
    expect(readProcess(pid)).toBeNull();
  });

  it('kills whoever is in a control group of a load balancer, and deleting the amphora leaves no group', async () => {
    const { driver, build } = await open();
    const { amphoraId, computeId } = await build();
    const hostId = await driver.hostId();
    const groups = cgroupFolders(hostId).filter((one) => one.amphoraId === amphoraId);
    if (groups.length === 0) return; // A machine without control groups.
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
    onTestFinished(() => void stranger.kill('SIGKILL'));
    const { pid = 0 } = stranger;
    for (const { path } of groups) {
      await mkdir(join(path, 'lb'));
      await writeFile(join(path, 'lb', 'cgroup.procs'), String(pid));
    }
    expect(cgroupPids(hostId, amphoraId).has(pid)).toBe(true);
    await driver.fence(computeId);
    expect(readProcess(pid)).toBeNull();
    await driver.delete(computeId);
    expect(cgroupFolders(hostId)).toEqual([]);
  });

  it('is not confirmed while an interface is left, and is when it can be removed', async () => {
    const { driver, build, root, alive } = await open();
    const { computeId } = await build();
    const fencing = withInterfacesThatStay(root, () => driver.fence(computeId));
    await expect(fencing).rejects.toBeInstanceOf(FenceNotConfirmed);
    expect(await alive(computeId)).toEqual([]);
    await driver.fence(computeId);
  });
});

describe.runIf(mayMakeNamespaces())('plugging in namespaces mode, which needs root,', () => {
  it('refuses an amphora that was fenced, and one that is not here', async () => {
    const { driver, network, build, vipOf } = await open();
    const { amphoraId, computeId } = await build();
    const vip = await vipOf('lb');
    const plug = { loadBalancerId: 'lb', amphoraId, computeId, vip, topology: 'SINGLE' } as const;
    await driver.fence(computeId);
    await expect(network.plugVip(plug)).rejects.toBeInstanceOf(PlugFailed);
    await expect(network.plugVip({ ...plug, amphoraId: randomUUID() })).rejects.toBeInstanceOf(PlugFailed);
  });

  it('refuses a new holder while the marked old one has its interface still', async () => {
    const { plan, network, build, vipOf, layout } = await open();
    const [old, young] = [await build(), await build()];
    const vip = await vipOf('lb');
    const plug = { loadBalancerId: 'lb', vip, topology: 'SINGLE' } as const;
    await network.plugVip({ ...plug, ...old });
    await new FenceMarks(layout).make(old.amphoraId);
    await expect(network.plugVip({ ...plug, ...young })).rejects.toBeInstanceOf(FenceNotConfirmed);
    await unplugPairs(plan, old.amphoraId, ['vip']);
    await network.plugVip({ ...plug, ...young });
  });

  it('takes the interface of a holder away whose isolation a person has confirmed', async () => {
    const { plan, network, build, vipOf, setVip } = await open();
    const [old, young] = [await build(), await build()];
    const vip = await vipOf('lb');
    const plug = { loadBalancerId: 'lb', vip, topology: 'SINGLE' } as const;
    await network.plugVip({ ...plug, ...old });
    await setVip(old.amphoraId, vip.address);
    const guest = await Guest.open(plan);
    const { macAddress } = await network.plugVip({ ...plug, ...young, confirmedFences: [old.amphoraId] });
    expect(await pluggedPairs(plan, old.amphoraId, all)).toHaveLength(1); // Its agent is nobody's business here.
    expect(await guest.whoHas(vip.address)).toBeNull();
    await setVip(young.amphoraId, vip.address);
    expect(await guest.whoHas(vip.address)).toBe(macAddress);
  });

  it('believes the person where the interface of the old holder cannot be taken away', async () => {
    const { plan, network, build, vipOf, root } = await open();
    const [old, young] = [await build(), await build()];
    const vip = await vipOf('lb');
    const plug = { loadBalancerId: 'lb', vip, topology: 'SINGLE' } as const;
    await network.plugVip({ ...plug, ...old });
    await withInterfacesThatStay(root, async () => {
      await network.plugVip({ ...plug, ...young, confirmedFences: [old.amphoraId] });
      expect(await pluggedPairs(plan, old.amphoraId, ['vip'])).toHaveLength(1);
    });
  });

  it('gives an amphora with two VIPs one interface, and takes one VIP without the other', async () => {
    const { plan, network, build, vipOf, setVip } = await open();
    const amphora = await build();
    const vips = [await vipOf('lb-1'), await vipOf('lb-2')];
    const macs: string[] = [];
    for (const [index, vip] of vips.entries()) {
      const port = await network.plugVip({ loadBalancerId: `lb-${index + 1}`, ...amphora, vip, topology: 'SINGLE' });
      macs.push(port.macAddress);
      await setVip(amphora.amphoraId, vip.address);
    }
    expect(new Set(macs).size).toBe(1);
    await network.unplugVip({ loadBalancerId: 'lb-1', amphoraId: amphora.amphoraId });
    const guest = await Guest.open(plan);
    expect(await guest.whoHas(vips[0]?.address ?? '')).toBeNull();
    expect(await guest.whoHas(vips[1]?.address ?? '')).toBe(macs[0]);
    await network.unplugVip({ loadBalancerId: 'lb-2', amphoraId: amphora.amphoraId });
    expect(await pluggedPairs(plan, amphora.amphoraId, ['vip'])).toEqual([]);
  });
});

describe.runIf(mayMakeNamespaces())('a build in namespaces mode, which needs root,', () => {
  it.each([
    [
      'a file that never became a namespace',
      async (w: World, id: string) => {
        await rm(w.layout.amphorae, { recursive: true, force: true });
        await ipNetns('add', `${w.plan.prefix}-x`); // So that the folder is there.
        await writeFile(amphoraNames(w.plan, id).namespaceFile, '');
      },
    ],
    [
      'a namespace with nothing in it',
      async (w: World, id: string) => {
        await ipNetns('add', amphoraNames(w.plan, id).namespace);
      },
    ],
    [
      'an interface whose namespace has lost its name',
      async (w: World, id: string) => {
        const { outer } = pairNames(w.plan, id, 'management');
        await ipBatch([['link', 'add', outer, 'type', 'veth', 'peer', 'name', `${w.plan.prefix}-lost`]]);
      },
    ],
    [
      'no bridges, because somebody removed them',
      async (w: World) => {
        await ipBatch([w.plan.management, w.plan.vip].map(({ bridge }) => ['link', 'delete', bridge]));
      },
    ],
  ])('goes on from %s', async (_, leave) => {
    const world = await open();
    const { plan, driver } = world;
    const amphoraId = randomUUID();
    await leave(world, amphoraId);
    const computeId = await driver.build({ amphoraId });
    await world.started(computeId);
    const { lbNetworkIp } = await driver.get({ computeId });
    expect(await addressesIn(amphoraNames(plan, amphoraId).namespace)).toContainEqual({
      interface: 'eth0',
      address: lbNetworkIp,
    });
    const { outer } = pairNames(plan, amphoraId, 'management');
    expect(await ipShow(['link', 'show', 'dev', outer])).toMatchObject([{ master: plan.management.bridge }]);
  });

  it('keeps agents from each other, but not from the host', async () => {
    const { plan, driver, build } = await open();
    const [one, other] = [await build(), await build()];
    const { lbNetworkIp } = await driver.get(other);
    const asked = async (namespace: string, address: string | null) => {
      const script = `echo 100 >/proc/sys/net/ipv4/neigh/eth0/retrans_time_ms; echo >/dev/udp/${address}/9`;
      spawnSync('ip', ['netns', 'exec', namespace, 'bash', '-c', script]);
      return until('somebody answered, or nobody does', async () => {
        const found = (await ipShow(['neighbour', 'show', String(address)], { namespace })) as { state: string[] }[];
        const state = found[0]?.state[0] ?? '';
        return ['REACHABLE', 'FAILED', 'DELAY', 'STALE'].includes(state) ? state : null;
      });
    };
    const { namespace } = amphoraNames(plan, one.amphoraId);
    expect(await asked(namespace, plan.management.hostAddress)).not.toBe('FAILED');
    expect(await asked(namespace, lbNetworkIp)).toBe('FAILED');
  });

  it('limits what an amphora uses, where the machine has control groups', async () => {
    const { driver, build, agentPid } = await open({ limits: { cpus: 1, memoryMib: 300, pids: 200 } });
    const { amphoraId, computeId } = await build();
    const pid = await agentPid(computeId);
    expect(cgroupPids(await driver.hostId(), amphoraId).has(pid)).toBe(true);
    const groups = (await readFile(`/proc/${pid}/cgroup`, 'utf8')).trim().split('\n');
    const own = groups.flatMap((line) => {
      const [, controller = '', path = ''] = line.split(':');
      const isOurs = path.endsWith(`/${amphoraId}/agent`);
      return isOurs ? [join('/sys/fs/cgroup', controller, path, '..', 'pids.max')] : [];
    });
    for (const file of own.filter(existsSync)) expect((await readFile(file, 'utf8')).trim()).toBe('200');
  });

  it('leaves nothing of a deleted amphora', async () => {
    const { plan, driver, network, build, vipOf } = await open();
    const amphora = await build();
    const vip = await vipOf('lb');
    await network.plugVip({ loadBalancerId: 'lb', ...amphora, vip, topology: 'ACTIVE_STANDBY' });
    const hostId = await driver.hostId();
    expect((await kernelHoldings(plan.prefix, hostId)).links).toHaveLength(4);
    await driver.delete(amphora.computeId);
    const { namespaces, links, cgroups } = await kernelHoldings(plan.prefix, hostId);
    expect(namespaces).toEqual([]);
    expect(links.map(({ amphoraId }) => amphoraId)).toEqual([null, null]);
    expect(cgroups).toEqual([]);
    await removeNamespace(amphoraNames(plan, amphora.amphoraId)); // Succeeds where there is none.
  });
});

type World = Awaited<ReturnType<typeof open>>;
