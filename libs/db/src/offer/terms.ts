import type { AvailabilityZoneData, FlavorData } from '@octavia/domain';
import type { Tx } from '../core/database.ts';

/** What a flavor or a zone says to a new load balancer. */
export interface Term<Data> {
  readonly enabled: boolean;
  readonly provider: string;
  readonly data: Data;
}

/** What the flavor and the zone that a caller names say; null: it named none, or there is none of that id or name. */
export interface Terms {
  readonly flavor: Term<FlavorData> | null;
  readonly zone: Term<AvailabilityZoneData> | null;
}

/** Reads them in the transaction that makes the load balancer. Neither can be deleted until that ends; their profiles cannot change. */
export async function termsOf(tx: Tx, flavorId: string | null, availabilityZone: string | null): Promise<Terms> {
  const [[flavor], [zone]] = await Promise.all([
    flavorId === null
      ? []
      : tx.query<Term<FlavorData>[]>(
          `SELECT offer.enabled, profile.provider, profile.data
           FROM flavor AS offer JOIN flavor_profile AS profile ON profile.id = offer.flavor_profile_id
           WHERE offer.id = $1 FOR KEY SHARE OF offer`,
          [flavorId],
        ),
    availabilityZone === null
      ? []
      : tx.query<Term<AvailabilityZoneData>[]>(
          `SELECT offer.enabled, profile.provider, profile.data
           FROM availability_zone AS offer
             JOIN availability_zone_profile AS profile ON profile.id = offer.availability_zone_profile_id
           WHERE offer.name = $1 FOR KEY SHARE OF offer`,
          [availabilityZone],
        ),
  ]);
  return { flavor: flavor ?? null, zone: zone ?? null };
}
