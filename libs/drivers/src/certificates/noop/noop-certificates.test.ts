import { describeCertificatesDriver } from '../certificates-driver.contract.ts';
import { NoopCertificatesDriver } from './noop-certificates.ts';

describeCertificatesDriver('noop', async () => ({ driver: new NoopCertificatesDriver(), stop: async () => {} }));
