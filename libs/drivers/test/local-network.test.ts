import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loopbackPlan } from '../src/addresses.ts';
import { FenceNotConfirmed, NetworkUnavailable, NoFreeAddress } from '../src/errors.ts';
import { LocalNetworkDriver } from '../src/network/local/local-network.ts';
import { describeNetworkDriver } from '../src/network/network-driver.contract.ts';
import { mayMakeNamespaces } from '../src/testing/guest.ts';
import { startLocalCompute, startNamespacesCompute } from './local-compute-world.ts';

async function start() {
  const dataFolder = await mkdtemp(join(tmpdir(), 'network-'));
  const { vipSubnet } = loopbackPlan(dataFolder);
  const open = () => new LocalNetworkDriver({ dataFolder, subnets: [{ name: 'vips', ...vipSubnet }] });
  return {
    driver: open(),
    restart: open,
    vipSubnet,
    timeOutNextCall: null,
    stop: () => rm(dataFolder, { recursive: true }),
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
  const ids = new Map<string, string>();
  return {
    driver: open(),
    restart: open,
    timeOutNextCall: null,
    amphorae: {
      start: async () => {
        const amphoraId = randomUUID();
        const computeId = await compute.build({ amphoraId });
        ids.set(amphoraId, computeId);
        return { amphoraId, computeId };
      },
      fence: async (amphoraId: string) => await compute.fence(ids.get(amphoraId) ?? ''),
    },
    stop: world.stop,
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
