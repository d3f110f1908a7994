import { createPrivateKey } from 'node:crypto';
import type { CallContext } from '../../call-context.ts';
import { CertificateError } from '../../errors.ts';
import { WatchedFiles } from '../../watched-files.ts';
import type { CertificatesDriver, IssuedCertificate } from '../certificates-driver.ts';
import { type Issuer, issueAgentCertificate, type KeyAlgorithm, readIssuer } from '../issue.ts';

export interface LocalCertificatesOptions {
  /** PEM: the CA that signs agents' certificates; there may be others beside it, while one replaces another. */
  readonly caCertificateFile: string;
  /** PEM, unencrypted unless `caKeyPassphrase` is given. RSA, EC or Ed25519. */
  readonly caKeyFile: string;
  readonly caKeyPassphrase?: string;
  /** PEM of the CAs by which agents know controllers. Default: `caCertificateFile`. */
  readonly clientCaFile?: string;
  /** Milliseconds, at least a minute. Default and source: Octavia `cert_validity_time`, 30 days. */
  readonly validityMs?: number;
  /** Of agents' keys. Default: RSA, which every agent takes. Local amphorae take EC, which is a hundred times faster. */
  readonly keyAlgorithm?: KeyAlgorithm;
}

const DEFAULT_VALIDITY_MS = 30 * 24 * 3600 * 1000;

/** A CA in files. They are read again when they change, so a new CA needs no restart. */
export class LocalCertificatesDriver implements CertificatesDriver {
  readonly name = 'local';
  readonly #options: LocalCertificatesOptions;
  readonly #ca: WatchedFiles;
  readonly #clientCa: WatchedFiles;
  #issuer: { readonly stamp: string; readonly issuer: Issuer } | null = null;

  constructor(options: LocalCertificatesOptions) {
    this.#options = options;
    this.#ca = new WatchedFiles(options.caCertificateFile, options.caKeyFile);
    this.#clientCa = new WatchedFiles(options.clientCaFile ?? options.caCertificateFile);
  }

  async issueAgentCertificate(amphoraId: string, context?: CallContext): Promise<IssuedCertificate> {
    context?.signal?.throwIfAborted();
    const { keyAlgorithm = 'RSA', validityMs = DEFAULT_VALIDITY_MS } = this.#options;
    return await this.#orFail('issue a certificate', async () =>
      issueAgentCertificate(await this.#readIssuer(), amphoraId, keyAlgorithm, validityMs),
    );
  }

  async clientCa(): Promise<string> {
    return await this.#orFail('read the CA of controllers', async () =>
      (await this.#clientCa.read()).contents.join(''),
    );
  }

  async close(): Promise<void> {}

  async #readIssuer(): Promise<Issuer> {
    const { stamp, contents } = await this.#ca.read();
    if (this.#issuer?.stamp !== stamp) {
      const [bundle = '', keyPem = ''] = contents;
      const key = createPrivateKey({ key: keyPem, passphrase: this.#options.caKeyPassphrase });
      this.#issuer = { stamp, issuer: await readIssuer(bundle, key) };
    }
    return this.#issuer.issuer;
  }

  async #orFail<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (cause instanceof CertificateError) throw cause;
      const why = (cause as Error).message; // Names the file at fault; never has its content.
      throw new CertificateError(`The CA cannot ${what}: ${why}.`, { why }, { cause });
    }
  }
}
