import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { renderHaproxy, renderKeepalived } from '@octavia/render';
import { createAuthority } from '../world/authority.ts';
import { eventually } from '../world/world.ts';
import { createAmphora, type PairAmphora } from './amphora.ts';
import { factsOf, pairTree } from './tree.ts';
import { layWires, PREFIX, type Wires } from './wires.ts';

/** A load balancer on two amphorae of ours, as the controller makes it, and two members in the tests' own process. */
export interface Pair {
  readonly lb: string;
  readonly wires: Wires;
  readonly amphorae: readonly [PairAmphora, PairAmphora];
  /** The amphora that has the VIP, once exactly one has it, and the other. */
  settled(): Promise<{ readonly holder: PairAmphora; readonly other: PairAmphora }>;
  /** Uploads keepalived's configuration and starts it. @param isAlone without a peer */
  startVrrp(amphora: PairAmphora, isAlone?: boolean): Promise<void>;
  /** Makes the amphora a good one of the pair again, whatever befell it. */
  mend(amphora: PairAmphora): Promise<void>;
  close(): Promise<void>;
}

/** Two amphorae that run, without a load balancer: for `createPair`, and for what comes before. */
export async function createPair(): Promise<Pair> {
  const wires = layWires();
  const root = mkdtempSync(`/tmp/${PREFIX}${process.pid}-`);
  const lb = randomUUID();
  const authority = await createAuthority('agents');
  const members = await Promise.all(['a', 'b'].map((name) => startMember(name, wires.clientIp)));
  const tree = pairTree(
    lb,
    wires.vip,
    members.map((server) => ({ address: wires.clientIp, port: (server.address() as AddressInfo).port })),
  );
  const make = (number: number, role: 'MASTER' | 'BACKUP') =>
    createAmphora(root, wires, number, { id: randomUUID(), role }, authority);
  const amphorae = [await make(1, 'MASTER'), await make(2, 'BACKUP')] as const;
  const peerOf = (amphora: PairAmphora) => (amphora === amphorae[0] ? amphorae[1] : amphorae[0]);

  const facts = async ({ call }: PairAmphora) => {
    const { json } = await call('GET', '/1.0/details');
    return factsOf(json as Parameters<typeof factsOf>[0]);
  };
  const startVrrp = async (amphora: PairAmphora, isAlone = false) => {
    const { call, vrrpIp } = amphora;
    const found = (await call('GET', `/1.0/interface/${vrrpIp}`)).json as { interface: string };
    const own = { ...amphora, facts: await facts(amphora), interface: found.interface };
    const peer = isAlone ? null : peerOf(amphora);
    const vipNetwork = { cidr: wires.vipCidr, gateway: wires.clientIp, hostRoutes: [] };
    await expectOk(call('PUT', '/1.0/vrrp/upload', renderKeepalived(tree, own, peer, { vipNetwork })));
    await expectOk(call('PUT', '/1.0/vrrp/start'));
  };
  const serve = async (amphora: PairAmphora) => {
    const target = { id: amphora.id, facts: await facts(amphora) };
    const { text } = renderHaproxy(tree, target, amphorae);
    await expectOk(amphora.call('PUT', `/1.0/loadbalancer/${amphora.id}/${lb}/haproxy`, text));
    await expectOk(amphora.call('PUT', `/1.0/loadbalancer/${lb}/reload`));
  };

  const pair: Pair = {
    lb,
    wires,
    amphorae,
    startVrrp,
    async settled() {
      let holder: PairAmphora | undefined;
      await eventually('exactly one amphora has the VIP', () => {
        const holders = amphorae.filter((amphora) => amphora.hasVip());
        holder = holders.length === 1 ? holders[0] : undefined;
        return holder !== undefined;
      });
      return { holder: holder ?? amphorae[0], other: peerOf(holder ?? amphorae[0]) };
    },
    async mend(amphora) {
      amphora.setLink('up');
      amphora.setAttached(true);
      amphora.setManagement('up');
      const runs = await amphora.call('GET', '/').then(
        () => true,
        () => false,
      );
      if (!runs) await amphora.start();
      await serve(amphora);
      await startVrrp(amphora);
      await eventually('the amphora is in VRRP again', () => ['BACKUP', 'MASTER'].includes(amphora.vrrpState()));
      await pair.settled();
    },
    async close() {
      for (const amphora of amphorae) amphora.close();
      wires.close();
      for (const server of members) server.closeAllConnections();
      for (const server of members) await new Promise((resolve) => server.close(resolve));
      rmSync(root, { recursive: true, force: true });
    },
  };
  try {
    for (const amphora of amphorae) {
      await amphora.start();
      const port = { subnet_cidr: wires.vipCidr, gateway: null, mac_address: amphora.vipMac, vrrp_ip: amphora.vrrpIp };
      await expectOk(amphora.call('POST', `/1.0/plug/vip/${wires.vip}`, port));
      await serve(amphora);
    }
  } catch (error) {
    await pair.close();
    throw error;
  }
  return pair;
}

async function expectOk(calling: ReturnType<PairAmphora['call']>): Promise<void> {
  const { status, text } = await calling;
  if (status >= 300) throw new Error(`${status}: ${text}`);
}

function startMember(name: string, host: string): Promise<Server> {
  const server = createServer((_, response) => response.end(name));
  return new Promise((resolve) => server.listen(0, host, () => resolve(server)));
}
