import { randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { describeAmphoraDriver } from '../src/amphora/amphora-driver.contract.ts';
import { HaproxyAmphoraDriver } from '../src/amphora/haproxy/haproxy-amphora.ts';
import type { HaproxyAmphoraOptions } from '../src/amphora/haproxy/options.ts';
import {
  AgentCertificateExpired,
  AmphoraError,
  AmphoraUnavailable,
  ConfigurationRefused,
  StaleFence,
} from '../src/errors.ts';
import { ANSWERS, startStandInAgent, type Trouble } from './stand-in-https-agent.ts';
import { until } from './until.ts';

const LB = 'b0000000-0000-4000-8000-000000000001';
const PORT = {
  vipAddress: '203.0.113.5',
  subnetCidr: '203.0.113.0/24',
  gateway: null,
  macAddress: '00:00:00:00:00:00',
  vrrpIp: '203.0.113.5',
  vrrpPortId: null,
  mtu: null,
  hostRoutes: [],
};
const answer = (name: string): Trouble => {
  const found = ANSWERS[name];
  if (!found) throw new Error(`no answer ${name}`);
  return { kind: 'answer', answer: found };
};
const said = (status: number, body: unknown): Trouble => ({
  kind: 'answer',
  answer: { status, content_type: 'application/json', body },
});

describeAmphoraDriver('haproxy', async () => {
  const { agent, endpoint, files, stop } = await startStandInAgent(randomUUID());
  return {
    driver: new HaproxyAmphoraDriver({ ...files, readTimeoutMs: 300, attempts: 1 }),
    amphora: endpoint,
    refused: { configuration: 'global\n    nonsense yes\n', words: "unknown keyword 'nonsense'" },
    timeOutNextCall: () => agent.troubles.push({ kind: 'hang' }),
    loseNextAnswer: () => agent.troubles.push({ kind: 'cut', after: true }),
    stop,
  };
});

async function open(options: Partial<HaproxyAmphoraOptions> = {}, certificateFor?: string, validityMs?: number) {
  const world = await startStandInAgent(randomUUID(), { certificateFor, validityMs });
  const driver = new HaproxyAmphoraDriver({
    ...world.files,
    readTimeoutMs: 2000,
    attempts: 3,
    retryIntervalMs: 5,
    ...options,
  });
  onTestFinished(async () => {
    await driver.close();
    await world.stop();
  });
  return { ...world, driver };
}

describe('an agent whose certificate has run out', () => {
  it('is sent nothing, and is looked at until it shows the new one', async () => {
    const { driver, endpoint, agent, certificate, renew } = await open({}, undefined, -1000);
    await expect(driver.rotateAgentCertificate(endpoint, 'key')).rejects.toBeInstanceOf(AgentCertificateExpired);
    await expect(driver.getFacts(endpoint)).rejects.toThrow(/showed a certificate that has run out/);
    expect(await driver.showsCertificate(endpoint, certificate)).toBe(true);
    const renewed = await renew();
    expect(await driver.showsCertificate(endpoint, certificate)).toBe(false);
    expect(await driver.showsCertificate(endpoint, renewed)).toBe(true);
    expect(agent.seen).toEqual([]);
    expect(await driver.getFacts(endpoint)).toMatchObject({ apiVersion: '1.0' });
  });

  it('is unavailable like any other when it cannot be reached', async () => {
    const { driver, endpoint, certificate } = await open();
    const gone = { ...endpoint, agentPort: 1 };
    await expect(driver.showsCertificate(gone, certificate)).rejects.toBeInstanceOf(AmphoraUnavailable);
    const signal = AbortSignal.abort(new Error('asked to stop'));
    await expect(driver.showsCertificate(endpoint, certificate, { signal })).rejects.toThrow('asked to stop');
  });
});

describe('the haproxy driver', () => {
  it('makes the calls of a push in order: upload, then reload', async () => {
    const { driver, agent, endpoint } = await open();
    await driver.pushHaproxy(endpoint, LB, 'global\n', { fence: { flowId: 'flow-1', epoch: 7 } });
    expect(agent.seen.map(({ request }) => request)).toEqual([
      `PUT /1.0/loadbalancer/${endpoint.amphoraId}/${LB}/haproxy`,
      `PUT /1.0/loadbalancer/${LB}/reload`,
    ]);
    expect(agent.seen[0]?.body).toBe('global\n');
    expect(agent.seen.map(({ headers }) => headers['x-octavia-fence'])).toEqual(['flow-1:7', 'flow-1:7']);
  });

  it('sends all that the agent needs to plug a VIP', async () => {
    const { driver, agent, endpoint } = await open();
    await driver.plugVip(endpoint, { ...PORT, mtu: 1450 });
    expect(JSON.parse(agent.seen[0]?.body ?? '')).toEqual({
      subnet_cidr: '203.0.113.0/24',
      gateway: null,
      mac_address: '00:00:00:00:00:00',
      vrrp_ip: '203.0.113.5',
      mtu: 1450,
      host_routes: [],
      additional_vips: [],
    });
  });

  it('makes the calls of a pair’s amphora as Octavia’s agent wants them', async () => {
    const { driver, agent, endpoint } = await open();
    await driver.plugVip(endpoint, PORT);
    await driver.getInterface(endpoint, PORT.vrrpIp);
    await driver.uploadVrrp(endpoint, LB, 'vrrp_instance x {\n}\n');
    await driver.startVrrp(endpoint);
    await driver.reloadVrrp(endpoint);
    await driver.stopVrrp(endpoint);
    expect(agent.seen.slice(1).map(({ request, body }) => [request, body])).toEqual([
      [`GET /1.0/interface/${PORT.vrrpIp}`, ''],
      ['PUT /1.0/vrrp/upload', 'vrrp_instance x {\n}\n'],
      ['PUT /1.0/vrrp/start', ''],
      ['PUT /1.0/vrrp/reload', ''],
      ['PUT /1.0/vrrp/stop', ''],
    ]);
  });

  it('does not upload a certificate that the agent has', async () => {
    const { driver, agent, endpoint } = await open();
    for (let i = 0; i < 2; i++) await driver.uploadCertificate(endpoint, LB, 'abc.pem', 'PEM');
    expect(agent.seen.map(({ request }) => request.split(' ')[0])).toEqual(['GET', 'PUT', 'GET']);
  });

  it('makes one call at a time to one amphora, in order, and refuses when too many wait', async () => {
    const { driver, agent, endpoint } = await open({ maxWaiting: 3 });
    const calls = Array.from({ length: 5 }, (_, i) => driver.getHaproxyEtag(endpoint, `lb-${i}`));
    const results = await Promise.allSettled(calls);
    expect(results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'rejected',
    ]);
    expect(agent.seen.map(({ request }) => request.at(-'/haproxy'.length - 1))).toEqual(['0', '1', '2', '3']);
    expect(agent.mostInFlight).toBe(1);
  });

  it('ends a running call when it is aborted, and the next one is not disturbed', async () => {
    const { driver, agent, endpoint } = await open();
    agent.troubles.push({ kind: 'hang' });
    const stop = new AbortController();
    const running = driver.getHaproxyEtag(endpoint, LB, { signal: stop.signal });
    await until('the agent has the call', () => agent.seen.length > 0);
    const next = driver.getHaproxyEtag(endpoint, LB);
    stop.abort(new Error('asked to stop'));
    await expect(running).rejects.toThrow('asked to stop');
    expect(await next).toBeNull();
  });

  describe('tries again when', () => {
    const passing: readonly [string, Trouble][] = [
      ['the connection is cut', { kind: 'cut' }],
      ['something that is not the agent says 404', { kind: 'text', status: 404, text: '<html>' }],
      ['the agent does not see the port yet', answer('noInterface')],
    ];
    it.each(passing)('%s', async (_, trouble) => {
      const { driver, agent, endpoint } = await open();
      agent.troubles.push(trouble, trouble);
      await driver.plugVip(endpoint, PORT);
      expect(agent.seen).toHaveLength(3);
    });

    it('the agent hangs', async () => {
      const { driver, agent, endpoint } = await open({ readTimeoutMs: 200 });
      agent.troubles.push({ kind: 'hang' });
      expect(await driver.getHaproxyEtag(endpoint, LB)).toBeNull();
    });
  });

  describe('reports as AmphoraUnavailable', () => {
    const troubles: readonly [string, Trouble, RegExp][] = [
      ['garbage instead of HTTP', { kind: 'raw', bytes: 'SSH-2.0-OpenSSH\r\n\r\n' }, /could not be understood/],
      ['a page instead of JSON', { kind: 'text', status: 200, text: '<html>' }, /not an agent's \(text\/html\)/],
      [
        'half of a JSON',
        { kind: 'text', status: 200, text: '{"api', contentType: 'application/json' },
        /not an agent's/,
      ],
      ['JSON of another server', said(200, { hello: 'world' }), /what no agent says/],
      ['a page of 502 of a proxy', { kind: 'text', status: 502, text: '<html>' }, /with 502/],
      ['an agent that is overloaded', said(503, { message: 'busy' }), /with 503: busy/],
      ['a connection that is cut each time', { kind: 'cut' }, /cut the connection/],
    ];
    it.each(troubles)('%s', async (_, trouble, words) => {
      const { driver, agent, endpoint } = await open();
      agent.troubles.push(trouble, trouble, trouble);
      const asking = driver.getFacts(endpoint);
      await expect(asking).rejects.toBeInstanceOf(AmphoraUnavailable);
      await expect(asking).rejects.toThrow(words);
      await expect(asking).rejects.toThrow(endpoint.amphoraId);
    });

    it('an answer without end', async () => {
      const { driver, agent, endpoint } = await open();
      agent.troubles.push({ kind: 'text', status: 200, text: 'x'.repeat(5_000_000), contentType: 'application/json' });
      await expect(driver.getFacts(endpoint)).rejects.toBeInstanceOf(AmphoraUnavailable);
    });

    it('a refused connection, so that a witness can tell it from silence', async () => {
      const { driver, endpoint } = await open();
      const closed = createServer();
      const port = await new Promise<number>((resolve) =>
        closed.listen(0, '127.0.0.1', () => resolve((closed.address() as { port: number }).port)),
      );
      await new Promise((resolve) => closed.close(resolve));
      const asking = driver.getFacts({ ...endpoint, agentPort: port });
      await expect(asking).rejects.toMatchObject({ reason: 'AMPHORA_UNAVAILABLE', details: { code: 'ECONNREFUSED' } });
    });

    it('the certificate of another amphora, which may have the address by now', async () => {
      const { driver, agent, endpoint } = await open({}, randomUUID());
      await expect(driver.getFacts(endpoint)).rejects.toThrow(/certificate of somebody else/);
      expect(agent.seen).toEqual([]);
    });

    it('certificates of ours that cannot be read', async () => {
      const { driver, endpoint } = await open({ serverCaFile: '/nowhere/ca.pem' });
      await expect(driver.getFacts(endpoint)).rejects.toThrow('/nowhere/ca.pem');
    });

    it('an agent that does not know our CA', async () => {
      const { driver, endpoint, spoilClientCertificate } = await open();
      await driver.getFacts(endpoint);
      await spoilClientCertificate(); // It is read again, and the open connection is not used any more.
      await expect(driver.getFacts(endpoint)).rejects.toBeInstanceOf(AmphoraUnavailable);
    });
  });

  it('never uses a connection for another amphora at the same address', async () => {
    const { driver, endpoint } = await open();
    await driver.getFacts(endpoint);
    await expect(driver.getFacts({ ...endpoint, amphoraId: randomUUID() })).rejects.toThrow(/somebody else/);
  });

  describe('reports as AmphoraError, which is not tried again,', () => {
    const refusals: readonly [string, Trouble][] = [
      ['a forbidden call', said(403, { message: 'Forbidden' })],
      ['a wrong name', answer('badFileName')],
    ];
    it.each(refusals)('%s', async (_, trouble) => {
      const { driver, agent, endpoint } = await open();
      agent.troubles.push(trouble);
      await expect(driver.stop(endpoint, LB)).rejects.toBeInstanceOf(AmphoraError);
      expect(agent.seen).toHaveLength(1);
    });

    it('an agent of API version 0.5', async () => {
      const { driver, agent, endpoint } = await open();
      agent.troubles.push(answer('oldApi'));
      await expect(driver.getFacts(endpoint)).rejects.toBeInstanceOf(AmphoraError);
    });
  });

  it.each([
    { message: 'Error starting haproxy', details: 'x', reason: 'BIND_FAILED' },
    {
      message: 'Error reloading haproxy',
      details: '[ALERT] Starting frontend f: cannot bind socket (Address already in use)',
    },
    {
      message: 'Error starting haproxy',
      details: 'address 203.0.113.9 port 80: this machine does not have the address. Choose an address of this machine',
    },
  ])('reports an address that HAProxy may not bind as ConfigurationRefused: $message', async (body) => {
    const { driver, agent, endpoint } = await open();
    agent.troubles.push(answer('uploaded'), said(500, body));
    const error = await driver.pushHaproxy(endpoint, LB, 'global\n').catch((refusal: unknown) => refusal);
    expect(error).toBeInstanceOf(ConfigurationRefused);
    expect(error).toMatchObject({ isAtReload: true });
  });

  it('reports a failed start as AmphoraUnavailable: the next one may succeed', async () => {
    const { driver, agent, endpoint } = await open();
    agent.troubles.push(answer('startFailed'));
    await expect(driver.stop(endpoint, LB)).rejects.toBeInstanceOf(AmphoraUnavailable);
  });

  it('reports an error of the amphora itself, such as a full disk, as AmphoraUnavailable with its words', async () => {
    const { driver, agent, endpoint } = await open();
    agent.troubles.push(said(500, { message: 'Error', details: 'ENOSPC: no space left on device, write' }));
    await expect(driver.pushHaproxy(endpoint, LB, 'global\n')).rejects.toMatchObject({
      name: AmphoraUnavailable.name,
      message: expect.stringContaining('ENOSPC: no space left on device'),
    });
  });

  it('reports as StaleFence that another holder of the flow was there, also where 409 means done', async () => {
    const { driver, agent, endpoint } = await open();
    agent.troubles.push(
      said(409, { message: 'Stale fence', details: 'Flow f is at epoch 3; epoch 2 lost it and must stop' }),
    );
    const fence = { flowId: 'f', epoch: 2 };
    await expect(driver.plugVip(endpoint, PORT, { fence })).rejects.toBeInstanceOf(StaleFence);
  });

  it('takes Octavia’s defaults for what a foreign agent does not tell, and our agent’s own words for what it does', async () => {
    const { driver, agent, endpoint } = await open();
    const { cpu_count: _, ...old } = (ANSWERS.details as { body: Record<string, unknown> }).body;
    agent.troubles.push(answer('info'), said(200, old));
    const foreign = await driver.getFacts(endpoint);
    expect(foreign).toMatchObject({ cpuCount: null, keepalivedVersion: '1:2.2.7-1+b2', memory: { buffers: 51344 } });
    expect(foreign.platform).toMatchObject({ basePath: '/var/lib/octavia', user: 'nobody', exclusiveBind: false });
    agent.troubles.push(
      answer('info'),
      said(200, { ...old, platform: { base_path: '/d', user: null, exclusive_bind: true, fast_vrrp: true } }),
    );
    const ours = await driver.getFacts(endpoint);
    expect(ours.platform).toMatchObject({ basePath: '/d', user: null, exclusiveBind: true, strictLimits: true });
    expect([foreign.platform.fastVrrp, ours.platform.fastVrrp]).toEqual([false, true]);
  });

  it('says NotImplemented when the agent is too old for a new configuration', async () => {
    const { driver, agent, endpoint } = await open();
    agent.troubles.push(answer('unknownPath'));
    await expect(driver.updateAgentConfig(endpoint, 'x')).rejects.toMatchObject({ reason: 'NOT_IMPLEMENTED' });
  });
});
