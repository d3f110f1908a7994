import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Trees } from '@octavia/db';
import { insertSeat } from '@octavia/db/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Callers } from './callers.ts';
import { RealAgents } from './real-agents.ts';

const PORT = 8080;
const RATE_PER_SECOND = 100;

let agents: RealAgents;
let member: Server;
let id: string;
let callers: Callers;
let listener: string;
beforeEach(async () => {
  agents = await RealAgents.open();
  member = createServer((_, response) => response.end('member'));
  await new Promise<void>((resolve) => member.listen(0, '127.0.0.1', resolve));
  id = await agents.world.create();
  callers = new Callers(agents.world, id);
  const pool = await callers.addPool();
  await callers.addMember(pool, '127.0.0.1', { protocolPort: (member.address() as AddressInfo).port });
  listener = await callers.addListener(PORT, { defaultPoolId: pool });
  expect(await agents.world.settled(id)).toMatchObject({ provisioningStatus: 'ACTIVE', fault: null });
}, 60_000);
afterEach(async () => {
  await agents.close();
  member.closeAllConnections();
  member.close();
});

/** 100 requests a second, each on a connection of its own, until `stop`. */
async function load() {
  const host = (await agents.world.lb(id)).vip.address ?? '';
  const pending: Promise<void>[] = [];
  const failures: string[] = [];
  const timer = setInterval(() => {
    pending.push(
      get(host).then(
        (body) => void (body === 'member' || failures.push(body)),
        (error) => void failures.push(String(error)),
      ),
    );
  }, 1000 / RATE_PER_SECOND);
  return {
    async stop(): Promise<{ readonly sent: number; readonly failures: readonly string[] }> {
      clearInterval(timer);
      await Promise.all(pending);
      return { sent: pending.length, failures };
    },
  };
}

function get(host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ host, port: PORT, agent: false, timeout: 5_000 }, (response) => {
      let body = '';
      response.on('data', (piece) => {
        body += piece;
      });
      response.on('end', () => resolve(body));
    });
    sent.on('timeout', () => sent.destroy(new Error('no answer')));
    sent.on('error', reject);
    sent.end();
  });
}

async function statuses(ids: readonly string[]): Promise<(string | undefined)[]> {
  const tree = await new Trees().read(agents.world.db.reader, id);
  return ids.map((one) => tree?.listeners.find((found) => found.id === one)?.provisioningStatus);
}

describe('on real HAProxy, at 100 requests a second', { timeout: 120_000 }, () => {
  it('one refused change of 300 costs no request, few checks and one reload', async () => {
    agents.refuse('maxconn 666');
    const bad = 123;
    const ids: string[] = [];
    const traffic = await load();
    const before = { checks: agents.checks(), reloads: agents.reloads };
    await callers.together(async (tx) => {
      for (let i = 0; i < 300; i++) {
        ids.push(await callers.addListener(20_000 + i, { connectionLimit: i === bad ? 666 : 10 }, tx));
      }
    });
    await agents.world.until(
      'the change is settled',
      async () => (await agents.world.lb(id)).provisioningStatus === 'ACTIVE',
      60_000,
    );
    const { sent, failures } = await traffic.stop();
    expect(failures).toEqual([]);
    expect(sent).toBeGreaterThan(50);
    expect(await statuses(ids)).toEqual(ids.map((_, i) => (i === bad ? 'ERROR' : 'ACTIVE')));
    expect(agents.checks() - before.checks).toBeLessThanOrEqual(2 * Math.log2(300));
    expect(agents.reloads - before.reloads).toBe(1);
    const { fault_message: words } = await agents.world.listener(ids[bad] ?? '');
    expect(words).toContain('maxconn 666');
  });

  it('a refused update of what serves goes back, and costs no request', async () => {
    agents.refuse('maxconn 666');
    const traffic = await load();
    await callers.change('listener', listener, { connectionLimit: 666 });
    await agents.world.until('it is settled', async () => (await statuses([listener]))[0] === 'ERROR', 60_000);
    await agents.world.settled(id);
    // Whoever starts HAProxy anew from here on gets what passed: the port answers after a reload, too.
    const { failures } = await traffic.stop();
    expect(failures).toEqual([]);
    const tree = await new Trees().read(agents.world.db.reader, id);
    expect(tree?.listeners[0]).toMatchObject({ connectionLimit: -1, fault: { reason: 'CONFIGURATION_REFUSED' } });
  });

  it('an agent that dies half-way through a push to a pair costs no request, and no change', async () => {
    const { world } = agents;
    const second = await world.spare();
    await world.db.reader.query(`UPDATE amphora SET status = 'ALLOCATED' WHERE id = $1`, [second]);
    await insertSeat(world.db.reader, second, id, { role: 'BACKUP' });
    const traffic = await load();
    agents.hang(second);
    await callers.change('listener', listener, { connectionLimit: 77 });
    await world.until('the push is half-way', async () => agents.isHanging(), 30_000);
    await agents.kill(second);
    await world.until('it is served', async () => (await statuses([listener]))[0] === 'ACTIVE', 60_000);
    const { failures, sent } = await traffic.stop();
    expect({ failures, hasSent: sent > 10 }).toEqual({ failures: [], hasSent: true });
  });
});
