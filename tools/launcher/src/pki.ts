import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { readIfThere, writeWhole } from './home.ts';

const DAY_MS = 86_400_000;
const CA_DAYS = 3650;
/** Certificates of services; issued anew when less than a third is left, at each start and once a day. */
const CERTIFICATE_DAYS = 365;
const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const KEY_USES: KeyUsage[] = ['sign', 'verify'];
type KeyUsage = 'sign' | 'verify';

/** A certificate authority of the installation: one for our services, one for the agents of amphorae. */
export interface Authority {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly certificate: x509.X509Certificate;
  readonly key: webcrypto.CryptoKey;
}

export interface CertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** Reads the authority `name` in `folder`, or makes it. */
export async function openAuthority(folder: string, name: string, now = new Date()): Promise<Authority> {
  const certificateFile = join(folder, `${name}.pem`);
  const keyFile = join(folder, `${name}.key`);
  const [pem, keyPem] = [await readIfThere(certificateFile), await readIfThere(keyFile)];
  if (pem !== null && keyPem !== null) {
    return { certificateFile, keyFile, certificate: new x509.X509Certificate(pem), key: await importKey(keyPem) };
  }
  const keys = await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, KEY_USES);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomBytes(16).toString('hex'),
    name: `CN=Octavia ${name}`,
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
  await writeWhole(keyFile, await exportKey(keys.privateKey));
  await writeWhole(certificateFile, `${certificate.toString('pem')}\n`, 0o644);
  return { certificateFile, keyFile, certificate, key: keys.privateKey };
}

/** Makes sure that `name` has a certificate of `authority` with enough time left; CN is the name. */
export async function ensureCertificate(
  authority: Authority,
  folder: string,
  name: string,
  now = new Date(),
): Promise<CertificateFiles> {
  const files = { certificateFile: join(folder, `${name}.pem`), keyFile: join(folder, `${name}.key`) };
  const pem = await readIfThere(files.certificateFile);
  if (pem !== null && (await readIfThere(files.keyFile)) !== null && isFresh(pem, authority, now)) return files;

  const keys = await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, KEY_USES);
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
  await writeWhole(files.keyFile, await exportKey(keys.privateKey));
  await writeWhole(files.certificateFile, `${certificate.toString('pem')}\n`, 0o644);
  return files;
}

function isFresh(pem: string, authority: Authority, now: Date): boolean {
  const certificate = new x509.X509Certificate(pem);
  const leftMs = certificate.notAfter.getTime() - now.getTime();
  return certificate.issuer === authority.certificate.subject && leftMs > (CERTIFICATE_DAYS * DAY_MS) / 3;
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key);
  return `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`;
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der] = x509.PemConverter.decode(pem);
  if (!der)
    throw new Error(
      'A key file of the data folder holds no key. Restore it, or name another folder with OCTAVIA_HOME.',
    );
  return webcrypto.subtle.importKey('pkcs8', der, KEY_ALGORITHM, true, ['sign']);
}
