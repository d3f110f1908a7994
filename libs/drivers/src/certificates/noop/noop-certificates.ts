import { Unavailable } from '@octavia/domain';
import type { CallContext } from '../../call-context.ts';
import { CertificateError } from '../../errors.ts';
import { MemoryFences } from '../../fences/epoch-fences.ts';
import { NoopControl } from '../../noop/noop-control.ts';
import type { NoopOptions } from '../../noop/noop-world.ts';
import type { CertificatesDriver, IssuedCertificate } from '../certificates-driver.ts';
import { type Issuer, issueAgentCertificate, makeAuthority } from '../issue.ts';

const VALIDITY_MS = 30 * 24 * 3600 * 1000;

export interface NoopCertificatesOptions extends NoopOptions {
  /**
   * True: a key and a certificate for each amphora, for agents that are real. False: all get the same pair, made once, because noop
   * agents look at none, and making one takes longer than all else of a noop amphora. Default: true.
   */
  readonly isReal?: boolean;
}

/** A CA in memory, made anew in each process: its certificates are good, and nobody else trusts them. */
export class NoopCertificatesDriver implements CertificatesDriver {
  readonly name = 'noop';
  readonly control: NoopControl;
  readonly #isReal: boolean;
  #shared: Promise<IssuedCertificate> | null = null;
  #authority: Promise<Issuer> | null = null;

  constructor(options: NoopCertificatesOptions = {}) {
    this.#isReal = options.isReal ?? true;
    this.control = new NoopControl({
      driver: 'noop certificates',
      fences: new MemoryFences(), // An issued certificate changes nothing, so there is nothing to fence between processes.
      unavailable: (message) => new Unavailable('CERTIFICATES_UNAVAILABLE', message),
      ...options,
    });
  }

  issueAgentCertificate(amphoraId: string, context?: CallContext): Promise<IssuedCertificate> {
    return this.control.run('issueAgentCertificate', [amphoraId], context, () =>
      this.#isReal ? this.#issue(amphoraId) : this.#share(),
    );
  }

  clientCa(): Promise<string> {
    return this.control.run('clientCa', [], undefined, async () => {
      const { certificate } = await this.#issuer();
      return `${certificate.toString('pem')}\n`;
    });
  }

  async close(): Promise<void> {}

  async #issue(name: string): Promise<IssuedCertificate> {
    return issueAgentCertificate(await this.#issuer(), name, 'EC', VALIDITY_MS);
  }

  /** Whatever the one pair says, what is known of an amphora's certificate is that it was issued now. */
  async #share(): Promise<IssuedCertificate> {
    this.#shared ??= this.#issue('noop');
    return { ...(await this.#shared), expiresAt: new Date(Math.floor((Date.now() + VALIDITY_MS) / 1000) * 1000) };
  }

  #issuer(): Promise<Issuer> {
    this.#authority ??= makeAuthority('octavia noop CA');
    return this.#authority.catch((cause: Error) => {
      throw new CertificateError(`The noop CA cannot be made: ${cause.message}.`, {}, { cause });
    });
  }
}
