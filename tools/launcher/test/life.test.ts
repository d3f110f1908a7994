import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
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

  /** The agent of an amphora shows a certificate that ran out long ago, and the database knows when it did. */
  async function runOut(amphora: string): Promise<void> {
    const authority = await openAuthority(join(life.home, 'pki'), 'amphorae-ca');
    const { certificate, key } = await issueCertificate(authority, amphora, LONG_AGO);
    const file = join(life.home, 'amphorae', amphora, 'etc/octavia/certs/server.pem');
    writeFileSync(`${file}.new`, certificate + key, { mode: 0o600 });
    renameSync(`${file}.new`, file);
    await life.until('the agent shows it', async () => (await shownBy(amphora)).serialNumber === serialOf(certificate));
  }

  async function shownBy(amphora: string): Promise<X509Certificate> {
    const { address, agentPort } = JSON.parse(
      (await readIfThere(join(life.home, 'amphorae', amphora, 'instance.json'))) ?? '{}',
    );
    const socket = connect({ host: address, port: agentPort, rejectUnauthorized: false }).on('error', () => {});
    try {
      await once(socket, 'secureConnect');
      return new X509Certificate(socket.getPeerCertificate().raw);
    } finally {
      socket.destroy();
    }
  }

  it('lets an agent enrol again whose certificate ran out, without one failed request', async () => {
    const amphora = await life.amphora();
    const clients = traffic(vip);
    await runOut(amphora);
    // The push meets it first: nobody has told the database, and a new worker has no connection from before.
    process.kill(await life.servicePid('worker'), 'SIGKILL');
    await life.must('loadbalancer', 'listener', 'set', '--connection-limit', '800', '--wait', 'l-web');
    expect(new Date((await shownBy(amphora)).validTo).getTime()).toBeGreaterThan(Date.now());

    await runOut(amphora);
    await query(`UPDATE amphora SET cert_expires_at = now() - interval '370 days' WHERE id = $1`, [amphora]);
    await life.until('housekeeping to see to it', async () => {
      return new Date((await shownBy(amphora)).validTo).getTime() > Date.now();
    });
    await life.must('loadbalancer', 'listener', 'set', '--connection-limit', '900', '--wait', 'l-web');
    expect(await life.amphora()).toBe(amphora);
    expect((await clients.stop()).failures).toBe(0);
    const said: { message: string }[] = await life.json('events', 'web');
    expect(said.map(({ message }) => message).join('\n')).toContain(
      `The agent of amphora ${amphora} has a new certificate`,
    );
  });

  it('lets agents enrol again after a long time in which everything but the amphorae was off', async () => {
    const amphora = await life.amphora();
    const clients = traffic(vip);
    await life.kill(false);
    await expirePki(join(life.home, 'pki'));
    for (const id of readdirSync(join(life.home, 'amphorae'))) await runOut(id);
    await life.start();
    await query(`UPDATE amphora SET cert_expires_at = now() - interval '370 days' WHERE deleted_at IS NULL`);
    await life.until('every agent to have a new certificate', async () => {
      const found = await query('SELECT id FROM amphora WHERE deleted_at IS NULL AND cert_expires_at < now()');
      return found.length === 0;
    });
    await life.must('loadbalancer', 'listener', 'set', '--connection-limit', '950', '--wait', 'l-web');
    expect(await life.amphora()).toBe(amphora);
    expect((await clients.stop()).failures).toBe(0);
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

function serialOf(pem: string): string {
  return new X509Certificate(pem).serialNumber;
}
