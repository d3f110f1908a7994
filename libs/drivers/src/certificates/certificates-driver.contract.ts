import { createPrivateKey, createPublicKey, randomUUID, X509Certificate } from 'node:crypto';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { CertificatesDriver } from './certificates-driver.ts';

export interface CertificatesHarness {
  readonly driver: CertificatesDriver;
  readonly stop: () => Promise<void>;
}

/** The promises of `CertificatesDriver`, as tests. */
export function describeCertificatesDriver(name: string, start: () => Promise<CertificatesHarness>): void {
  const issued = async () => {
    const harness = await start();
    onTestFinished(harness.stop);
    const amphoraId = randomUUID();
    const pair = await harness.driver.issueAgentCertificate(amphoraId);
    return { ...harness, amphoraId, pair, certificate: new X509Certificate(pair.certificate) };
  };

  describe(`${name} as a CertificatesDriver`, () => {
    it('issues a certificate of the amphora’s id, signed by a CA of its own', async () => {
      const { driver, amphoraId, certificate } = await issued();
      expect(certificate.subject).toBe(`CN=${amphoraId}`);
      expect(certificate.subjectAltName).toBe(`DNS:${amphoraId}`);
      const peer = certificate.toLegacyObject() as PeerCertificate;
      expect(checkServerIdentity(amphoraId, peer)).toBeUndefined();
      const pems = (await driver.clientCa()).split(/(?<=-----END CERTIFICATE-----)/).filter((pem) => pem.trim());
      const ca = pems.map((pem) => new X509Certificate(pem)).find((one) => certificate.checkIssued(one));
      expect(ca?.ca).toBe(true);
      expect(certificate.verify((ca as X509Certificate).publicKey)).toBe(true);
      expect(certificate.ca).toBe(false);
    });

    it('gives the key in traditional form, and it belongs to the certificate', async () => {
      const { pair, certificate } = await issued();
      expect(pair.privateKey).toMatch(/^-----BEGIN (RSA|EC) PRIVATE KEY-----\n/);
      expect(certificate.checkPrivateKey(createPrivateKey(pair.privateKey))).toBe(true);
    });

    it('says when it runs out: 30 days from now', async () => {
      const { pair, certificate } = await issued();
      expect(new Date(certificate.validTo)).toEqual(pair.expiresAt);
      const days = (pair.expiresAt.getTime() - Date.now()) / 86_400_000;
      expect(days).toBeCloseTo(30, 2);
      expect(new Date(certificate.validFrom).getTime()).toBeLessThanOrEqual(Date.now());
    });

    it('may be used by server and client, and says so in the extensions that Octavia’s have', async () => {
      const { certificate } = await issued();
      expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
      const { X509Certificate: Parsed } = await import('@peculiar/x509');
      const extensions = new Parsed(certificate.raw).extensions.map(({ type, critical }) => `${type} ${critical}`);
      expect(extensions.sort()).toEqual(
        [
          '2.5.29.14 false',
          '2.5.29.15 true',
          '2.5.29.17 false',
          '2.5.29.19 true',
          '2.5.29.35 false',
          '2.5.29.37 true',
        ].sort(),
      );
    });

    it('makes a new key and serial number each time', async () => {
      const { driver, amphoraId, certificate } = await issued();
      const other = new X509Certificate((await driver.issueAgentCertificate(amphoraId)).certificate);
      expect(other.serialNumber).not.toBe(certificate.serialNumber);
      const spki = (one: X509Certificate) => createPublicKey(one.publicKey.export({ type: 'spki', format: 'pem' }));
      expect(spki(other).equals(spki(certificate))).toBe(false);
    });
  });
}
