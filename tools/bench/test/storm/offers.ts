import {
  Flavor,
  FlavorProfile,
  FlavorProfileServiceClient,
  FlavorServiceClient,
  type LoadBalancer,
} from '@octavia/proto';
import { rpcClient } from '@octavia/service';
import type { Api } from '../../src/api.ts';

const caller = { projectId: 'storm', userId: 'storm', roles: ['admin'] };
const options = { caller, deadlineMs: 20_000 };

/** What a load balancer may be made as. */
export type Wish = Pick<LoadBalancer, 'topology'> & Partial<Pick<LoadBalancer, 'flavorId'>>;

const FLAVORS = {
  'storm pair': { loadbalancer_topology: 'ACTIVE_STANDBY' },
  'storm big': { compute_flavor: 'big' },
} as const;

/** Makes the flavors, and returns what clients may wish: half of it pairs. */
export async function makeOffers({ address, tls }: Api): Promise<Wish[]> {
  const profiles = rpcClient(FlavorProfileServiceClient, address, tls);
  const flavors = rpcClient(FlavorServiceClient, address, tls);
  const made: string[] = [];
  try {
    for (const [name, data] of Object.entries(FLAVORS)) {
      const flavorData = JSON.stringify(data);
      const flavorProfile = FlavorProfile.fromPartial({ name, provider: 'amphora', flavorData });
      const { id } = await profiles.createFlavorProfile({ flavorProfile, requestId: '' }, options);
      const flavor = Flavor.fromPartial({ name, flavorProfileId: id });
      made.push((await flavors.createFlavor({ flavor, requestId: '' }, options)).id);
    }
  } finally {
    profiles.close();
    flavors.close();
  }
  const [pair, big] = made;
  return [
    { topology: 'TOPOLOGY_UNSPECIFIED' },
    { topology: 'TOPOLOGY_SINGLE' },
    { topology: 'TOPOLOGY_SINGLE', flavorId: big },
    { topology: 'TOPOLOGY_ACTIVE_STANDBY' },
    { topology: 'TOPOLOGY_ACTIVE_STANDBY', flavorId: big },
    { topology: 'TOPOLOGY_UNSPECIFIED', flavorId: pair },
  ];
}
