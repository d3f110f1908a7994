import type { Tx } from '../core/database.ts';

/** A subnet whose VIP addresses our database gives out. */
export interface ManagedSubnet {
  readonly id: string;
  readonly name: string;
  readonly networkId: string;
  /** Such as 127.84.16.0/21. */
  readonly cidr: string;
  readonly gateway: string | null;
  /** VIPs have addresses from `first` to `last`, both included. */
  readonly vipRange: { readonly first: string; readonly last: string };
}

const COLUMNS = 'id, name, network_id, cidr, gateway, first_address, last_address';

/** The subnets that we manage. The worker writes them at its start, from its network driver. */
export class Subnets {
  /** Writes the subnets; the first becomes the default. Those that are not named stay. */
  async upsert(tx: Tx, subnets: readonly ManagedSubnet[]): Promise<void> {
    const [first] = subnets;
    if (!first) return;
    await tx.query('UPDATE subnet SET is_default = false WHERE is_default AND id <> $1', [first.id]);
    for (const subnet of subnets) {
      await tx.query(
        `INSERT INTO subnet (${COLUMNS}, is_default) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, network_id = excluded.network_id, cidr = excluded.cidr,
           gateway = excluded.gateway, first_address = excluded.first_address, last_address = excluded.last_address,
           is_default = excluded.is_default`,
        [
          subnet.id,
          subnet.name,
          subnet.networkId,
          subnet.cidr,
          subnet.gateway,
          subnet.vipRange.first,
          subnet.vipRange.last,
          subnet === first,
        ],
      );
    }
  }

  /** Null: not one of ours. */
  async get(tx: Tx, id: string): Promise<ManagedSubnet | null> {
    const [row] = await tx.query(`SELECT ${COLUMNS} FROM subnet WHERE id = $1`, [id]);
    return row ? toSubnet(row) : null;
  }

  /** Null: there is none, so a caller has to name a subnet. */
  async default(tx: Tx): Promise<ManagedSubnet | null> {
    const [row] = await tx.query(`SELECT ${COLUMNS} FROM subnet WHERE is_default`);
    return row ? toSubnet(row) : null;
  }
}

function toSubnet(row: Record<string, string>): ManagedSubnet {
  return {
    id: String(row.id),
    name: String(row.name),
    networkId: String(row.network_id),
    cidr: String(row.cidr),
    gateway: row.gateway ?? null,
    vipRange: { first: String(row.first_address), last: String(row.last_address) },
  };
}
