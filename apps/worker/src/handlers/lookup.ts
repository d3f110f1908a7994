import type { Drivers } from '@octavia/drivers';
import type { Drivers as DriversReply, GetSubnetRequest, LookupServiceServer, Subnet } from '@octavia/proto';
import { unary } from '@octavia/service';

/** Read-only look-ups in the outside world, for the gateway before its transaction. */
export function lookupHandlers({ compute, network, amphora, certificates }: Omit<Drivers, 'breakers' | 'close'>) {
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
  } satisfies Partial<LookupServiceServer>;
}

/** How local amphorae run. */
function modeOf({ abilities }: Drivers['network']): string {
  return abilities.reachesLoopback ? 'loopback' : 'namespaces';
}
