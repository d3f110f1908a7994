import 'reflect-metadata';
import { createPrivateKey, X509Certificate as NodeCertificate, randomBytes, webcrypto } from 'node:crypto';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { type Owner, readIfThere, writeWhole } from './home.ts';

const DAY_MS = 86_400_000;
const CA_DAYS = 3650;
/** An authority is renewed when less than this is left: longer than any certificate of it lives. */
const CA_RENEWAL_DAYS = 730;
/** Certificates of services; issued anew when less than a third is left, at each start and once a day. */
const CERTIFICATE_DAYS = 365;
const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const KEY_USES: KeyUsage[] = ['sign', 'verify'];
type KeyUsage = 'sign' | 'verify';

/** A certificate authority of the installation: one for our services, one for the agents of amphorae. */
export interface Authority {
  /** The authority's certificate, and before it runs out its successor's as well. */
  readonly certificateFile: string;
  readonly keyFile: string;
  /** The newest. */
  readonly certificate: x509.X509Certificate;
  readonly key: webcrypto.CryptoKey;
}

export interface CertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/**
 * Reads the authority `name` in `folder`, or makes it, and renews it long before it ends: with the same key, so that whoever knows
 * only the old certificate (an amphora that was built before) trusts what is signed from now on, until the old one runs out. Until
 * then the file holds both, the newest first.
 */
export async function openAuthority(folder: string, name: string, now = new Date()): Promise<Authority> {
  const certificateFile = join(folder, `${name}.pem`);
  const keyFile = join(folder, `${name}.key`);
  const [pem, keyPem] = [await readIfThere(certificateFile), await readIfThere(keyFile)];
  const known = pem === null || keyPem === null ? [] : certificatesOf(pem);
  const keys = keyPem !== null && known.length > 0 ? await importKeys(keyPem) : await newKeys();
  const [newest] = known;
  if (newest && newest.notAfter.getTime() - now.getTime() > CA_RENEWAL_DAYS * DAY_MS) {
    return { certificateFile, keyFile, certificate: newest, key: keys.privateKey };
  }
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(16).toString('hex'),
    name: newest?.subject ?? `CN=Octavia ${name}`,
    notBefore: new Date(now.getTime() - DAY_MS),
    notAfter: new Date(now.getTime() + CA_DAYS * DAY_MS),
    signingAlgorithm: KEY_ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  // The key first: a certificate without its key would be taken for a whole authority.
  if (!newest) await writeWhole(keyFile, await exportKey(keys.privateKey));
  const bundle = [certificate, ...known.filter(({ notAfter }) => notAfter > now)];
  await writeWhole(certificateFile, bundle.map((one) => `${one.toString('pem')}\n`).join(''), 0o644);
  return { certificateFile, keyFile, certificate, key: keys.privateKey };
}

/** Makes sure that `name` has a certificate of `authority` with enough time left; CN is the name. @param owner of the key */
export async function ensureCertificate(
  authority: Authority,
  folder: string,
  name: string,
  { now = new Date(), owner }: { readonly now?: Date; readonly owner?: Owner } = {},
): Promise<CertificateFiles> {
  const files = { certificateFile: join(folder, `${name}.pem`), keyFile: join(folder, `${name}.key`) };
  const [pem, keyPem] = [await readIfThere(files.certificateFile), await readIfThere(files.keyFile)];
  if (pem !== null && keyPem !== null && (await isFresh(pem, keyPem, authority, now))) {
    // A start as root gives it away again: an earlier one may have stopped before.
    if (owner) await writeWhole(files.keyFile, keyPem, 0o600, owner);
    return files;
  }
  const issued = await issueCertificate(authority, name, now);
  await writeWhole(files.keyFile, issued.key, 0o600, owner);
  await writeWhole(files.certificateFile, issued.certificate, 0o644);
  return files;
}

/** A new key and a certificate of `authority` for it, in PEM. */
export async function issueCertificate(
  authority: Authority,
  name: string,
  now: Date,
): Promise<{ readonly certificate: string; readonly key: string }> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomBytes(16).toString('hex'),
    subject: `CN=${name}`,
    issuer: authority.certificate.subject,
    notBefore: new Date(now.getTime() - DAY_MS),
    notAfter: new Date(now.getTime() + CERTIFICATE_DAYS * DAY_MS),
    signingAlgorithm: KEY_ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: authority.key,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension([
        { type: 'dns', value: name },
        { type: 'dns', value: 'localhost' },
        { type: 'ip', value: '127.0.0.1' },
      ]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(authority.certificate.publicKey),
    ],
  });
  return { certificate: `${certificate.toString('pem')}\n`, key: await exportKey(keys.privateKey) };
}

/** Has time left, is signed by the authority, and belongs to its key: a crash may have left the key of the next one. */
async function isFresh(pem: string, keyPem: string, authority: Authority, now: Date): Promise<boolean> {
  try {
    const [certificate] = certificatesOf(pem);
    if (!certificate) return false;
    const leftMs = certificate.notAfter.getTime() - now.getTime();
    return (
      leftMs > (CERTIFICATE_DAYS * DAY_MS) / 3 &&
      new NodeCertificate(pem).checkPrivateKey(createPrivateKey(keyPem)) &&
      (await certificate.verify({ publicKey: authority.certificate.publicKey, signatureOnly: true }))
    );
  } catch {
    return false; // Cut short, or not what it should be.
  }
}

function certificatesOf(pem: string): x509.X509Certificate[] {
  return x509.PemConverter.decode(pem).map((der) => new x509.X509Certificate(der));
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEY_ALGORITHM, true, KEY_USES);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key);
  return `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`;
}

async function importKeys(pem: string): Promise<webcrypto.CryptoKeyPair> {
  const [der] = x509.PemConverter.decode(pem);
  if (!der)
    throw new Error(
      'A key file of the data folder holds no key. Restore it, or name another folder with OCTAVIA_HOME.',
    );
  const privateKey = await webcrypto.subtle.importKey('pkcs8', der, KEY_ALGORITHM, true, ['sign']);
  const { kty, crv, x, y } = await webcrypto.subtle.exportKey('jwk', privateKey);
  const publicKey = await webcrypto.subtle.importKey('jwk', { kty, crv, x, y }, KEY_ALGORITHM, true, ['verify']);
  return { privateKey, publicKey };
}
