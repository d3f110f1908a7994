import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  cryptoProvider,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

cryptoProvider.set(globalThis.crypto);

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;

/** A certificate authority that lives as long as a test. */
export interface Authority {
  readonly pem: string;
  /** Certificate, then key. */
  issue(name: string): Promise<string>;
}

/** Makes an authority of its own. */
export async function createAuthority(name: string): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    ...validity(),
    keys: keys as CryptoKeyPair,
    signingAlgorithm: ALGORITHM,
    extensions: [new BasicConstraintsExtension(true, 1, true)],
  });
  return {
    pem: `${certificate.toString('pem')}\n`,
    issue: (subject) => issue(subject, certificate, keys.privateKey as CryptoKey),
  };
}

type CryptoKeyPair = Parameters<typeof X509CertificateGenerator.createSelfSigned>[0]['keys'];
type CryptoKey = Parameters<typeof X509CertificateGenerator.create>[0] extends { signingKey: infer K } ? K : never;

async function issue(subject: string, issuer: X509Certificate, signingKey: CryptoKey): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.create({
    subject: `CN=${subject}`,
    issuer: issuer.subject,
    ...validity(),
    publicKey: keys.publicKey as Parameters<typeof X509CertificateGenerator.create>[0]['publicKey'],
    signingKey,
    signingAlgorithm: ALGORITHM,
    extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: subject }])],
  });
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const wrapped = key.replace(/.{64}/g, '$&\n').trim();
  return `${certificate.toString('pem')}\n-----BEGIN PRIVATE KEY-----\n${wrapped}\n-----END PRIVATE KEY-----\n`;
}

function validity() {
  const now = Date.now();
  return { notBefore: new Date(now - DAY_MS), notAfter: new Date(now + DAY_MS) };
}
