import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readIfThere } from '../src/home.ts';
import { ensureCertificate, issueCertificate, openAuthority } from '../src/pki.ts';
import { CLIENT_NAMES, SERVICE_NAMES } from '../src/services.ts';
import { Life, traffic } from './life.ts';

/** More than any certificate of ours lives, and less than an authority. */
const LONG_AGO = new Date(Date.now() - 400 * 86_400_000);

describe('life on one machine', { timeout: 120_000 }, () => {
  const life = new Life();
  const scratch = mkdtempSync(join(tmpdir(), 'octavia-life-'));
  let vip = '';
  beforeAll(async () => {
    await life.start();
    vip = await life.serve('web', await life.web('one'));
  }, 120_000);
  afterAll(async () => {
    await life.launcher(['stop']);
    await life.end();
    rmSync(life.home, { recursive: true, force: true });
    rmSync(scratch, { recursive: true, force: true });
  }, 60_000);

  async function query(sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    const url = (await readIfThere(join(life.home, 'secrets/database-url')))?.trim();
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query(sql, values)).rows;
    } finally {
      await client.end();
    }
  }

  it('serves without one failed request while everything of ours is dead, and when it starts again', async () => {
    const amphora = await life.amphora();
    const clients = traffic(vip);
    await life.kill(false);
    expect(await life.start()).toContain('ready');
    await life.must('status', '--wait');
    // A change reaches the amphora that was adopted.
    await life.must('loadbalancer', 'listener', 'set', '--connection-limit', '500', '--wait', 'l-web');
    const { requests, failures } = await clients.stop();
    expect({ failures, amphora: await life.amphora() }).toEqual({ failures: 0, amphora });
    expect(requests).toBeGreaterThan(100);
  });

  it('ends its services with the launcher, and adopts PostgreSQL and amphorae at the next start', async () => {
    const [amphora, postgres] = [await life.amphora(), life.postgresPid()];
    const clients = traffic(vip);
    process.kill(life.launcherPid(), 'SIGKILL');
    await life.until('the services to end', async () =>
      (await Promise.all(SERVICE_NAMES.map((name) => life.servicePid(name).catch(() => null)))).every(
        (pid) => pid === null,
      ),
    );
    expect(await life.start()).toContain('was still running');
    expect({ amphora: await life.amphora(), postgres: life.postgresPid() }).toEqual({ amphora, postgres });
    expect((await clients.stop()).failures).toBe(0);
  });

  it('starts a service and PostgreSQL again that were killed, and the rest goes on', async () => {
    const clients = traffic(vip);
    const [worker, gateway] = [await life.servicePid('worker'), await life.servicePid('api-gateway')];
    process.kill(worker, 'SIGKILL');
    await life.until('another worker', async () => (await life.servicePid('worker')) !== worker);
    process.kill(life.postgresPid(), 'SIGKILL');
    await life.until('PostgreSQL to answer', async () => (await query('SELECT 1')).length === 1);
    await life.must('status', '--wait');
    await life.must('loadbalancer', 'listener', 'set', '--connection-limit', '600', '--wait', 'l-web');
    expect(await life.servicePid('api-gateway')).toBe(gateway);
    expect(life.log()).toMatch(/worker ended \(SIGKILL\); starting it again/);
    expect(life.log()).toMatch(/PostgreSQL ended; starting it again/);
    expect((await clients.stop()).failures).toBe(0);
  });

  it('gives the agents of amphorae new certificates in time, without one failed request', async () => {
    const amphora = await life.amphora();
    const clients = traffic(vip);
    await query(`UPDATE amphora SET cert_expires_at = now() + interval '13 days' WHERE id = $1`, [amphora]);
    await life.until('a new certificate', async () => {
      const [row] = await query(
        `SELECT cert_expires_at > now() + interval '20 days' AS renewed FROM amphora WHERE id = $1`,
        [amphora],
      );
      return row?.renewed === true;
    });
    await life.must('loadbalancer', 'listener', 'set', '--connection-limit', '700', '--wait', 'l-web');
    expect(await life.amphora()).toBe(amphora);
    expect((await clients.stop()).failures).toBe(0);
  });

  it('replaces an amphora whose certificate ran out', async () => {
    const amphora = await life.amphora();
    const [{ ip, port } = {}] = await query(
      'SELECT host(lb_network_ip) AS ip, agent_port AS port FROM amphora WHERE id = $1',
      [amphora],
    );
    const pki = join(life.home, 'pki');
    const authority = await openAuthority(pki, 'amphorae-ca');
    const { certificate, key } = await issueCertificate(authority, amphora, LONG_AGO);
    const status = await put(`https://${ip}:${port}/1.0/certificate`, certificate + key, pki);
    expect(status).toBe(202);
    await query(`UPDATE amphora SET cert_expires_at = now() - interval '35 days' WHERE id = $1`, [amphora]);
    await life.until('a successor', async () => (await life.amphora()) !== amphora);
    await life.must('loadbalancer', 'listener', 'set', '--connection-limit', '800', '--wait', 'l-web');
    await life.backAfter(vip);
    const [old] = await query('SELECT fault_reason FROM amphora WHERE id = $1', [amphora]);
    expect(old).toEqual({ fault_reason: 'CERTIFICATE_EXPIRED' });
  });

  it('stops in order with a suspended service, and leaves no process and no socket', async () => {
    process.kill(await life.servicePid('health'), 'SIGSTOP');
    expect((await life.launcher(['stop'])).code).toBe(0);
    expect(await life.processesOf(life.home)).toEqual([]);
    expect(existsSync(life.installation.runtimeFolder)).toBe(false);
  });

  it('comes back by itself after a long time off, in a folder that was moved, on the same address', async () => {
    life.move();
    await expirePki(join(life.home, 'pki'));
    await life.start();
    const ms = await life.backAfter(vip);
    process.stdout.write(`traffic ${ms} ms after a start from a stop\n`);
    expect((await life.json('loadbalancer', 'show', 'web')).vip_address).toBe(vip);
  });

  it('comes back by itself after a reboot, when nothing is left but the data folder', async () => {
    await life.kill(true);
    rmSync(life.installation.runtimeFolder, { recursive: true });
    await life.start();
    const ms = await life.backAfter(vip);
    process.stdout.write(`traffic ${ms} ms after a start from a reboot\n`);
    await life.until(
      'the load balancer to settle',
      async () => (await life.json('loadbalancer', 'show', 'web')).provisioning_status === 'ACTIVE',
    );
  });

  it('brings everything to what a restored older database says', async () => {
    const file = join(scratch, 'backup');
    await life.must('backup', file);
    // What happens after the backup: another amphora serves, a load balancer is new, a setting changes.
    const old = await life.amphora();
    const limit = (await life.json('loadbalancer', 'listener', 'show', 'l-web')).connection_limit;
    await life.must('loadbalancer', 'failover', '--wait', 'web');
    const newer = await life.amphora();
    const later = await life.serve('later', await life.web('later'));
    await life.must('loadbalancer', 'listener', 'set', '--connection-limit', '900', '--wait', 'l-web');
    expect(newer).not.toBe(old);

    const refused = await life.ctl('restore', file);
    expect({ code: refused.code, says: /already runs.*npm stop/s.test(refused.stderr) }).toEqual({
      code: 1,
      says: true,
    });
    await life.kill(false);
    expect(await life.must('restore', file)).toContain('the database is that of');
    await life.start();

    await life.until('the unknown amphorae to be gone', async () => {
      const known = (await life.json('loadbalancer', 'amphora', 'list')).map(({ id }: { id: string }) => id);
      const there = readdirSync(join(life.home, 'amphorae'));
      return !there.includes(newer) && there.every((id) => known.includes(id));
    });
    await life.until(
      'a successor of the amphora that is gone',
      async () => ![old, newer].includes(await life.amphora()),
    );
    await life.backAfter(vip);
    await life.until(
      'the load balancer to settle',
      async () => (await life.json('loadbalancer', 'show', 'web')).provisioning_status === 'ACTIVE',
    );
    expect((await life.json('loadbalancer', 'listener', 'show', 'l-web')).connection_limit).toBe(limit);
    expect((await life.ctl('loadbalancer', 'show', 'later')).code).toBe(3);
    // Its address is free again.
    await life.must('loadbalancer', 'create', '--name', 'later', '--vip-address', later, '--wait');
  });

  it('lives beside another installation: each serves, one stops, the other goes on', async () => {
    const other = new Life();
    try {
      await other.start();
      const its = await other.serve('web', await other.web('other'));
      const clients = traffic(vip);
      await other.backAfter(its);
      expect(its).not.toBe(vip);
      expect((await other.launcher(['stop'])).code).toBe(0);
      expect(await other.processesOf(other.home)).toEqual([]);
      expect((await clients.stop()).failures).toBe(0);
      await life.must('status');
    } finally {
      await other.launcher(['stop']);
      await other.end();
    }
  });
});

/** Certificates that were issued long ago and have run out since. */
async function expirePki(folder: string): Promise<void> {
  const services = await openAuthority(folder, 'services-ca');
  const amphorae = await openAuthority(folder, 'amphorae-ca');
  for (const name of [...SERVICE_NAMES, ...CLIENT_NAMES]) {
    rmSync(join(folder, `${name}.pem`));
    await ensureCertificate(services, folder, name, { now: LONG_AGO });
  }
  rmSync(join(folder, 'amphora-client.pem'));
  await ensureCertificate(amphorae, folder, 'amphora-client', { now: LONG_AGO });
}

/** A call to an agent as our worker makes it. Returns the status. */
async function put(url: string, body: string, pki: string): Promise<number | undefined> {
  const [cert, key, ca] = await Promise.all(
    ['amphora-client.pem', 'amphora-client.key', 'amphorae-ca.pem'].map((name) => readIfThere(join(pki, name))),
  );
  return new Promise((done, fail) => {
    const call = request(
      url,
      { method: 'PUT', cert: cert ?? '', key: key ?? '', ca: ca ?? '', checkServerIdentity: () => undefined },
      (response) => response.resume().on('end', () => done(response.statusCode)),
    );
    call.on('error', fail).end(body);
  });
}
