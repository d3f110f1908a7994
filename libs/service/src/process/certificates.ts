import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { TlsFiles } from '../grpc/tls-files.ts';

/** A certificate that this process uses. */
export interface CertificateInUse {
  /** Such as CN=worker. */
  readonly subject: string;
  readonly expiresAt: Date;
  /** Whether it is of an authority that we trust, not our own. */
  readonly isAuthority: boolean;
}

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/**
 * The certificates in the files of a process: its own, and the authorities that it trusts. Looked at anew each time; a file that
 * cannot be read just now, as by a process that gave root away, is what it was before.
 */
export class CertificatesInUse {
  readonly #own: ReadonlySet<string>;
  readonly #authorities: ReadonlySet<string>;
  readonly #last = new Map<string, CertificateInUse[]>();

  constructor(files: readonly Pick<TlsFiles, 'certFile' | 'caFile'>[]) {
    this.#own = new Set(files.map(({ certFile }) => certFile));
    this.#authorities = new Set(files.map(({ caFile }) => caFile));
    this.read();
  }

  read(): CertificateInUse[] {
    // Beside our own certificate lies its chain.
    const own = [...this.#own].flatMap((file) => this.#readFile(file, false).slice(0, 1));
    return [...own, ...[...this.#authorities].flatMap((file) => this.#readFile(file, true))];
  }

  #readFile(file: string, isAuthority: boolean): CertificateInUse[] {
    try {
      const pems = readFileSync(file, 'utf8').match(PEM) ?? [];
      this.#last.set(
        file,
        pems.map((pem) => {
          const { subject, validTo } = new X509Certificate(pem);
          return { subject: subject.replaceAll('\n', ', '), expiresAt: new Date(validTo), isAuthority };
        }),
      );
    } catch {
      // What it was before.
    }
    return this.#last.get(file) ?? [];
  }
}
