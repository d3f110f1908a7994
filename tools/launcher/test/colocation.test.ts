import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { preparedPlan } from '@octavia/drivers';
import { mayMakeNamespaces } from '@octavia/drivers/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answers, Life, traffic } from './life.ts';

const MODES = ['loopback', 'namespaces'] as const;

interface Amphora {
  readonly id: string;
  readonly status: string;
  readonly seats: readonly { readonly loadbalancer_id: string }[];
}

/** Several load balancers on one amphora, as those who run it and their clients see them. */
describe.for(MODES)('colocation in %s mode', { timeout: 120_000 }, (mode) => {
  const isPossible = mode === 'loopback' || mayMakeNamespaces();
  const life = new Life();
  let web: Server;
  let member: [port: number, address: string];
  const vips: Record<string, string> = {};

  beforeAll(async () => {
    if (!isPossible) return;
    const env = { COLOCATION_LIMIT: '2' };
    const { code, text } = await life.launcher(['start', '--detach', '--mode', mode], { env });
    if (code !== 0) throw new Error(`It does not start:\n${text}`);
    const host = (await preparedPlan(life.home))?.vip.hostAddress ?? '127.0.0.1';
    web = createServer((_, response) => response.end('one'));
    await new Promise<void>((done) => web.listen(0, host, done));
    member = [(web.address() as AddressInfo).port, host];
    for (const name of ['a', 'b']) vips[name] = await life.serve(name, ...member);
  }, 180_000);
  afterAll(async () => {
    web?.closeAllConnections();
    web?.close();
    await life.launcher(['stop']);
    await life.end();
  }, 60_000);

  const vipOf = (name: string): string => vips[name] ?? '';
  const isServed = (name: string) => life.until(`${name} to be answered`, () => answers(vipOf(name)));
  const idOf = async (name: string): Promise<string> => (await life.json('loadbalancer', 'show', name)).id;

  /** The amphora that serves it. */
  async function amphoraOf(name: string): Promise<Amphora> {
    const id = await idOf(name);
    const all: Amphora[] = await life.json('loadbalancer', 'amphora', 'list', '--loadbalancer', name);
    const shown: Amphora[] = await Promise.all(
      all.map(({ id: amphora }) => life.json('loadbalancer', 'amphora', 'show', amphora)),
    );
    const serving = shown.filter(
      ({ status, seats }) => status === 'ALLOCATED' && seats.some((one) => one.loadbalancer_id === id),
    );
    const [only] = serving;
    if (!only || serving.length > 1) throw new Error(`${name} has ${serving.length} amphorae.`);
    return only;
  }

  it.runIf(isPossible)('two of a project share an amphora, and the third has another', async () => {
    expect((await amphoraOf('b')).id).toBe((await amphoraOf('a')).id);
    expect((await amphoraOf('a')).seats).toHaveLength(2);
    for (const name of ['a', 'b']) await isServed(name);
    vips.c = await life.serve('c', ...member);
    expect((await amphoraOf('c')).id).not.toBe((await amphoraOf('a')).id);
  });

  it.runIf(isPossible)('whatever becomes of one costs the other no request', async () => {
    const clients = traffic(vipOf('a'));
    await life.must('loadbalancer', 'listener', 'set', '--connection-limit', '77', '--wait', 'l-b');
    await life.must('loadbalancer', 'failover', '--wait', 'b');
    await isServed('b');
    await life.must('loadbalancer', 'delete', '--cascade', '--wait', 'b');
    const { requests, failures } = await clients.stop();
    expect(requests).toBeGreaterThan(20);
    expect(failures).toBe(0);
    expect(await answers(vipOf('b'))).toBe(false);
    expect((await amphoraOf('a')).seats).toHaveLength(1);
  });

  it.runIf(isPossible)('all are moved when their amphora dies', async () => {
    vips.d = await life.serve('d', ...member);
    const { id: dead } = await amphoraOf('d');
    const names = (await idOf('a')) && (await amphoraOf('a')).id === dead ? ['a', 'd'] : ['c', 'd'];
    expect((await amphoraOf(names[0] ?? '')).id).toBe(dead);
    await life.killAmphora(dead);
    for (const name of names) {
      await life.until(`${name} elsewhere`, async () => (await amphoraOf(name).catch(() => null))?.id !== dead);
      await isServed(name);
    }
  });
});
