import 'reflect-metadata';
import { createPublicKey, KeyObject, randomUUID, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { CertificateError } from '../errors.ts';
import type { IssuedCertificate } from './certificates-driver.ts';

/** RSA: what every agent takes, some 100 ms of a helper thread. EC (P-256): a hundred times faster, for agents that we build. */
export type KeyAlgorithm = 'RSA' | 'EC';

const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
};
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const { subtle } = webcrypto;

/** A CA that can sign. */
export interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly privateKey: webcrypto.CryptoKey;
  readonly signingAlgorithm: SigningAlgorithm;
}
/** Of WebCrypto; Ed25519 has no hash of its own to choose. */
export interface SigningAlgorithm {
  readonly name: string;
  readonly hash?: string;
}

/** Makes a key pair on a thread of the pool, so that the event loop goes on. */
export async function makeKeyPair(algorithm: KeyAlgorithm): Promise<webcrypto.CryptoKeyPair> {
  return await subtle.generateKey(algorithm === 'EC' ? EC : RSA, true, ['sign', 'verify']);
}

/** Signs a new key for an agent. Extensions and serial number: amphora REST API, section 1. */
export async function issueAgentCertificate(
  issuer: Issuer,
  amphoraId: string,
  keyAlgorithm: KeyAlgorithm,
  validityMs: number,
): Promise<IssuedCertificate> {
  const keys = await makeKeyPair(keyAlgorithm);
  const { KeyUsageFlags: usage, ExtendedKeyUsage: extended } = x509;
  const notBefore = new Date();
  const expiresAt = new Date(Math.floor((notBefore.getTime() + validityMs) / 1000) * 1000); // X.509 knows whole seconds.
  const issuerKeyId = issuer.certificate.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomUUID().replaceAll('-', ''),
    subject: [{ CN: [amphoraId] }],
    issuer: issuer.certificate.subjectName,
    notBefore,
    notAfter: expiresAt,
    publicKey: keys.publicKey,
    signingKey: issuer.privateKey,
    signingAlgorithm: issuer.signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: amphoraId }]),
      new x509.KeyUsagesExtension(
        usage.digitalSignature | usage.keyEncipherment | usage.dataEncipherment | usage.keyAgreement,
        true,
      ),
      new x509.ExtendedKeyUsageExtension([extended.serverAuth, extended.clientAuth], true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...(issuerKeyId ? [new x509.AuthorityKeyIdentifierExtension(issuerKeyId)] : []),
    ],
  });
  return { certificate: `${certificate.toString('pem')}\n`, privateKey: traditionalPem(keys.privateKey), expiresAt };
}

/** `BEGIN RSA PRIVATE KEY` or `BEGIN EC PRIVATE KEY`: HAProxy of old images takes no other. */
function traditionalPem(key: webcrypto.CryptoKey): string {
  const object = KeyObject.from(key);
  if (object.asymmetricKeyType === 'rsa') return object.export({ type: 'pkcs1', format: 'pem' }).toString();
  return object.export({ type: 'sec1', format: 'pem' }).toString();
}

/** A certificate of a CA that is its own. For the noop driver and for tests. */
export async function makeAuthority(commonName: string): Promise<Issuer> {
  const keys = await makeKeyPair('EC');
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomUUID().replaceAll('-', ''),
    name: [{ CN: [commonName] }],
    notAfter: new Date(Date.now() + AUTHORITY_VALIDITY_MS),
    keys,
    signingAlgorithm: EC,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate, privateKey: keys.privateKey, signingAlgorithm: EC };
}
const AUTHORITY_VALIDITY_MS = 10 * 365 * 24 * 3600 * 1000;

/** Reads the CA of a bundle that the key belongs to. @throws CertificateError */
export async function readIssuer(bundlePem: string, key: KeyObject): Promise<Issuer> {
  const own = createPublicKey(key.export({ type: 'pkcs8', format: 'pem' })).export({ type: 'spki', format: 'der' });
  const blocks = x509.PemConverter.decodeWithHeaders(bundlePem).filter(({ type }) => type === 'CERTIFICATE');
  const certificates = blocks.map(({ rawData }) => new x509.X509Certificate(rawData));
  const certificate = certificates.find(({ publicKey }) => own.equals(Buffer.from(publicKey.rawData)));
  if (!certificate) throw new CertificateError('The CA key belongs to none of the CA certificates. Check both files.');
  const algorithm = algorithmOf(key);
  const der = key.export({ type: 'pkcs8', format: 'der' });
  const privateKey = await subtle.importKey('pkcs8', new Uint8Array(der), algorithm, false, ['sign']);
  return { certificate, privateKey, signingAlgorithm: algorithm };
}

const CURVES: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' };

function algorithmOf(key: KeyObject): SigningAlgorithm & { readonly namedCurve?: string } {
  if (key.asymmetricKeyType === 'rsa') return { name: RSA.name, hash: RSA.hash };
  if (key.asymmetricKeyType === 'ed25519') return { name: 'Ed25519' };
  const namedCurve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''];
  if (namedCurve) return { name: EC.name, namedCurve, hash: EC.hash };
  throw new CertificateError(`A CA key of type ${key.asymmetricKeyType} is not supported. Use RSA, EC or Ed25519.`);
}
