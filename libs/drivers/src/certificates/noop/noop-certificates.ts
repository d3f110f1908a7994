import { Unavailable } from '@octavia/domain';
import type { CallContext } from '../../call-context.ts';
import { CertificateError } from '../../errors.ts';
import { MemoryFences } from '../../fences/epoch-fences.ts';
import { NoopControl } from '../../noop/noop-control.ts';
import type { NoopOptions } from '../../noop/noop-world.ts';
import type { CertificatesDriver, IssuedCertificate } from '../certificates-driver.ts';
import { type Issuer, issueAgentCertificate, makeAuthority } from '../issue.ts';

const VALIDITY_MS = 30 * 24 * 3600 * 1000;

/** A CA in memory, made anew in each process: its certificates are good, and nobody else trusts them. */
export class NoopCertificatesDriver implements CertificatesDriver {
  readonly name = 'noop';
  readonly control: NoopControl;
  #authority: Promise<Issuer> | null = null;

  constructor(options: NoopOptions = {}) {
    this.control = new NoopControl({
      driver: 'noop certificates',
      fences: new MemoryFences(), // An issued certificate changes nothing, so there is nothing to fence between processes.
      unavailable: (message) => new Unavailable('CERTIFICATES_UNAVAILABLE', message),
      ...options,
    });
  }

  issueAgentCertificate(amphoraId: string, context?: CallContext): Promise<IssuedCertificate> {
    return this.control.run('issueAgentCertificate', [amphoraId], context, async () =>
      issueAgentCertificate(await this.#issuer(), amphoraId, 'EC', VALIDITY_MS),
    );
  }

  clientCa(): Promise<string> {
    return this.control.run('clientCa', [], undefined, async () => {
      const { certificate } = await this.#issuer();
      return `${certificate.toString('pem')}\n`;
    });
  }

  async close(): Promise<void> {}

  #issuer(): Promise<Issuer> {
    this.#authority ??= makeAuthority('octavia noop CA');
    return this.#authority.catch((cause: Error) => {
      throw new CertificateError(`The noop CA cannot be made: ${cause.message}.`, {}, { cause });
    });
  }
}
