import { type Database, Subnets } from '@octavia/db';
import { type Caller, DomainError, InvalidRequest } from '@octavia/domain';
import type { AddressRange } from './check/address.ts';
import type { Lookup } from './parts.ts';

/** How long a subnet of ours is remembered, in milliseconds: the worker writes them at its start, and hardly ever anew. */
const REMEMBER_MS = 5_000;
/** How long the worker may take to find a subnet, in milliseconds. */
const LOOKUP_MS = 5_000;

export interface FoundSubnet {
  readonly id: string;
  readonly networkId: string;
  /** Addresses that a VIP may have. */
  readonly addresses: AddressRange;
  /** Whether our database gives out its addresses. */
  readonly isManaged: boolean;
}

/** Finds the subnets that callers name: ours in the database, others by the worker. Never inside a transaction. */
export class SubnetFinder {
  readonly #db: Database;
  readonly #lookup: Lookup;
  readonly #subnets = new Subnets();
  #remembered: { readonly subnet: FoundSubnet; readonly until: number } | undefined;

  constructor(db: Database, lookup: Lookup) {
    this.#db = db;
    this.#lookup = lookup;
  }

  /**
   * @param id null: the default subnet
   * @param field of the request that names it
   * @throws InvalidRequest when there is none; what the worker throws
   */
  async find(id: string | null, caller: Caller, field: string): Promise<FoundSubnet> {
    if (id === null) return this.#default(field);
    const managed = await this.#subnets.get(this.#db.reader, id);
    if (managed) return { id, networkId: managed.networkId, addresses: managed.vipRange, isManaged: true };
    try {
      const request = { id, projectId: caller.projectId };
      const { networkId, cidr } = await this.#lookup.getSubnet(request, { deadlineMs: LOOKUP_MS, caller });
      return { id, networkId, addresses: { cidr }, isManaged: false };
    } catch (error) {
      if (!(error instanceof DomainError && error.kind === 'missing')) throw error;
      throw new InvalidRequest([{ field, reason: 'SUBNET_NOT_FOUND', description: `names no subnet: ${id}` }]);
    }
  }

  async #default(field: string): Promise<FoundSubnet> {
    if (this.#remembered && this.#remembered.until > performance.now()) return this.#remembered.subnet;
    const found = await this.#subnets.default(this.#db.reader);
    if (!found) {
      const description = 'is required, because this installation has no default subnet';
      throw new InvalidRequest([{ field, reason: 'REQUIRED', description }]);
    }
    const subnet = { id: found.id, networkId: found.networkId, addresses: found.vipRange, isManaged: true };
    this.#remembered = { subnet, until: performance.now() + REMEMBER_MS };
    return subnet;
  }
}
