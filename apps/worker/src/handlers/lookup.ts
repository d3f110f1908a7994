import type { BreakerState, Drivers } from '@octavia/drivers';
import type { Breaker, Drivers as DriversReply, GetSubnetRequest, LookupServiceServer, Subnet } from '@octavia/proto';
import { unary } from '@octavia/service';

/** Read-only look-ups in the outside world, for the gateway before its transaction. */
export function lookupHandlers({ compute, network, amphora, certificates, breakers }: Omit<Drivers, 'close'>) {
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
        mode: compute.name === 'local' ? 'loopback' : undefined,
      }),
    ),
    getBreakers: unary(async () => ({ breakers: breakers().map(writeBreaker) })),
  } satisfies Partial<LookupServiceServer>;
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
