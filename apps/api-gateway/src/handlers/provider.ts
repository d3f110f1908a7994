import { type Caller, NotFound } from '@octavia/domain';
import type { ProviderCapability, ProviderServiceService } from '@octavia/proto';
import { AVAILABILITY_ZONE_CAPABILITIES, FLAVOR_CAPABILITIES, type OfferCapability } from '@octavia/render';
import { type Handlers, unary } from '@octavia/service';
import { readScope, requireAdmin } from '../authorize.ts';

const PROVIDERS = [
  { name: 'amphora', description: 'Amphorae that this controller builds: HAProxy, alone or in pairs.' },
];

export function providerHandlers(): Handlers<typeof ProviderServiceService> {
  return {
    listProviders: unary((_, { caller }) => {
      readScope(caller, 'Listing providers');
      return { providers: PROVIDERS };
    }),
    listFlavorCapabilities: unary(({ provider }, { caller }) => ({
      flavorCapabilities: capabilitiesOf(provider, FLAVOR_CAPABILITIES, caller),
    })),
    listAvailabilityZoneCapabilities: unary(({ provider }, { caller }) => ({
      availabilityZoneCapabilities: capabilitiesOf(provider, AVAILABILITY_ZONE_CAPABILITIES, caller),
    })),
  };
}

/** @throws NotFound, RoleRequired */
function capabilitiesOf(
  provider: string,
  all: readonly OfferCapability<string>[],
  caller: Caller,
): ProviderCapability[] {
  requireAdmin(caller, 'Listing capabilities of a provider');
  if (!PROVIDERS.some(({ name }) => name === provider)) throw new NotFound('provider', provider);
  return all.filter(({ isServed }) => isServed).map(({ name, description }) => ({ name, description }));
}
