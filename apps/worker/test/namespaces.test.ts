import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Topology } from '@octavia/domain';
import {
  type AmphoraEndpoint,
  addressesIn,
  amphoraNames,
  NoopCertificatesDriver,
  openDrivers,
  prepareNamespaces,
  removeNamespaces,
} from '@octavia/drivers';
import { Guest, mayMakeNamespaces } from '@octavia/drivers/testing';
import { renderAgentConfig } from '@octavia/render';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const AGENT = resolve(import.meta.dirname, '../../amphora-agent');
const LIMIT_MS = 30_000;

/** The real drivers with the real agent, without a controller. */
async function openWorld() {
  execFileSync(process.execPath, [join(AGENT, 'build.mjs')]);
  const root = mkdtempSync(join(tmpdir(), 'o-'));
  const folders = { dataFolder: join(root, 'data'), runtimeFolder: join(root, 'run') };
  const plan = await prepareNamespaces({ installationId: root, ...folders, endsWithWriter: true });
  const certificates = new NoopCertificatesDriver();
  const [clientCertFile, serverCaFile] = [join(root, 'client.pem'), join(root, 'ca.pem')];
  const { certificate, privateKey } = await certificates.issueAgentCertificate('controller');
  writeFileSync(clientCertFile, certificate + privateKey, { mode: 0o600 });
  writeFileSync(serverCaFile, await certificates.clientCa());
  const { first: managementFirst, last: managementLast } = plan.management;
  const agentBundlePath = join(AGENT, 'dist/amphora-agent.mjs');
  const drivers = openDrivers({
    compute: {
      driver: 'local',
      options: { ...folders, managementFirst, managementLast, agentBundlePath, namespaces: plan },
    },
    network: {
      driver: 'local',
      options: { dataFolder: folders.dataFolder, namespaces: plan, subnets: [{ ...plan.vip, name: 'vips' }] },
    },
    amphora: { driver: 'haproxy', options: { clientCertFile, serverCaFile } },
    certificates: { driver: 'noop' },
  });
  const build = async (topology: Topology): Promise<AmphoraEndpoint & { computeId: string }> => {
    const amphoraId = randomUUID();
    const issued = await certificates.issueAgentCertificate(amphoraId);
    const computeId = await drivers.compute.build({
      amphoraId,
      configDriveFiles: {
        '/etc/octavia/amphora-agent.conf': renderAgentConfig({
          amphoraId,
          topology,
          controllerIpPortList: [`${plan.management.hostAddress}:9`],
          heartbeatKey: 'key',
        }),
        '/etc/octavia/certs/server.pem': issued.certificate + issued.privateKey,
        '/etc/octavia/certs/client_ca.pem': await certificates.clientCa(),
      },
    });
    const { lbNetworkIp, agentPort } = await drivers.compute.get({ computeId });
    const endpoint = { amphoraId, computeId, lbNetworkIp: lbNetworkIp ?? '', agentPort };
    const giveUpAt = performance.now() + LIMIT_MS;
    for (;;) {
      const facts = await drivers.amphora.getFacts(endpoint).catch((error) => {
        if (performance.now() > giveUpAt) throw error;
        return null;
      });
      if (facts) return endpoint;
      await delay(20);
    }
  };
  return {
    plan,
    drivers,
    build,
    addressesOf: ({ amphoraId }: AmphoraEndpoint) => addressesIn(amphoraNames(plan, amphoraId).namespace),
    close: async () => {
      for (const { computeId } of await drivers.compute.list()) await drivers.compute.delete(computeId);
      await drivers.close();
      await removeNamespaces(folders);
      rmSync(root, { recursive: true, force: true });
    },
  };
}

describe.runIf(mayMakeNamespaces())('agents in namespaces, which need root,', { timeout: 60_000 }, () => {
  let world: Awaited<ReturnType<typeof openWorld>>;
  let guest: Guest;
  beforeAll(async () => {
    world = await openWorld();
    guest = await Guest.open(world.plan);
  });
  afterAll(() => world.close());

  const plug = async (loadBalancerId: string, amphora: AmphoraEndpoint & { computeId: string }, topology: Topology) => {
    const { network, amphora: agents } = world.drivers;
    const vip = await network.allocateVip({ loadBalancerId, subnetId: world.plan.vip.id, address: null });
    const port = await network.plugVip({ loadBalancerId, ...amphora, vip, topology });
    await agents.plugVip(amphora, port);
    await agents.plugVip(amphora, port); // A repeated call changes nothing.
    return port;
  };

  it('give a single amphora its VIP, and neighbours who knew another know it at once', async () => {
    const [old, young] = [await world.build('SINGLE'), await world.build('SINGLE')];
    const first = await plug('lb-single', old, 'SINGLE');
    expect(first.vrrpIp).toBe(first.vipAddress);
    expect(await world.addressesOf(old)).toContainEqual({ interface: 'eth1', address: first.vipAddress });
    expect(await guest.whoHas(first.vipAddress)).toBe(first.macAddress);
    await world.drivers.compute.fence(old.computeId);
    const second = await plug('lb-single', young, 'SINGLE');
    expect(second.macAddress).not.toBe(first.macAddress);
    const giveUpAt = performance.now() + LIMIT_MS;
    while ((await guest.knownMac(first.vipAddress)) !== second.macAddress && performance.now() < giveUpAt)
      await delay(10);
    expect(await guest.knownMac(first.vipAddress)).toBe(second.macAddress);
  });

  it('give each amphora of a pair its own address and leave the VIP to VRRP, but let HAProxy bind it', async () => {
    const pair = [await world.build('ACTIVE_STANDBY'), await world.build('ACTIVE_STANDBY')];
    for (const amphora of pair) {
      const { vipAddress, vrrpIp, macAddress } = await plug('lb-pair', amphora, 'ACTIVE_STANDBY');
      const addresses = (await world.addressesOf(amphora)).filter(({ interface: name }) => name === 'eth1');
      expect(addresses.filter(({ address }) => address.includes('.'))).toEqual([
        { interface: 'eth1', address: vrrpIp },
      ]);
      expect(await guest.whoHas(vrrpIp)).toBe(macAddress);
      expect(await guest.whoHas(vipAddress)).toBeNull();
      const bind = `require('net').createServer().listen(80, '${vipAddress}', () => process.exit(0))`;
      const { namespace } = amphoraNames(world.plan, amphora.amphoraId);
      execFileSync('ip', ['netns', 'exec', namespace, process.execPath, '-e', bind]);
    }
  });
});
