import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { experimental } from '@grpc/grpc-js';
import { logger } from '../process/logger.ts';

/** Paths of the PEM files by which a process proves itself and checks others. */
export interface TlsFiles {
  /** Certificate, with the chain below the root. */
  readonly certFile: string;
  readonly keyFile: string;
  /** Trusted roots, one or more. */
  readonly caFile: string;
}

/** How often the files are looked at for new certificates, in milliseconds. They rotate days before they expire. */
export const TLS_RELOAD_MS = 5_000;

interface Loaded {
  readonly certificate: Buffer;
  readonly privateKey: Buffer;
  readonly caCertificate: Buffer;
}

const log = logger('tls');

/**
 * Certificates that follow their files. A new set is used for connections that are made after it; one that does not
 * hold together (half written, key of another certificate) is left aside until it does, and the last good one stays.
 */
export class CertificateFiles implements experimental.CertificateProvider {
  readonly #files: TlsFiles;
  readonly #caListeners = new Set<experimental.CaCertificateUpdateListener>();
  readonly #identityListeners = new Set<experimental.IdentityCertificateUpdateListener>();
  #current: Loaded;
  #refused: Loaded | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #reloadMs: number;

  /** @throws Error when the files cannot be read, or do not belong together */
  constructor(files: TlsFiles, reloadMs: number = TLS_RELOAD_MS) {
    this.#files = files;
    this.#reloadMs = reloadMs;
    this.#current = read(files);
    check(this.#current);
  }

  /** When our own certificate runs out, and the first of the authorities that we trust. */
  get expiry(): { readonly own: Date; readonly authority: Date } {
    return { own: earliest(this.#current.certificate), authority: earliest(this.#current.caCertificate) };
  }

  addCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#caListeners.add(listener);
    this.#tellSoon(listener);
    this.#watch();
  }

  removeCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#caListeners.delete(listener);
    this.#watch();
  }

  addIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#identityListeners.add(listener);
    this.#tellSoon(listener);
    this.#watch();
  }

  removeIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#identityListeners.delete(listener);
    this.#watch();
  }

  /** Looks at the files now. */
  reload(): void {
    let next: Loaded;
    try {
      next = read(this.#files);
      if (isSame(next, this.#current) || (this.#refused && isSame(next, this.#refused))) return;
    } catch (error) {
      log.debug({ err: error }, 'TLS files cannot be read now');
      return;
    }
    try {
      check(next);
    } catch (error) {
      this.#refused = next;
      log.warn({ err: error, file: this.#files.certFile }, 'new TLS files do not fit together, the old stay in use');
      return;
    }
    this.#current = next;
    this.#refused = undefined;
    log.info({ file: this.#files.certFile }, 'TLS files reloaded');
    for (const listener of this.#identityListeners) listener(next);
    for (const listener of this.#caListeners) listener(next);
  }

  /** Not at once: gRPC registers its own watchers only after it has added itself here. */
  #tellSoon(listener: (current: Loaded) => void): void {
    process.nextTick(() => listener(this.#current));
  }

  #watch(): void {
    const isWanted = this.#caListeners.size + this.#identityListeners.size > 0;
    if (isWanted && !this.#timer) {
      this.#timer = setInterval(() => this.reload(), this.#reloadMs).unref();
    } else if (!isWanted && this.#timer) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}

function read({ certFile, keyFile, caFile }: TlsFiles): Loaded {
  return {
    certificate: readFileSync(certFile),
    privateKey: readFileSync(keyFile),
    caCertificate: readFileSync(caFile),
  };
}

/** OpenSSL refuses a key that does not belong to the certificate. */
function check({ certificate, privateKey, caCertificate }: Loaded): void {
  createSecureContext({ cert: certificate, key: privateKey, ca: caCertificate });
}

function isSame(a: Loaded, b: Loaded): boolean {
  return (
    a.certificate.equals(b.certificate) && a.privateKey.equals(b.privateKey) && a.caCertificate.equals(b.caCertificate)
  );
}

/** When the first of the certificates in a PEM file runs out. */
function earliest(pem: Buffer): Date {
  const blocks = pem.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return new Date(Math.min(...blocks.map((block) => new X509Certificate(block).validToDate.getTime())));
}
