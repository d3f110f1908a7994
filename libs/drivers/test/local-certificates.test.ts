import { KeyObject, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { describe, expect, it, onTestFinished } from 'vitest';
import { describeCertificatesDriver } from '../src/certificates/certificates-driver.contract.ts';
import { makeAuthority } from '../src/certificates/issue.ts';
import {
  LocalCertificatesDriver,
  type LocalCertificatesOptions,
} from '../src/certificates/local/local-certificates.ts';
import { CertificateError } from '../src/errors.ts';

async function start(options: Partial<LocalCertificatesOptions> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'ca-'));
  const files = { caCertificateFile: join(folder, 'ca.pem'), caKeyFile: join(folder, 'ca.key') };
  const authorities = [await makeAuthority('old CA'), await makeAuthority('new CA')] as const;
  const [old, young] = authorities.map(({ certificate, privateKey }) => ({
    certificate: `${certificate.toString('pem')}\n`,
    key: KeyObject.from(privateKey).export({ type: 'pkcs8', format: 'pem' }).toString(),
  }));
  if (!old || !young) throw new Error('two CAs');
  await writeFile(files.caCertificateFile, old.certificate + young.certificate);
  await writeFile(files.caKeyFile, young.key);
  const driver = new LocalCertificatesDriver({ ...files, ...options });
  return { driver, files, old, young, stop: () => rm(folder, { recursive: true }) };
}

describeCertificatesDriver('local, RSA', () => start());
describeCertificatesDriver('local, EC', () => start({ keyAlgorithm: 'EC' }));

describe('the local CA', () => {
  const open = async (options: Partial<LocalCertificatesOptions> = {}) => {
    const world = await start(options);
    onTestFinished(world.stop);
    return world;
  };

  it('signs with the CA that the key belongs to, and tells both while one replaces the other', async () => {
    const { driver, old, young } = await open({ keyAlgorithm: 'EC' });
    const { certificate } = await driver.issueAgentCertificate('a');
    expect(new X509Certificate(certificate).checkIssued(new X509Certificate(young.certificate))).toBe(true);
    expect(await driver.clientCa()).toBe(old.certificate + young.certificate);
  });

  it('takes a new CA without a restart', async () => {
    const { driver, files, old } = await open({ keyAlgorithm: 'EC' });
    await driver.issueAgentCertificate('a');
    await writeFile(files.caCertificateFile, old.certificate);
    await writeFile(files.caKeyFile, old.key);
    const { certificate } = await driver.issueAgentCertificate('a');
    expect(new X509Certificate(certificate).issuer).toBe('CN=old CA');
  });

  it('makes RSA keys of 2048 bits, for which the event loop does not wait', async () => {
    const { driver } = await open();
    await driver.issueAgentCertificate('warm-up');
    const loop = monitorEventLoopDelay({ resolution: 1 });
    loop.enable();
    const pairs = await Promise.all(Array.from({ length: 4 }, () => driver.issueAgentCertificate('a')));
    loop.disable();
    expect(pairs[0]?.privateKey).toMatch(/^-----BEGIN RSA PRIVATE KEY-----/);
    expect(new X509Certificate(pairs[0]?.certificate ?? '').publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
    expect(loop.max / 1e6).toBeLessThan(250); // Four keys one after the other on the loop take longer.
  });

  it('obeys another time of validity', async () => {
    const { driver } = await open({ keyAlgorithm: 'EC', validityMs: 60_000 });
    const { expiresAt } = await driver.issueAgentCertificate('a');
    expect(Math.abs(expiresAt.getTime() - Date.now() - 60_000)).toBeLessThan(5000);
  });

  it('says which file is at fault', async () => {
    const { driver, files } = await open();
    await writeFile(files.caKeyFile, 'no key');
    await expect(driver.issueAgentCertificate('a')).rejects.toBeInstanceOf(CertificateError);
    await rm(files.caKeyFile);
    await expect(driver.issueAgentCertificate('a')).rejects.toThrow(files.caKeyFile);
  });

  it('refuses a key that belongs to none of the CAs', async () => {
    const { driver, files, old } = await open();
    await writeFile(files.caCertificateFile, old.certificate);
    await expect(driver.issueAgentCertificate('a')).rejects.toThrow('belongs to none');
  });
});
