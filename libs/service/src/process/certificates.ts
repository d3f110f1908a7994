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
 * The certificates in the files as they are now: our own, and the authorities that we trust. A file that cannot be read just now
 * is left out.
 */
export function certificatesIn(files: readonly Pick<TlsFiles, 'certFile' | 'caFile'>[]): CertificateInUse[] {
  const own = unique(files.map(({ certFile }) => certFile)).flatMap((file) => readAll(file, false).slice(0, 1));
  const authorities = unique(files.map(({ caFile }) => caFile)).flatMap((file) => readAll(file, true));
  return [...own, ...authorities];
}

function readAll(file: string, isAuthority: boolean): CertificateInUse[] {
  try {
    return (readFileSync(file, 'utf8').match(PEM) ?? []).map((pem) => {
      const { subject, validTo } = new X509Certificate(pem);
      return { subject: subject.replaceAll('\n', ', '), expiresAt: new Date(validTo), isAuthority };
    });
  } catch {
    return [];
  }
}

function unique(files: readonly string[]): string[] {
  return [...new Set(files)];
}
