import { v7 as uuidv7 } from 'uuid';
import type { Tx } from '../core/database.ts';
import { type KeyRing, open, seal } from './envelope.ts';

/** Such as the agent certificate and key of an amphora that boots. */
export type SecretKind = 'amphora_certificate';

/** Secrets, encrypted before they reach the database. */
export class Secrets {
  readonly #ring: KeyRing;

  constructor(ring: KeyRing) {
    this.#ring = ring;
  }

  /** Keeps a secret unless its owner has one of that kind; returns the one that is kept. */
  async putOnce(tx: Tx, kind: SecretKind, ownerId: string, plain: string): Promise<string> {
    const { keyId, wrappedKey, payload } = seal(this.#ring, plain, ownerOf(kind, ownerId));
    const inserted = await tx.query(
      `INSERT INTO secret (id, kind, owner_id, key_id, wrapped_key, payload) VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT (kind, owner_id) DO NOTHING RETURNING id`,
      [uuidv7(), kind, ownerId, keyId, wrappedKey, payload],
    );
    return inserted.length > 0 ? plain : ((await this.get(tx, kind, ownerId)) ?? plain);
  }

  /** Null: there is none. @throws Error when its key is not known */
  async get(tx: Tx, kind: SecretKind, ownerId: string): Promise<string | null> {
    const [row] = await tx.query('SELECT key_id, wrapped_key, payload FROM secret WHERE kind = $1 AND owner_id = $2', [
      kind,
      ownerId,
    ]);
    if (!row) return null;
    const envelope = { keyId: row.key_id, wrappedKey: row.wrapped_key, payload: row.payload };
    return open(this.#ring, envelope, ownerOf(kind, ownerId));
  }

  /** Succeeds if there is none. */
  async delete(tx: Tx, kind: SecretKind, ownerId: string): Promise<void> {
    await tx.query('DELETE FROM secret WHERE kind = $1 AND owner_id = $2', [kind, ownerId]);
  }
}

function ownerOf(kind: SecretKind, ownerId: string): string {
  return `${kind}:${ownerId}`;
}
