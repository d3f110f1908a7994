import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** Source: NIST SP 800-38D: 96 bits of nonce, 128 of tag. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/** Keys by id. The first encrypts, all decrypt, so that one can be replaced without a stop. */
export interface KeyRing {
  readonly primary: string;
  readonly keys: ReadonlyMap<string, Buffer>;
}

/** A payload that is encrypted with a key of its own, which is encrypted with the key named `keyId`. */
export interface Envelope {
  readonly keyId: string;
  readonly wrappedKey: Buffer;
  readonly payload: Buffer;
}

/** Reads lines `key-id:base64 of 32 bytes`; empty lines are skipped. @throws Error that says which line is wrong, without its content */
export function parseKeyRing(text: string): KeyRing {
  const keys = new Map<string, Buffer>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const [id, value] = line.trim().split(':', 2);
    const key = Buffer.from(value ?? '', 'base64');
    if (!id || key.length !== KEY_BYTES) {
      throw new Error(`Line ${index + 1} of the keys is not \`key-id:base64 of ${KEY_BYTES} bytes\`.`);
    }
    if (keys.has(id)) throw new Error(`Line ${index + 1} of the keys names a key id again.`);
    keys.set(id, key);
  }
  const [primary] = keys.keys();
  if (primary === undefined) throw new Error('There is no key to encrypt secrets with.');
  return { primary, keys };
}

/** @param owner what the secret belongs to: it opens for nothing else */
export function seal(ring: KeyRing, plain: string, owner: string): Envelope {
  const key = randomBytes(KEY_BYTES);
  return {
    keyId: ring.primary,
    wrappedKey: encrypt(keyOf(ring, ring.primary), key, owner),
    payload: encrypt(key, Buffer.from(plain, 'utf8'), owner),
  };
}

/** @throws Error when the key is not known, or the envelope was changed or belongs to another owner */
export function open(ring: KeyRing, envelope: Envelope, owner: string): string {
  const key = decrypt(keyOf(ring, envelope.keyId), envelope.wrappedKey, owner);
  return decrypt(key, envelope.payload, owner).toString('utf8');
}

function keyOf(ring: KeyRing, id: string): Buffer {
  const key = ring.keys.get(id);
  if (!key) throw new Error(`The key ${id} of a secret is not among the keys. Put it back behind the first one.`);
  return key;
}

function encrypt(key: Buffer, plain: Buffer, owner: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(owner));
  const text = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]);
}

function decrypt(key: Buffer, sealed: Buffer, owner: string): Buffer {
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(owner))
    .setAuthTag(tag);
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
}
