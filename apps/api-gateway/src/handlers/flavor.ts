import { FlavorProfiles, Flavors } from '@octavia/db';
import type { Flavor, FlavorProfile } from '@octavia/domain';
import {
  CreateFlavorProfileRequest,
  CreateFlavorRequest,
  Flavor as FlavorMessage,
  type FlavorProfileServiceService,
  type FlavorServiceService,
  FlavorProfile as ProfileMessage,
} from '@octavia/proto';
import { type Handlers, unary } from '@octavia/service';
import { readScope, requireAdmin } from '../authorize.ts';
import type { Parts } from '../parts.ts';
import {
  FLAVOR_PATHS,
  FLAVOR_PROFILE_PATHS,
  readFlavor,
  readFlavorProfile,
  writeFlavor,
  writeFlavorProfile,
} from '../translate/offer.ts';
import {
  createOffer,
  deleteOffer,
  frozenWhileUsed,
  getOffer,
  listOffers,
  type OfferKind,
  updateOffer,
} from './offer.ts';

const flavors: OfferKind<Flavor, FlavorMessage> = {
  repository: new Flavors(),
  field: 'flavor',
  key: 'id',
  paths: FLAVOR_PATHS,
  read: readFlavor,
  write: writeFlavor,
};

const profiles: OfferKind<FlavorProfile, ProfileMessage> = {
  repository: new FlavorProfiles(),
  field: 'flavor_profile',
  key: 'id',
  paths: FLAVOR_PROFILE_PATHS,
  read: readFlavorProfile,
  write: writeFlavorProfile,
};

export function flavorHandlers(parts: Parts): Handlers<typeof FlavorServiceService> {
  return {
    createFlavor: unary((request, { caller }) => {
      const call = {
        method: 'CreateFlavor',
        requestId: request.requestId,
        serialise: () => CreateFlavorRequest.encode(request).finish(),
      };
      return createOffer(parts, flavors, request.flavor ?? FlavorMessage.fromPartial({}), call, caller);
    }),
    getFlavor: unary(({ id }, { caller }) => {
      readScope(caller, 'Reading a flavor');
      return getOffer(parts, flavors, id);
    }),
    listFlavors: unary(async (request, { caller }) => {
      readScope(caller, 'Listing flavors');
      const { items, nextPageToken } = await listOffers(parts, flavors, request);
      return { flavors: [...items], nextPageToken };
    }),
    updateFlavor: unary(({ flavor, updateMask }, { caller }) => {
      const message = flavor ?? FlavorMessage.fromPartial({});
      return updateOffer(parts, flavors, { message, key: message.id, updateMask }, caller);
    }),
    deleteFlavor: unary(({ id, etag }, { caller }) => deleteOffer(parts, flavors, id, etag, caller)),
  };
}

export function flavorProfileHandlers(parts: Parts): Handlers<typeof FlavorProfileServiceService> {
  return {
    createFlavorProfile: unary((request, { caller }) => {
      const call = {
        method: 'CreateFlavorProfile',
        requestId: request.requestId,
        serialise: () => CreateFlavorProfileRequest.encode(request).finish(),
      };
      return createOffer(parts, profiles, request.flavorProfile ?? ProfileMessage.fromPartial({}), call, caller);
    }),
    getFlavorProfile: unary(({ id }, { caller }) => {
      requireAdmin(caller, 'Reading a flavor profile');
      return getOffer(parts, profiles, id);
    }),
    listFlavorProfiles: unary(async (request, { caller }) => {
      requireAdmin(caller, 'Listing flavor profiles');
      const { items, nextPageToken } = await listOffers(parts, profiles, request);
      return { flavorProfiles: [...items], nextPageToken };
    }),
    updateFlavorProfile: unary(({ flavorProfile, updateMask }, { caller }) => {
      const message = flavorProfile ?? ProfileMessage.fromPartial({});
      const change = { message, key: message.id, updateMask };
      return updateOffer(parts, profiles, change, caller, frozenWhileUsed(profiles.repository));
    }),
    deleteFlavorProfile: unary(({ id, etag }, { caller }) => deleteOffer(parts, profiles, id, etag, caller)),
  };
}
