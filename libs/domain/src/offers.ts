/**
 * What administrators offer to tenants: flavors and availability zones. Each has a profile, which says what it means to a provider,
 * and which tenants do not see.
 */
import type { Topology } from './objects.ts';

/** What every offer and every profile has. */
export interface Offered {
  /** UUID version 7. Callers know an availability zone by its name alone. */
  readonly id: string;
  readonly name: string;
  /** User id of the caller who made the last change. */
  readonly author: string;
  /** Request id of that change. */
  readonly requestId: string;
  /** Number of the last change, from 1. The etag comes from it. */
  readonly revision: number;
  readonly createdAt: Date;
  /** Null until the first change. */
  readonly updatedAt: Date | null;
}

/** What a flavor means to the amphora provider; absent: the deployment's default. Keys are Octavia's, but for `colocation_limit`. */
export interface FlavorData {
  readonly loadbalancer_topology?: Topology;
  readonly compute_flavor?: string;
  readonly amp_image_tag?: string;
  /** Load balancers on one amphora at most, from 1 (shared with none) to MAX_COLOCATION_LIMIT. Pairs share with none anyway. */
  readonly colocation_limit?: number;
}

/** Most load balancers that may ever be on one amphora: each has an HAProxy of its own there. */
export const MAX_COLOCATION_LIMIT = 64;

/** What an availability zone means to the amphora provider; absent: the deployment's default. Keys are Octavia's. */
export interface AvailabilityZoneData {
  readonly compute_zone?: string;
  /** Networks that VIPs of the zone may be in; absent: any. */
  readonly valid_vip_networks?: readonly string[];
}

export interface FlavorProfile extends Offered {
  readonly provider: 'amphora';
  readonly data: FlavorData;
}

export interface Flavor extends Offered {
  readonly description: string;
  /** False: no new load balancer takes it. */
  readonly enabled: boolean;
  readonly flavorProfileId: string;
}

export interface AvailabilityZoneProfile extends Offered {
  readonly provider: 'amphora';
  readonly data: AvailabilityZoneData;
}

export interface AvailabilityZone extends Offered {
  readonly description: string;
  /** False: no new load balancer takes it. */
  readonly enabled: boolean;
  readonly availabilityZoneProfileId: string;
}

/**
 * What the flavor and the zone of a load balancer said when it was made, kept with it: changes of profiles do not reach it. Null: the
 * deployment's default at the time when an amphora is built or taken.
 */
export interface Placement {
  readonly computeFlavor: string | null;
  readonly imageTag: string | null;
  readonly zone: string | null;
  /** Load balancers on one amphora at most. */
  readonly colocationLimit: number | null;
}

/** Null where neither says anything. */
export function placementOf(flavor: FlavorData, zone: AvailabilityZoneData): Placement | null {
  const placement = {
    computeFlavor: flavor.compute_flavor ?? null,
    imageTag: flavor.amp_image_tag ?? null,
    zone: zone.compute_zone ?? null,
    colocationLimit: flavor.colocation_limit ?? null,
  };
  return Object.values(placement).every((value) => value === null) ? null : placement;
}
