import { describe, expect, it } from 'vitest';
import { describeCertificatesDriver } from '../certificates-driver.contract.ts';
import { NoopCertificatesDriver } from './noop-certificates.ts';

describeCertificatesDriver('noop', async () => ({ driver: new NoopCertificatesDriver(), stop: async () => {} }));

describe('noop certificates for agents that are not real', () => {
  it('are one pair for all, and each is good for 30 days from when it was asked for', async () => {
    const driver = new NoopCertificatesDriver({ isReal: false });
    const [one, other] = [await driver.issueAgentCertificate('a'), await driver.issueAgentCertificate('b')];
    expect(other).toMatchObject({ certificate: one.certificate, privateKey: one.privateKey });
    expect((other.expiresAt.getTime() - Date.now()) / 86_400_000).toBeCloseTo(30, 2);
  });
});
