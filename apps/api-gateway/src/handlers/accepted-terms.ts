import { type Terms, type Tx, termsOf } from '@octavia/db';
import { type FieldViolation, InvalidRequest, type Placement, placementOf, type Topology } from '@octavia/domain';
import type { FoundSubnet } from '../subnet-finder.ts';
import type { WantedLoadBalancer } from '../translate/load-balancer.ts';

/** What the flavor and the zone of a new load balancer say. Null: the deployment's default. */
export interface AcceptedTerms {
  readonly topology: Topology | null;
  readonly placement: Placement | null;
}

/**
 * Reads what the named flavor and zone say, in the transaction that makes the load balancer, so that neither is deleted meanwhile.
 * @throws InvalidRequest naming all that is wrong with them at once
 */
export async function acceptedTerms(
  tx: Tx,
  wanted: Pick<WantedLoadBalancer, 'flavorId' | 'availabilityZone'>,
  subnet: FoundSubnet,
): Promise<AcceptedTerms> {
  const { flavorId, availabilityZone } = wanted;
  if (flavorId === null && availabilityZone === null) return { topology: null, placement: null };
  const terms = await termsOf(tx, flavorId, availabilityZone);
  const found = [
    ...(flavorId === null ? [] : faultsOf('flavor', 'flavor_id', terms.flavor)),
    ...(availabilityZone === null ? [] : faultsOf('availability zone', 'availability_zone', terms.zone)),
    ...networkFaults(terms, subnet),
  ];
  if (found.length > 0) throw new InvalidRequest(found);
  const flavor = terms.flavor?.data ?? {};
  return { topology: flavor.loadbalancer_topology ?? null, placement: placementOf(flavor, terms.zone?.data ?? {}) };
}

function faultsOf(noun: string, path: string, term: { readonly enabled: boolean } | null): FieldViolation[] {
  if (term?.enabled) return [];
  const reason = `${noun.toUpperCase().replaceAll(' ', '_')}_${term ? 'DISABLED' : 'NOT_FOUND'}`;
  const description = term ? `names a ${noun} that is disabled; choose another` : `names no ${noun}`;
  return [{ field: `load_balancer.${path}`, reason, description }];
}

function networkFaults({ zone }: Terms, { networkId }: FoundSubnet): FieldViolation[] {
  const allowed = zone?.data.valid_vip_networks;
  if (!allowed || allowed.includes(networkId)) return [];
  const description = `is in network ${networkId}, which the availability zone does not take; it takes ${allowed.join(', ')}`;
  return [{ field: 'load_balancer.vip_subnet_id', reason: 'VIP_NETWORK_NOT_ALLOWED', description }];
}
