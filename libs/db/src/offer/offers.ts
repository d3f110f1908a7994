import {
  AlreadyExists,
  type AvailabilityZone,
  type AvailabilityZoneProfile,
  type Flavor,
  type FlavorProfile,
  InUse,
  NotFound,
  type Offered,
} from '@octavia/domain';
import type { Tx } from '../core/database.ts';
import { assertEtag } from '../intent/load-balancers.ts';
import { afterOf, type Filters, pageToken } from '../intent/page-token.ts';
import type { ChangedBy } from '../intent/revisions.ts';
import { type New, Table } from '../intent/table.ts';
import type { Page } from '../intent/views.ts';
import { availabilityZoneProfileSchema, availabilityZoneSchema, flavorProfileSchema, flavorSchema } from './schemas.ts';

/** SQLSTATE. */
const UNIQUE_VIOLATION = '23505';
const FOREIGN_KEY_VIOLATION = '23503';

export interface OfferListing {
  /** Exactly this name; null: any. */
  readonly name: string | null;
  /** 1 to 1000. */
  readonly pageSize: number;
  /** Of the previous page; empty: from the start. */
  readonly pageToken: string;
}

/** Who refers to an offer or profile, and what to do about it. */
interface Use {
  /** SQL that is true while `$1`, its id, is referred to. */
  readonly exists: string;
  readonly by: string;
  /** To whoever would delete it. */
  readonly advice: string;
}

/** What flavors, availability zones and their profiles have in common. */
abstract class Offers<T extends Offered> {
  /** In lower case, such as `flavor profile`. */
  readonly noun: string;
  readonly #table: Table<T>;
  readonly #use: Use;

  constructor(noun: string, table: Table<T>, use: Use) {
    this.noun = noun;
    this.#table = table;
    this.#use = use;
  }

  /** @throws AlreadyExists; NotFound of a profile that is not there */
  async insert(tx: Tx, offer: New<T>): Promise<T> {
    return this.#named(offer.name, () => this.#table.insert(tx, offer));
  }

  /** @throws NotFound */
  async get(tx: Tx, id: string): Promise<T> {
    return this.#one(tx, 'id', id, '');
  }

  /** As `get`, and it stays as it is until the transaction ends. @throws NotFound */
  async lock(tx: Tx, id: string): Promise<T> {
    return this.#one(tx, 'id', id, 'FOR UPDATE');
  }

  /** @throws NotFound */
  async getByName(tx: Tx, name: string): Promise<T> {
    return this.#one(tx, 'name', name, '');
  }

  /** Oldest first. @throws InvalidRequest when the page token is bad */
  async list(tx: Tx, { name, pageSize, pageToken: token }: OfferListing): Promise<Page<T>> {
    const filters: Filters = { kind: this.#table.name, name, pageSize: String(pageSize) };
    const after = afterOf(token, filters);
    // One more than asked for tells whether there is another page.
    const rows: Record<string, unknown>[] = await tx.query(
      `SELECT ${this.#table.columns()} FROM ${this.#table.name}
       WHERE ($1::text IS NULL OR name = $1) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3`,
      [name, after, pageSize + 1],
    );
    const items = rows.slice(0, pageSize).map((row) => this.#table.read(row));
    const last = items.at(-1);
    return { items, nextPageToken: rows.length > pageSize && last ? pageToken(last.id, filters) : '' };
  }

  /** Writes new values of one that `lock` gave. @throws AlreadyExists */
  async update(tx: Tx, locked: T, fields: Partial<T>, by: ChangedBy): Promise<T> {
    const { author, requestId } = by;
    const written = { ...fields, author, requestId, revision: locked.revision + 1 };
    const updated = await this.#named(fields.name ?? locked.name, () => this.#table.update(tx, locked.id, written));
    if (!updated) throw new NotFound(this.noun, locked.id);
    return updated;
  }

  /** Whether anything refers to it. Ask while it is locked: then nothing new can. */
  async isUsed(tx: Tx, id: string): Promise<boolean> {
    const [row] = await tx.query(`SELECT EXISTS (${this.#use.exists}) AS used`, [id]);
    return row.used;
  }

  /** @throws NotFound, EtagMismatch, InUse */
  async delete(tx: Tx, id: string, etag = ''): Promise<void> {
    const { name } = await this.lockMatching(tx, id, etag);
    if (await this.isUsed(tx, id)) throw this.inUse(name, this.#use.advice);
    await tx.query(`DELETE FROM ${this.#table.name} WHERE id = $1`, [id]);
  }

  /** @throws NotFound, EtagMismatch */
  async lockMatching(tx: Tx, id: string, etag: string): Promise<T> {
    const locked = await this.lock(tx, id);
    assertEtag(locked, etag);
    return locked;
  }

  inUse(name: string, advice: string): InUse {
    return new InUse(this.noun, name, this.#use.by, advice);
  }

  async #one(tx: Tx, column: 'id' | 'name', value: string, lock: string): Promise<T> {
    const [row] = await tx.query(
      `SELECT ${this.#table.columns()} FROM ${this.#table.name} WHERE ${column} = $1 ${lock}`,
      [value],
    );
    if (!row) throw new NotFound(this.noun, value);
    return this.#table.read(row);
  }

  async #named<R>(name: string, write: () => Promise<R>): Promise<R> {
    try {
      return await write();
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === UNIQUE_VIOLATION) throw taken(this.noun, name);
      if (code === FOREIGN_KEY_VIOLATION) throw new NotFound(`${this.noun} profile`, 'of that id');
      throw error;
    }
  }
}

function taken(noun: string, name: string): AlreadyExists {
  const reason = `${noun.toUpperCase().replaceAll(' ', '_')}_EXISTS`;
  return new AlreadyExists(reason, `There is a ${noun} ${name} already. Choose another name.`, { name });
}

/** What flavors mean to the provider. */
export class FlavorProfiles extends Offers<FlavorProfile> {
  constructor() {
    const use = {
      exists: 'SELECT 1 FROM flavor WHERE flavor_profile_id = $1',
      by: 'flavor',
      advice: 'Delete every flavor that uses it first.',
    };
    super('flavor profile', new Table(flavorProfileSchema), use);
  }
}

/** What tenants may choose from. */
export class Flavors extends Offers<Flavor> {
  constructor() {
    const use = {
      exists: 'SELECT 1 FROM load_balancer WHERE flavor_id = $1 AND deleted_at IS NULL',
      by: 'load balancer',
      advice: 'Disable it, so that no new one takes it, or delete every load balancer that has it first.',
    };
    super('flavor', new Table(flavorSchema), use);
  }
}

/** What availability zones mean to the provider. */
export class AvailabilityZoneProfiles extends Offers<AvailabilityZoneProfile> {
  constructor() {
    const use = {
      exists: 'SELECT 1 FROM availability_zone WHERE availability_zone_profile_id = $1',
      by: 'availability zone',
      advice: 'Delete every availability zone that uses it first.',
    };
    super('availability zone profile', new Table(availabilityZoneProfileSchema), use);
  }
}

/** Where tenants may have their load balancers. */
export class AvailabilityZones extends Offers<AvailabilityZone> {
  constructor() {
    const use = {
      exists: `SELECT 1 FROM load_balancer AS lb JOIN availability_zone AS zone ON zone.name = lb.availability_zone
               WHERE zone.id = $1 AND lb.deleted_at IS NULL`,
      by: 'load balancer',
      advice: 'Disable it, so that no new one takes it, or delete every load balancer that has it first.',
    };
    super('availability zone', new Table(availabilityZoneSchema), use);
  }
}
