import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loopbackPlan } from '../src/addresses.ts';
import type { LocalComputeDriver } from '../src/compute/local/local-compute.ts';
import { AMPHORA_VARIABLE } from '../src/compute/local/spawn-agent.ts';
import { FenceNotConfirmed, NetworkUnavailable, NoFreeAddress } from '../src/errors.ts';
import { LocalNetworkDriver } from '../src/network/local/local-network.ts';
import { describeNetworkDriver } from '../src/network/network-driver.contract.ts';
import { mayMakeNamespaces } from '../src/testing/guest.ts';
import { startLocalCompute, startNamespacesCompute } from './local-compute-world.ts';

async function start() {
  const compute = await startLocalCompute();
  const { dataFolder } = compute.options;
  const { vipSubnet } = loopbackPlan(compute.root);
  const open = () => new LocalNetworkDriver({ dataFolder, subnets: [{ name: 'vips', ...vipSubnet }] });
  return {
    compute,
    driver: open(),
    restart: open,
    vipSubnet,
    timeOutNextCall: null,
    amphorae: amphoraeOf(compute.driver),
    stop: compute.stop,
  };
}

describeNetworkDriver('local', start);
describe.runIf(mayMakeNamespaces())('in namespaces mode, which needs root,', () => {
  describeNetworkDriver('local', startNamespaces);
});

async function startNamespaces() {
  const { driver: compute, ...world } = await startNamespacesCompute();
  const { vip } = world.plan;
  const { dataFolder } = world.options;
  const subnets = [{ name: 'vips', ...vip }];
  const open = () => new LocalNetworkDriver({ dataFolder, subnets, namespaces: world.plan });
  return {
    driver: open(),
    restart: open,
    timeOutNextCall: null,
    amphorae: amphoraeOf(compute),
    stop: world.stop,
  };
}

function amphoraeOf(compute: LocalComputeDriver) {
  const ids = new Map<string, string>();
  return {
    start: async () => {
      const amphoraId = randomUUID();
      const computeId = await compute.build({ amphoraId });
      ids.set(amphoraId, computeId);
      return { amphoraId, computeId };
    },
    fence: async (amphoraId: string) => await compute.fence(ids.get(amphoraId) ?? ''),
  };
}

/** A process of an amphora that listens on an address, as its HAProxy does. */
async function listenOn(address: string, amphoraFolder: string) {
  const script = `require('node:net').createServer().listen(8080, '${address}', () => console.log('listens'))`;
  const env = { [AMPHORA_VARIABLE]: amphoraFolder };
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'], env });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return {
    end: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

describe('the local network driver', () => {
  it('gives a VIP to a new amphora only when the old one is fenced', async () => {
    const compute = await startLocalCompute();
    onTestFinished(compute.stop);
    const { vipSubnet } = loopbackPlan(compute.root);
    const { dataFolder } = compute.options;
    const driver = new LocalNetworkDriver({ dataFolder, subnets: [{ name: 'vips', ...vipSubnet }] });
    const [loadBalancerId, old, young] = [randomUUID(), randomUUID(), randomUUID()];
    const vip = await driver.allocateVip({ loadBalancerId, subnetId: vipSubnet.id, address: null });
    const computeId = await compute.driver.build({ amphoraId: old });
    await driver.plugVip({ loadBalancerId, amphoraId: old, computeId, vip, topology: 'SINGLE' });
    const move = { loadBalancerId, amphoraId: young, computeId: 'other', vip, topology: 'SINGLE' } as const;
    await expect(driver.plugVip(move)).rejects.toBeInstanceOf(FenceNotConfirmed);
    await driver.plugVip({ ...move, confirmedFences: [old] });
    await driver.plugVip({ ...move, amphoraId: old, computeId }); // Nothing knows that it was there.
    await expect(driver.plugVip(move)).rejects.toBeInstanceOf(FenceNotConfirmed);
    await compute.driver.fence(computeId);
    await driver.plugVip(move);
    await driver.unplugVip({ loadBalancerId, amphoraId: old }); // Late: the young one keeps it.
    await expect(driver.plugVip({ ...move, amphoraId: randomUUID() })).resolves.toMatchObject({
      vipAddress: vip.address,
    });
  });

  it('takes a VIP from an amphora that goes on with another only when no process of it has a socket there', async () => {
    const { compute, driver, restart, vipSubnet, amphorae, stop } = await start();
    onTestFinished(stop);
    const shared = await amphorae.start();
    const plugOf = async () => {
      const loadBalancerId = randomUUID();
      const vip = await driver.allocateVip({ loadBalancerId, subnetId: vipSubnet.id, address: null });
      const plug = { loadBalancerId, ...shared, vip, topology: 'SINGLE' } as const;
      await driver.plugVip(plug);
      return { ...plug, haproxy: await listenOn(vip.address, compute.paths(shared.computeId).folder) };
    };
    const [moved, kept, next] = [await plugOf(), await plugOf(), await amphorae.start()];
    await expect(driver.unplugVip(moved)).rejects.toThrow(moved.vip.address);
    await expect(driver.plugVip({ ...moved, ...next })).rejects.toBeInstanceOf(FenceNotConfirmed);
    await moved.haproxy.end();
    await restart().unplugVip(moved);
    await driver.plugVip({ ...moved, ...next });
    // The last one is in the way of another holder until its amphora is deleted.
    await driver.unplugVip(kept);
    await expect(driver.plugVip({ ...kept, ...next })).rejects.toBeInstanceOf(FenceNotConfirmed);
    await compute.driver.fence(shared.computeId);
    await driver.unplugVip(kept);
    expect((await driver.leftovers()).filter(({ amphoraId }) => amphoraId === shared.amphoraId)).toEqual([]);
  });

  it('takes a VIP from an amphora although others use the address', async () => {
    const { driver, vipSubnet, amphorae, stop } = await start();
    onTestFinished(stop);
    const loadBalancerId = randomUUID();
    const vip = await driver.allocateVip({ loadBalancerId, subnetId: vipSubnet.id, address: null });
    const plug = { loadBalancerId, ...(await amphorae.start()), vip, topology: 'SINGLE' } as const;
    await driver.plugVip(plug);
    await listenOn(vip.address, '/of/nobody');
    await driver.unplugVip(plug);
    await driver.plugVip({ ...plug, ...(await amphorae.start()) });
  });

  it('says so when its range is used up', async () => {
    const { vipSubnet, stop } = await start();
    onTestFinished(stop);
    const dataFolder = await mkdtemp(join(tmpdir(), 'network-'));
    onTestFinished(() => rm(dataFolder, { recursive: true }));
    const subnets = [{ name: 'one', ...vipSubnet, last: vipSubnet.first }];
    const driver = new LocalNetworkDriver({ dataFolder, subnets });
    const request = () => ({ loadBalancerId: randomUUID(), subnetId: vipSubnet.id, address: null });
    await driver.allocateVip(request());
    await expect(driver.allocateVip(request())).rejects.toBeInstanceOf(NoFreeAddress);
  });

  it('does not give out an address that the machine cannot bind', async () => {
    const dataFolder = await mkdtemp(join(tmpdir(), 'network-'));
    onTestFinished(() => rm(dataFolder, { recursive: true }));
    const range = { cidr: '203.0.113.0/24', first: '203.0.113.1', last: '203.0.113.9' }; // Of no machine: RFC 5737.
    const subnets = [{ id: 's', networkId: 'n', name: 'x', ...range }];
    const driver = new LocalNetworkDriver({ dataFolder, subnets });
    const request = { loadBalancerId: randomUUID(), subnetId: 's', address: '203.0.113.5' };
    await expect(driver.allocateVip(request)).rejects.toBeInstanceOf(NetworkUnavailable);
  });
});
