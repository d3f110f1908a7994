// @peculiar/x509 wants this before it loads.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import type { TlsFiles } from '../grpc/tls-files.ts';

/** An authority for one test, with its files in a temporary folder. */
export interface TestPki {
  /** Certificate of the authority, PEM. */
  readonly ca: string;
  readonly caFile: string;
  /** Private key of the authority, PEM. */
  readonly caKeyFile: string;
  readonly folder: string;
  /** Makes a certificate for localhost and 127.0.0.1, good for servers and clients. */
  cert(commonName: string, options?: TestCertOptions): Promise<TlsFiles>;
  /** Removes the folder. */
  remove(): void;
}

export interface TestCertOptions {
  /** More names of the server. */
  readonly dns?: readonly string[];
  /** More addresses of the server. */
  readonly ip?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Writes to the files of this set, as a rotation does. */
  readonly replace?: TlsFiles;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const HOUR_MS = 3_600_000;

/** Makes a throw-away authority. For tests only: its keys lie in the temporary folder of the system. */
export async function testPki(name = 'test authority'): Promise<TestPki> {
  x509.cryptoProvider.set(webcrypto as never);
  const keys = await newKeys();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - HOUR_MS),
    notAfter: new Date(Date.now() + 24 * HOUR_MS),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const folder = mkdtempSync(join(tmpdir(), 'octavia-pki-'));
  const ca = authority.toString('pem');
  const caFile = join(folder, 'ca.pem');
  writeFileSync(caFile, ca);
  const caKeyFile = join(folder, 'ca.key.pem');
  await writeKey(caKeyFile, keys.privateKey);
  let count = 0;
  return {
    ca,
    caFile,
    caKeyFile,
    folder,
    async cert(commonName, options = {}) {
      count += 1;
      const stem = join(folder, `${count}`);
      const files = options.replace ?? { certFile: `${stem}.cert.pem`, keyFile: `${stem}.key.pem`, caFile };
      await issue({ authority, signingKey: keys.privateKey, commonName, options, files });
      return files;
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

interface Issue {
  authority: x509.X509Certificate;
  signingKey: webcrypto.CryptoKey;
  commonName: string;
  options: TestCertOptions;
  files: TlsFiles;
}

async function issue({ authority, signingKey, commonName, options, files }: Issue): Promise<void> {
  const keys = await newKeys();
  const dns = ['localhost', ...(options.dns ?? [])].map((value) => ({ type: 'dns' as const, value }));
  const ip = ['127.0.0.1', ...(options.ip ?? [])].map((value) => ({ type: 'ip' as const, value }));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${commonName}`,
    issuer: authority.subject,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
    notBefore: options.notBefore ?? new Date(Date.now() - HOUR_MS),
    notAfter: options.notAfter ?? new Date(Date.now() + HOUR_MS),
    extensions: [
      new x509.SubjectAlternativeNameExtension([...dns, ...ip]),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      await x509.AuthorityKeyIdentifierExtension.create(authority),
    ],
  });
  await writeKey(files.keyFile, keys.privateKey);
  writeFileSync(files.certFile, certificate.toString('pem'));
}

async function writeKey(file: string, privateKey: webcrypto.CryptoKey): Promise<void> {
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', privateKey));
  writeFileSync(file, x509.PemConverter.encode(key as unknown as ArrayBuffer, 'PRIVATE KEY'), { mode: 0o600 });
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

function serialNumber(): string {
  return `01${Buffer.from(webcrypto.getRandomValues(new Uint8Array(15))).toString('hex')}`;
}
