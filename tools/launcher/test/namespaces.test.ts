import { existsSync, readdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { kernelHoldings, type NamespacePlan, openHostId, pairNames, preparedPlan } from '@octavia/drivers';
import { Guest, mayMakeNamespaces } from '@octavia/drivers/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Life } from './life.ts';

/** From the bare machine to a VIP on a bridge, and back. Root's own; a plain user has loopback mode. */
describe.runIf(mayMakeNamespaces())('namespaces mode, which needs root,', { timeout: 180_000 }, () => {
  const life = new Life();
  let plan: NamespacePlan;
  let guest: Guest;
  let web: Server;
  let vip = '';

  beforeAll(async () => {
    const text = await life.start('--mode', 'namespaces');
    const found = await preparedPlan(life.home);
    if (!found) throw new Error(`no networks:\n${text}`);
    plan = found;
    guest = await Guest.open(plan);
    web = createServer((_, response) => response.end('one'));
    await new Promise<void>((done) => web.listen(0, plan.vip.hostAddress, done));
    vip = await life.serve('web', (web.address() as AddressInfo).port, plan.vip.hostAddress);
  }, 180_000);
  afterAll(async () => {
    web?.closeAllConnections();
    web?.close();
    await life.launcher(['stop']);
    await life.end();
  }, 60_000);

  /** What a client in a namespace of its own is answered. */
  async function fetchAsGuest(): Promise<string> {
    const script = `fetch('http://${vip}:8080/').then((r) => r.text()).then(console.log)`;
    return (await guest.run(process.execPath, '-e', script)).stdout.trim();
  }
  const macOf = (amphoraId: string) => pairNames(plan, amphoraId, 'vip').mac;

  it('tells how amphorae run, and where members on this machine are reached', async () => {
    expect(await life.json('status')).toMatchObject({ mode: 'namespaces', host_address: plan.vip.hostAddress });
    expect(await life.must('status')).toContain(`listen on ${plan.vip.hostAddress}, or on all addresses`);
  });

  it('refuses members on loopback addresses, with the address that serves', async () => {
    for (const address of ['127.0.0.1', '::1', '::ffff:127.8.0.1']) {
      const member = ['loadbalancer', 'member', 'create', '--address', address, '--protocol-port', '80', 'p-web'];
      const { code, stderr } = await life.ctl(...member);
      expect({ code, stderr }).toMatchObject({ code: 2 });
      expect(stderr).toContain(`reached at ${plan.vip.hostAddress} [LOOPBACK_ADDRESS]`);
    }
  });

  it('serves the host and clients on the network', async () => {
    await life.until('the host to be answered', async () => (await life.get()) === 'one');
    expect(await fetchAsGuest()).toBe('one');
    expect(await guest.knownMac(vip)).toBe(macOf(await life.amphora()));
  });

  it('serves again after an amphora died, and clients are told whose the VIP is before they ask', async () => {
    const dead = await life.amphora();
    await life.killAmphora(dead);
    await life.until('a new amphora', async () => (await life.amphora()) !== dead);
    const young = await life.amphora();
    await life.until('the client to know', async () => (await guest.knownMac(vip)) === macOf(young));
    await life.until('the host to be answered', async () => (await life.get()) === 'one');
    expect(await fetchAsGuest()).toBe('one');
  });

  it('heals after everything was killed at once, amphorae too', async () => {
    await life.kill(true);
    const text = await life.start();
    expect(text).toContain('namespaces mode');
    await life.until('the host to be answered', async () => (await life.get()) === 'one');
  });

  it('leaves nothing but the data folder when it is stopped, and then starts in no other mode', async () => {
    const { runtimeFolder } = life.installation;
    const hostId = await openHostId({ dataFolder: life.home, runtimeFolder });
    expect((await kernelHoldings(plan.prefix, hostId)).links.length).toBeGreaterThan(3);
    const { code, text } = await life.launcher(['stop']);
    expect({ code, text }).toMatchObject({ code: 0 });
    expect(await kernelHoldings(plan.prefix, hostId)).toEqual({ namespaces: [], links: [], cgroups: [] });
    expect(existsSync(runtimeFolder)).toBe(false);
    expect(existsSync(join('/run/octavia-namespaces', `${plan.prefix}.json`))).toBe(false);
    expect(await life.processesOf(life.home)).toEqual([]);
    expect(readdirSync(join(life.home, 'amphorae'))).not.toEqual([]);

    const other = await life.launcher(['start', '--mode', 'loopback']);
    expect(other.code).toBe(1);
    expect(other.text).toContain('is in namespaces mode and has amphorae, so it cannot be started in loopback mode');
  });
});
