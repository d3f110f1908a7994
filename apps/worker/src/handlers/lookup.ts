import type { Tx } from '@octavia/db';
import type { BreakerState, Drivers } from '@octavia/drivers';
import type {
  Breaker,
  Drivers as DriversReply,
  FindOrphansRequest,
  GetSubnetRequest,
  LookupServiceServer,
  Orphan as OrphanMessage,
  Subnet,
} from '@octavia/proto';
import { unary } from '@octavia/service';
import { findOrphans, type Orphan } from '../orphans.ts';
import type { World } from '../world.ts';

/** Read-only look-ups in the outside world, for the gateway before its transaction. */
export function lookupHandlers(
  { compute, network, amphora, certificates, breakers }: Omit<Drivers, 'close'>,
  world: Pick<World, 'compute' | 'network' | 'orphans'>,
  reader: Tx,
) {
  return {
    getSubnet: unary(async ({ id }: GetSubnetRequest, { signal }): Promise<Subnet> => {
      const subnet = await network.getSubnet(id, { signal });
      return { id: subnet.id, networkId: subnet.networkId, cidr: subnet.cidr };
    }),

    getDrivers: unary(
      async (): Promise<DriversReply> => ({
        names: {
          compute: compute.name,
          network: network.name,
          amphora: amphora.name,
          certificates: certificates.name,
        },
        mode: compute.name === 'local' ? modeOf(network) : undefined,
        hostAddress: network.abilities.hostAddress ?? undefined,
      }),
    ),
    findOrphans: unary(async ({ olderThan }: FindOrphansRequest, { signal }) => {
      const graceMs = olderThan ? Number(olderThan.seconds) * 1000 + olderThan.nanos / 1_000_000 : 0;
      const { orphans, isTruncated } = await findOrphans(world, reader, graceMs, { signal });
      return { orphans: orphans.map((orphan) => writeOrphan(orphan, world)), truncated: isTruncated };
    }),

    getBreakers: unary(async () => ({ breakers: breakers().map(writeBreaker) })),
  } satisfies Partial<LookupServiceServer>;
}

function writeOrphan(orphan: Orphan, world: Pick<World, 'compute' | 'network'>): OrphanMessage {
  const { side, of, kind, name, amphoraId, loadBalancerId, ageMs, message } = orphan;
  return {
    side: side === 'OUTSIDE' ? 'ORPHAN_SIDE_OUTSIDE' : 'ORPHAN_SIDE_RECORDED',
    kind,
    name,
    driver: of === 'database' ? of : `${of} ${world[of].name}`,
    amphoraId: amphoraId ?? '',
    loadBalancerId: loadBalancerId ?? '',
    age: ageMs === null ? undefined : writeDuration(Math.round(ageMs)),
    message,
  };
}

function writeBreaker({ driver, endpoint, state, since, retryAfterMs, lastError }: BreakerState): Breaker {
  return {
    driver,
    endpoint,
    state,
    since: since ?? undefined,
    retryAfter: retryAfterMs > 0 ? writeDuration(retryAfterMs) : undefined,
    lastErrorReason: lastError?.reason ?? '',
    lastErrorMessage: lastError?.message ?? '',
    lastErrorAt: lastError?.at,
  };
}

function writeDuration(ms: number): { seconds: bigint; nanos: number } {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: Math.round(ms % 1000) * 1_000_000 };
}

/** How local amphorae run. */
function modeOf({ abilities }: Drivers['network']): string {
  return abilities.reachesLoopback ? 'loopback' : 'namespaces';
}
