import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureCertificate, openAuthority } from './pki.ts';

const DAY_MS = 86_400_000;
const START = new Date('2026-01-01T00:00:00Z');
const after = (days: number) => new Date(START.getTime() + days * DAY_MS);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'octavia-pki-'));
});
afterEach(() => rm(folder, { recursive: true }));

const certificates = async (name: string) =>
  (
    (await readFile(join(folder, `${name}.pem`), 'utf8')).match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []
  ).map((pem) => new X509Certificate(pem));
const issue = async (days: number) => {
  const authority = await openAuthority(folder, 'ca', after(days));
  await ensureCertificate(authority, folder, 'service', { now: after(days) });
  return (await certificates('service'))[0]?.serialNumber;
};

describe('a certificate', () => {
  it('stays while it has a third of its time left, and is issued anew after that, also long after it ran out', async () => {
    const first = await issue(0);
    expect(await issue(200)).toBe(first);
    const second = await issue(250);
    expect(second).not.toBe(first);
    expect(await issue(2_000)).not.toBe(second);
  });

  it('is issued anew when its key is of another one: a crash between the two leaves that', async () => {
    const first = await issue(0);
    const key = await readFile(join(folder, 'service.key'), 'utf8');
    const authority = await openAuthority(folder, 'ca', START);
    await ensureCertificate(authority, folder, 'other', { now: START });
    await writeFile(join(folder, 'service.key'), await readFile(join(folder, 'other.key')));
    expect(await issue(0)).not.toBe(first);
    expect(await readFile(join(folder, 'service.key'), 'utf8')).not.toBe(key);
  });

  it('is issued anew when it is no certificate', async () => {
    const first = await issue(0);
    await writeFile(join(folder, 'service.pem'), '-----BEGIN');
    expect(await issue(0)).not.toBe(first);
  });
});

describe('an authority', () => {
  it('is renewed two years before it ends, and both are trusted until then', async () => {
    await issue(0);
    const [old] = await certificates('ca');
    await issue(2_900);
    expect(await certificates('ca')).toHaveLength(1);
    await issue(2_950);
    const [renewed, kept] = await certificates('ca');
    expect(kept?.serialNumber).toBe(old?.serialNumber);
    expect(renewed?.serialNumber).not.toBe(old?.serialNumber);
    // Whoever knows only the old one trusts what is signed now.
    const [service] = await certificates('service');
    if (!old || !renewed) throw new Error('no authority');
    expect([service?.checkIssued(old), service?.verify(old.publicKey)]).toEqual([true, true]);
    expect([service?.checkIssued(renewed), service?.verify(renewed.publicKey)]).toEqual([true, true]);
  });

  it('that ran out long ago is renewed and not kept', async () => {
    await issue(0);
    await issue(5_000);
    const found = await certificates('ca');
    expect(found).toHaveLength(1);
    expect(new Date(found[0]?.validTo ?? 0).getTime()).toBeGreaterThan(after(8_000).getTime());
  });
});
