import { execFile } from 'node:child_process';
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createAuthority } from './world/authority.ts';
import { listenForHeartbeats } from './world/heartbeats.ts';
import { agentBundle, createWorld, eventually, type World } from './world/world.ts';

interface Sample {
  readonly request: string;
  readonly status: number;
  readonly content_type: string;
  readonly body: unknown;
  readonly note?: string;
  readonly request_body?: string;
  readonly request_json?: object;
  readonly etag?: string;
}

const samplesFile = join(import.meta.dirname, 'fixtures/amphora-api-samples.json');
const { samples } = JSON.parse(readFileSync(samplesFile, 'utf8')) as { samples: Sample[] };

/** Answers that need an uploaded configuration, a real guest, keepalived, or files that the samples only hint at. */
function isApplicable({ request, note = '', status, request_body: body = '' }: Sample): boolean {
  if (/vrrp\/(?!restart)|udp_listener|\/rules|PUT \/1\.0\/certificate$/.test(request)) return /unknown$/.test(note);
  if (/not \(yet\) visible|already plugged|systemctl|HAProxy and LVS|UDP listener/.test(note)) return false;
  if (/POST \/1\.0\/plug/.test(request) && status === 202) return false;
  if (/GET \/1\.0\/interface\/203\.0\.113\.4$|\/1\.0\/(info|details)$/.test(request) && status === 200) return false;
  if (/GET \/1\.0\/listeners$|haproxy$/.test(request) && (status === 200 || status === 202)) return false;
  if (/\/(start|stop|reload|RELOAD)$/.test(request) && status === 202) return false;
  return !body.includes('nonsense');
}

describe('the answers of the agent', () => {
  let w: World;
  beforeAll(async () => {
    w = await createWorld();
    await w.start();
  });
  afterAll(() => w.close());

  for (const sample of samples.filter(isApplicable)) {
    it(`are those of Octavia's agent: ${sample.request} (${sample.note ?? 'normal'})`, async () => {
      const [method = '', path = ''] = sample.request.split(' ');
      const reply = await w.call(method, path, sample.request_json ?? sample.request_body);
      expect(reply.status).toBe(sample.status);
      expect(reply.headers['content-type']).toBe(sample.content_type);
      expect(reply.json).toEqual(sample.body);
      expect(reply.headers.etag).toBe(sample.etag);
    });
  }

  it('have the fields of info and details with the same types', async () => {
    for (const path of ['/1.0/info', '/1.0/details']) {
      const sample = samples.find(({ request }) => request === `GET ${path}`);
      const { json } = await w.call('GET', path);
      const { platform: _, ...ours } = json as Record<string, unknown>;
      const theirs = sample?.body as Record<string, unknown>;
      const shape = (value: object) =>
        Object.entries(value).map(([key, part]) => [key, /^(keepalived|ipvsadm)_/.test(key) ? 'any' : typeof part]);
      expect(shape(ours).sort()).toEqual(shape(theirs).sort());
      for (const part of path === '/1.0/details' ? ['cpu', 'memory', 'disk'] : [])
        expect(shape(ours[part] as object)).toEqual(shape(theirs[part] as object));
    }
  });

  it('record a VIP, however often it is plugged, and tell its interface', async () => {
    const port = {
      subnet_cidr: '127.0.0.0/8',
      gateway: null,
      mac_address: 'fa:16:3e:00:00:01',
      vrrp_ip: '203.0.113.4',
    };
    const additional = [{ subnet_cidr: '2001:db8::/64', ip_address: '2001:db8::5', gateway: null, host_routes: [] }];
    const body = { ...port, additional_vips: additional };
    for (const _ of [1, 2])
      expect((await w.call('POST', `/1.0/plug/vip/${w.vip}`, body)).json).toEqual({
        message: 'OK',
        details: `VIPs plugged on interface lo: ${w.vip}, 2001:0db8:0000:0000:0000:0000:0000:0005`,
      });
    for (const ip of [w.vip, '203.0.113.4', '2001:db8:0::5'])
      expect((await w.call('GET', `/1.0/interface/${ip}`)).json).toEqual({ message: 'OK', interface: 'lo' });
    const network = { mac_address: 'fa:16:3e:00:00:02', fixed_ips: [{ ip_address: '127.9.9.9' }] };
    expect(await w.call('POST', '/1.0/plug/network', network)).toMatchObject({
      json: { details: 'Plugged on interface lo' },
    });
    expect(await w.call('POST', '/1.0/plug/network', network)).toMatchObject({
      json: { details: 'Updated existing interface lo' },
    });
  });

  it('keep certificate files readable by their owner only, below the load balancer', async () => {
    const path = `/1.0/loadbalancer/${w.lb}/certificates`;
    await w.call('PUT', `${path}/abc.pem`, 'secret');
    expect(statSync(join(w.basePath, 'certs', w.lb, 'abc.pem')).mode & 0o777).toBe(0o600);
    for (const name of ['..%2Fabc.pem', '%2e%2e.pem', 'a.b.pem'])
      expect(await w.call('PUT', `${path}/${name}`, 'x')).toMatchObject({ status: 400 });
  });

  it('say clearly that UDP listeners and VRRP are not there', async () => {
    for (const path of [
      `/1.0/listeners/${w.amphoraId}/${w.listener}/udp_listener`,
      '/1.0/vrrp/upload',
      '/1.0/vrrp/start',
    ])
      expect(await w.call('PUT', path, 'x')).toMatchObject({
        status: 500,
        json: { details: expect.stringMatching(/no (LVS|keepalived)/) },
      });
  });

  it('refuse what is for another amphora, is no configuration, or is too large', async () => {
    const other = `/1.0/loadbalancer/a0000000-0000-4000-8000-000000000001/${w.lb}/haproxy`;
    expect(await w.call('PUT', other, w.text())).toMatchObject({ status: 400 });
    expect(await w.upload(w.text().replace(/.*stats socket.*\n/, ''))).toMatchObject({
      status: 400,
      json: { details: expect.stringContaining('stats socket') },
    });
    expect(await w.call('PUT', '/1.0/config', Buffer.alloc(100_000, 'x'))).toMatchObject({
      status: 400,
      json: { details: 'The body has more than 65536 bytes' },
    });
  });

  it('tell how long the check and the reload took', async () => {
    const { headers } = await w.upload(w.text());
    expect(headers['server-timing']).toMatch(/^check;dur=[\d.]+, total;dur=[\d.]+$/);
    expect((await w.act('start')).headers['server-timing']).toMatch(/^start;dur=/);
    expect((await w.act('reload')).headers['server-timing']).toMatch(/^reload;dur=/);
    expect((await w.act('reload')).json).toEqual({ message: 'OK', details: `Listener ${w.lb} reloaded` });
    expect((await w.act('stop')).json).toEqual({ message: 'OK', details: `Listener ${w.lb} stoped` });
  });
});

describe('an agent', () => {
  const open: World[] = [];
  const world = async (...options: Parameters<typeof createWorld>) => {
    const created = await createWorld(...options);
    open.push(created);
    return created;
  };
  afterEach(async () => {
    for (const created of open.splice(0)) await created.close();
  });

  it('talks only to clients with a certificate of the right authority', async () => {
    const w = await world();
    await w.start();
    const foreign = await (await createAuthority('foreign')).issue('controller');
    await expect(w.client({})('GET', '/')).rejects.toThrow();
    await expect(w.client({ clientPem: foreign })('GET', '/')).rejects.toThrow();
    expect(await w.call('GET', '/')).toMatchObject({ status: 200 });
  });

  it('shows a new certificate to new connections, and keeps the old one when the new one is broken', async () => {
    const w = await world();
    await w.start();
    const before = await serialOf(w);
    expect(await w.call('PUT', '/1.0/certificate', '-----BEGIN CERTIFICATE-----\n...')).toMatchObject({ status: 400 });
    expect(await serialOf(w)).toBe(before);
    const renewed = await w.authority.issue(w.amphoraId);
    expect(await w.call('PUT', '/1.0/certificate', renewed)).toMatchObject({ status: 202, json: { message: 'OK' } });
    expect(await serialOf(w)).not.toBe(before);
    expect(await w.call('GET', '/')).toMatchObject({ status: 200 });
  });

  it('takes up certificate files that somebody else replaced, and keeps the old ones in use when the new are broken', async () => {
    const w = await world();
    await w.start();
    const before = await serialOf(w);
    const file = /agent_server_cert = (.*)/.exec(readFileSync(w.configFile, 'utf8'))?.[1] ?? '';
    const replace = (content: string) => {
      writeFileSync(`${file}.new`, content, { mode: 0o600 });
      renameSync(`${file}.new`, file);
    };
    replace('no certificate');
    await eventually('the broken one is told', () => /cannot be used; the old ones stay/.test(w.log()));
    expect(await serialOf(w)).toBe(before);
    replace(await w.authority.issue(w.amphoraId));
    await eventually('the new one is shown', async () => (await serialOf(w)) !== before);
    expect(await w.call('GET', '/')).toMatchObject({ status: 200 });
  });

  it('takes a new heartbeat key and interval, keeps them over a restart, and its paths whatever the file says', async () => {
    const w = await world();
    const agent = await w.start();
    const other = await listenForHeartbeats('127.0.0.1', 'new-key');
    const list = `127.0.0.1:${other.port}`;
    const wanted = `[haproxy_amphora]\nbase_path = /nowhere\n[health_manager]\nheartbeat_key = new-key\nheartbeat_interval = 0.1\ncontroller_ip_port_list = ${list}\n`;
    expect(await w.call('PUT', '/1.0/config', wanted)).toMatchObject({ status: 202, json: { message: 'OK' } });
    await other.next();
    expect(await w.call('PUT', '/1.0/config', '[health_manager]\nheartbeat_interval = soon\n')).toMatchObject({
      status: 400,
    });
    agent.kill('SIGTERM');
    await eventually('the agent has ended', () => agent.exitCode !== null);
    await w.start();
    await other.next(({ seq }) => seq < 3);
    expect(readFileSync(w.configFile, 'utf8')).toContain(`base_path = ${w.basePath}\n`);
    other.close();
  });

  it('refuses changes of a worker that lost its flow, also after a restart', async () => {
    const w = await world();
    const agent = await w.start();
    const upload = (fence: string) =>
      w.call('PUT', `/1.0/loadbalancer/${w.amphoraId}/${w.lb}/haproxy`, w.text(), { 'X-Octavia-Fence': fence });
    expect(await upload('flow-a:3')).toMatchObject({ status: 202 });
    expect(await upload('flow-a:3')).toMatchObject({ status: 202 });
    expect(await upload('flow-a:2')).toMatchObject({ status: 409, json: { message: 'Stale fence' } });
    expect(await upload('flow-b:1')).toMatchObject({ status: 202 });
    expect(await upload('nonsense')).toMatchObject({ status: 400 });
    agent.kill('SIGKILL');
    await eventually('the agent has ended', () => agent.signalCode !== null);
    await w.start();
    expect(await upload('flow-a:2')).toMatchObject({ status: 409 });
    expect(await upload('flow-a:4')).toMatchObject({ status: 202 });
    const read = await w.call('GET', '/1.0/listeners', undefined, { 'X-Octavia-Fence': 'flow-a:1' });
    expect(read.status).toBe(200);
  });

  it('does one call at a time, however many arrive at once', async () => {
    const w = await world();
    const file = (name: string) => join(w.folder, name);
    const checks = [
      '#!/bin/sh',
      `mkdir ${file('busy')} || echo twice >>${file('overlaps')}`,
      '/usr/sbin/haproxy "$@"; code=$?',
      `rmdir ${file('busy')}; exit $code`,
    ];
    writeFileSync(file('checks.sh'), checks.join('\n'), { mode: 0o700 });
    writeFileSync(w.configFile, w.conf.replace('/usr/sbin/haproxy', file('checks.sh')));
    await w.start();
    const replies = await Promise.all(Array.from({ length: 8 }, () => w.upload(w.text())));
    expect(replies.map(({ status }) => status)).toEqual(Array(8).fill(202));
    expect(existsSync(file('overlaps'))).toBe(false);
  });

  it('answers within 300 ms of its start (asserted: five times that)', async () => {
    const w = await world();
    const started = performance.now();
    const agent = w.spawn();
    let answeredMs = 0;
    await eventually('the agent answers', () =>
      w.call('GET', '/').then(
        () => {
          answeredMs = performance.now() - started;
          return true;
        },
        () => false,
      ),
    );
    expect(agent.exitCode).toBeNull();
    expect(answeredMs).toBeLessThan(1500);
    process.stdout.write(`amphora-agent answered ${Math.round(answeredMs)} ms after its start\n`);
  });

  it('is one file of at most 60 MB that explains itself', async () => {
    const bundle = agentBundle();
    expect(statSync(bundle).size).toBeLessThan(60 * 1024 * 1024);
    const { stdout } = await promisify(execFile)(process.execPath, [bundle, '--help']);
    expect(stdout).toContain('--amphora-id UUID');
    const wrong = promisify(execFile)(process.execPath, [bundle, '--data-folder', 'relative']);
    await expect(wrong).rejects.toMatchObject({ code: 64, stderr: expect.stringContaining('--amphora-id is missing') });
  });

  it('names every fault of its configuration at once', async () => {
    const w = await world();
    writeFileSync(w.configFile, '[haproxy_amphora]\nbind_port = many\nbase_path = relative\n');
    const args = ['--amphora-id', w.amphoraId, '--data-folder', w.folder, '--config-file', w.configFile];
    const failed = promisify(execFile)(process.execPath, [agentBundle(), ...args]);
    await expect(failed).rejects.toMatchObject({
      code: 78,
      stderr: expect.stringMatching(
        /bind_port must be.*agent_server_ca is missing|amphora_id is missing.*bind_port must be/,
      ),
    });
  });
});

function serialOf(w: World): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { host: w.host, port: 9443, rejectUnauthorized: false, maxVersion: 'TLSv1.2' },
      () => undefined,
    );
    socket.once('secureConnect', () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    // In TLS 1.2 the server refuses a client without certificate in the middle of the handshake, after it has shown its own.
    socket.once('error', (error) => {
      const { serialNumber } = socket.getPeerCertificate();
      if (serialNumber) resolve(serialNumber);
      else reject(error);
    });
  });
}
