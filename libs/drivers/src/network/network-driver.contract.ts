import { randomUUID } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FenceNotConfirmed, NetworkUnavailable, StaleFence, VipAddressOutside, VipAddressTaken } from '../errors.ts';
import type { NetworkDriver } from './network-driver.ts';

export interface NetworkHarness {
  readonly driver: NetworkDriver;
  /** A driver for the same world, as another worker has it. */
  readonly restart: () => NetworkDriver;
  /** The next call times out, once; null where nothing could. */
  readonly timeOutNextCall: (() => void) | null;
  /** An amphora that runs, and a way to isolate one. Absent: any ids do, and the driver cannot see what is isolated. */
  readonly amphorae?: {
    readonly start: () => Promise<{ readonly amphoraId: string; readonly computeId: string }>;
    readonly fence: (amphoraId: string) => Promise<void>;
  };
  readonly stop: () => Promise<void>;
}

/** The promises of `NetworkDriver`, as tests. */
export function describeNetworkDriver(name: string, start: () => Promise<NetworkHarness>): void {
  const open = async () => {
    const harness = await start();
    onTestFinished(harness.stop);
    const [subnet] = await harness.driver.managedSubnets();
    if (!subnet?.vipRange) throw new Error('The contract needs a managed subnet.');
    const request = { loadBalancerId: randomUUID(), subnetId: subnet.id, address: null };
    const amphora = harness.amphorae?.start ?? (async () => ({ amphoraId: randomUUID(), computeId: 'c' }));
    return { ...harness, amphora, subnet, range: subnet.vipRange, request };
  };

  describe(`${name} as a NetworkDriver`, () => {
    it('knows its managed subnets, and no other', async () => {
      const { driver, subnet } = await open();
      expect(await driver.getSubnet(subnet.id)).toEqual(subnet);
      await expect(driver.getSubnet(randomUUID())).rejects.toMatchObject({
        kind: 'missing',
        reason: 'SUBNET_NOT_FOUND',
      });
    });

    it('gives the same address when asked twice, also by another worker', async () => {
      const { driver, restart, request, subnet } = await open();
      const first = await driver.allocateVip(request);
      expect(first).toMatchObject({ subnetId: subnet.id, networkId: subnet.networkId });
      expect(await driver.allocateVip(request)).toEqual(first);
      expect(await restart().allocateVip(request)).toEqual(first);
      expect(await restart().allocateVip({ ...request, address: first.address })).toEqual(first);
    });

    it('gives the address that is asked for', async () => {
      const { driver, request, range } = await open();
      expect(await driver.allocateVip({ ...request, address: range.last })).toMatchObject({ address: range.last });
    });

    it('tells which load balancers have an address, until it is given back', async () => {
      const { driver, restart, request } = await open();
      await driver.allocateVip(request);
      expect(await restart().holdings()).toContain(request.loadBalancerId);
      await driver.releaseVip(request.loadBalancerId);
      expect(await restart().holdings()).not.toContain(request.loadBalancerId);
    });

    it('tells everything that it has given, until that is removed', async () => {
      const { driver, restart, request, amphora } = await open();
      const vip = await driver.allocateVip(request);
      const { loadBalancerId } = request;
      const plug = { loadBalancerId, ...(await amphora()), vip, topology: 'SINGLE' } as const;
      await driver.plugVip(plug);
      const all = (await restart().leftovers()).filter((one) => one.loadBalancerId === loadBalancerId);
      expect(all.map(({ kind }) => kind)).toContain('vip');
      const holder = all.find(({ amphoraId }) => amphoraId === plug.amphoraId);
      if (!holder) throw new Error('There is no holder.');
      await driver.removeLeftover(holder);
      expect((await driver.leftovers()).map(({ amphoraId }) => amphoraId)).not.toContain(plug.amphoraId);
      for (let i = 0; i < 2; i++) for (const one of all) await driver.removeLeftover(one);
      expect(await restart().leftovers()).toEqual([]);
      expect(await driver.holdings()).toEqual([]);
    });

    it('refuses an address that another load balancer has', async () => {
      const { driver, request } = await open();
      const { address } = await driver.allocateVip(request);
      const other = { ...request, loadBalancerId: randomUUID(), address };
      await expect(driver.allocateVip(other)).rejects.toBeInstanceOf(VipAddressTaken);
    });

    it('refuses an address that VIPs may not have', async () => {
      const { driver, request } = await open();
      await expect(driver.allocateVip({ ...request, address: '192.0.2.1' })).rejects.toBeInstanceOf(VipAddressOutside);
    });

    it('gives different addresses to load balancers that ask one after the other', async () => {
      const { driver, request } = await open();
      const first = await driver.allocateVip(request);
      const second = await driver.allocateVip({ ...request, loadBalancerId: randomUUID() });
      expect(second.address).not.toBe(first.address);
    });

    it('gives a released address again, and releases what is not there', async () => {
      const { driver, request } = await open();
      const { address } = await driver.allocateVip(request);
      for (let i = 0; i < 2; i++) await driver.releaseVip(request.loadBalancerId);
      expect(await driver.allocateVip({ ...request, loadBalancerId: randomUUID(), address })).toMatchObject({
        address,
      });
    });

    it('plugs and unplugs a VIP, each as often as asked', async () => {
      const { driver, request, subnet, amphora } = await open();
      const vip = await driver.allocateVip(request);
      const { loadBalancerId } = request;
      const plug = { loadBalancerId, ...(await amphora()), vip, topology: 'SINGLE' } as const;
      const port = await driver.plugVip(plug);
      expect(port).toMatchObject({ vipAddress: vip.address, subnetCidr: subnet.cidr });
      expect(port.macAddress).toMatch(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
      expect(await driver.plugVip(plug)).toEqual(port);
      for (let i = 0; i < 2; i++) await driver.unplugVip(plug);
      await driver.plugVip({ ...plug, ...(await amphora()) });
    });

    it('gives one amphora the VIPs of several load balancers, and takes one without the others', async () => {
      const { driver, restart, request, amphora } = await open();
      const shared = await amphora();
      const plugs = [];
      for (const loadBalancerId of [request.loadBalancerId, randomUUID(), randomUUID()]) {
        const vip = await driver.allocateVip({ ...request, loadBalancerId });
        plugs.push({ loadBalancerId, ...shared, vip, topology: 'SINGLE' as const });
      }
      const ports = [];
      for (const plug of plugs) ports.push(await driver.plugVip(plug));
      expect(new Set(ports.map(({ vipAddress }) => vipAddress)).size).toBe(3);
      expect(new Set(ports.map(({ macAddress }) => macAddress)).size).toBe(1);
      const [first, ...others] = plugs;
      if (!first) throw new Error('There is no first.');
      for (let i = 0; i < 2; i++) await restart().unplugVip(first);
      for (const [index, plug] of others.entries()) expect(await driver.plugVip(plug)).toEqual(ports[index + 1]);
      const holders = (await driver.leftovers()).filter(({ amphoraId }) => amphoraId === shared.amphoraId);
      expect(new Set(holders.map(({ loadBalancerId }) => loadBalancerId))).toEqual(
        new Set(others.map(({ loadBalancerId }) => loadBalancerId)),
      );
    });

    it('gives a VIP to another amphora when the first gave it up, although that lives and has others', async () => {
      const { driver, restart, request, amphora, amphorae } = await open();
      const [shared, next, third] = [await amphora(), await amphora(), await amphora()];
      const plugOf = async (loadBalancerId: string) => {
        const vip = await driver.allocateVip({ ...request, loadBalancerId });
        return { loadBalancerId, ...shared, vip, topology: 'SINGLE' as const };
      };
      const [moved, kept] = [await plugOf(request.loadBalancerId), await plugOf(randomUUID())];
      await driver.plugVip(moved);
      await driver.plugVip(kept);
      if (amphorae) await expect(driver.plugVip({ ...moved, ...next })).rejects.toBeInstanceOf(FenceNotConfirmed);
      // The worker dies between the two calls, and after the second: all is done again.
      await driver.unplugVip(moved);
      await restart().unplugVip(moved);
      const port = await restart().plugVip({ ...moved, ...next });
      await restart().unplugVip(moved);
      expect(await restart().plugVip({ ...moved, ...next })).toEqual(port);
      if (!amphorae) return;
      for (const plug of [moved, kept]) {
        await expect(driver.plugVip({ ...plug, ...third })).rejects.toBeInstanceOf(FenceNotConfirmed);
      }
    });

    it('says what it can do, and refuses a pair where that is not in it', async () => {
      const { driver, request, amphora } = await open();
      expect(driver.abilities.topologies).toContain('SINGLE');
      if (driver.abilities.topologies.includes('ACTIVE_STANDBY')) return;
      const vip = await driver.allocateVip(request);
      const { loadBalancerId } = request;
      const plug = { loadBalancerId, ...(await amphora()), vip, topology: 'ACTIVE_STANDBY' } as const;
      await expect(driver.plugVip(plug)).rejects.toMatchObject({ reason: 'UNSUPPORTED_BY_PROVIDER' });
    });

    it('gives each amphora of a pair an address of its own, which is never the VIP and stays', async () => {
      const { driver, restart, request, subnet, amphora } = await open();
      if (!driver.abilities.topologies.includes('ACTIVE_STANDBY')) return;
      const vip = await driver.allocateVip(request);
      const { loadBalancerId } = request;
      const plugs = await Promise.all(
        [0, 1].map(async () => ({ loadBalancerId, ...(await amphora()), vip, topology: 'ACTIVE_STANDBY' as const })),
      );
      const ports = await Promise.all(plugs.map((plug) => driver.plugVip(plug)));
      for (const port of ports) expect(port).toMatchObject({ vipAddress: vip.address, subnetCidr: subnet.cidr });
      expect(new Set([vip.address, ...ports.map(({ vrrpIp }) => vrrpIp)]).size).toBe(3);
      expect(new Set(ports.map(({ macAddress }) => macAddress)).size).toBe(2);
      const again = restart();
      expect(await Promise.all(plugs.map((plug) => again.plugVip(plug)))).toEqual(ports);
    });

    it('lets a third have the VIP of a pair only when one of the two was isolated or unplugged', async () => {
      const { driver, request, amphora, amphorae } = await open();
      if (!driver.abilities.topologies.includes('ACTIVE_STANDBY') || !amphorae) return;
      const vip = await driver.allocateVip(request);
      const { loadBalancerId } = request;
      const plug = async () => ({ loadBalancerId, ...(await amphora()), vip, topology: 'ACTIVE_STANDBY' as const });
      const [first, second, third, fourth] = [await plug(), await plug(), await plug(), await plug()];
      const kept = await driver.plugVip(first);
      await driver.plugVip(second);
      await expect(driver.plugVip(third)).rejects.toBeInstanceOf(FenceNotConfirmed);
      await amphorae.fence(second.amphoraId);
      const port = await driver.plugVip(third);
      expect(port.vrrpIp).not.toBe(kept.vrrpIp);
      await expect(driver.plugVip(fourth)).rejects.toBeInstanceOf(FenceNotConfirmed);
      await driver.unplugVip(third);
      await driver.plugVip(fourth);
      expect(await driver.plugVip(first)).toEqual(kept);
    });

    it('lets a second have the VIP of a single amphora only when the first was isolated', async () => {
      const { driver, request, amphora, amphorae } = await open();
      if (!amphorae) return;
      const vip = await driver.allocateVip(request);
      const { loadBalancerId } = request;
      const old = { loadBalancerId, ...(await amphora()), vip, topology: 'SINGLE' } as const;
      const young = { ...old, ...(await amphora()) };
      await driver.plugVip(old);
      await expect(driver.plugVip(young)).rejects.toBeInstanceOf(FenceNotConfirmed);
      await amphorae.fence(old.amphoraId);
      await driver.plugVip(young);
    });

    it('lets a second have it at once where a person has made sure that the first is isolated', async () => {
      const { driver, request, amphora, amphorae } = await open();
      if (!amphorae) return;
      const vip = await driver.allocateVip(request);
      const { loadBalancerId } = request;
      const old = { loadBalancerId, ...(await amphora()), vip, topology: 'SINGLE' } as const;
      const young = { ...old, ...(await amphora()), confirmedFences: ['b0000000-0000-4000-8000-000000000001'] };
      await driver.plugVip(old);
      await expect(driver.plugVip(young)).rejects.toBeInstanceOf(FenceNotConfirmed);
      await driver.plugVip({ ...young, confirmedFences: [old.amphoraId] });
    });

    it('refuses a worker that lost its flow', async () => {
      const { driver, restart, request } = await open();
      const at = (epoch: number) => ({ fence: { flowId: 'f', epoch } });
      await driver.allocateVip(request, at(5));
      await expect(restart().releaseVip(request.loadBalancerId, at(4))).rejects.toBeInstanceOf(StaleFence);
      await driver.allocateVip(request, at(5));
      await driver.allocateVip(request, at(6));
    });

    it('does nothing when the call was aborted', async () => {
      const { driver, request } = await open();
      const signal = AbortSignal.abort(new Error('asked to stop'));
      await expect(driver.allocateVip(request, { signal })).rejects.toThrow('asked to stop');
    });

    it('reports a time-out as NetworkUnavailable, so that the flow retries', async () => {
      const { driver, request, timeOutNextCall } = await open();
      if (!timeOutNextCall) return;
      timeOutNextCall();
      await expect(driver.allocateVip(request)).rejects.toBeInstanceOf(NetworkUnavailable);
      await driver.allocateVip(request);
    });
  });
}
