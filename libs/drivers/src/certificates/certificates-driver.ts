import type { CallContext } from '../call-context.ts';

export interface IssuedCertificate {
  /** PEM of the certificate. */
  readonly certificate: string;
  /** PEM of the private key, unencrypted, traditional form (`BEGIN RSA PRIVATE KEY` or `BEGIN EC PRIVATE KEY`). */
  readonly privateKey: string;
  readonly expiresAt: Date;
}

/** Issues the certificates of agents. */
export interface CertificatesDriver {
  readonly name: string;
  /** New key and certificate: CN and DNS SAN are the amphora's id. @throws CertificateError */
  issueAgentCertificate(amphoraId: string, context?: CallContext): Promise<IssuedCertificate>;
  /** PEM of the CA (or CAs, while one replaces another) by which agents know controllers. */
  clientCa(): Promise<string>;
  close(): Promise<void>;
}
