import { AvailabilityZoneProfiles, AvailabilityZones } from '@octavia/db';
import type { AvailabilityZone, AvailabilityZoneProfile } from '@octavia/domain';
import {
  type AvailabilityZoneProfileServiceService,
  type AvailabilityZoneServiceService,
  CreateAvailabilityZoneProfileRequest,
  CreateAvailabilityZoneRequest,
  AvailabilityZoneProfile as ProfileMessage,
  AvailabilityZone as ZoneMessage,
} from '@octavia/proto';
import { type Handlers, unary } from '@octavia/service';
import { readScope, requireAdmin } from '../authorize.ts';
import type { Parts } from '../parts.ts';
import {
  AVAILABILITY_ZONE_PATHS,
  AVAILABILITY_ZONE_PROFILE_PATHS,
  readAvailabilityZone,
  readAvailabilityZoneProfile,
  writeAvailabilityZone,
  writeAvailabilityZoneProfile,
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

const zones: OfferKind<AvailabilityZone, ZoneMessage> = {
  repository: new AvailabilityZones(),
  field: 'availability_zone',
  key: 'name',
  paths: AVAILABILITY_ZONE_PATHS,
  read: readAvailabilityZone,
  write: writeAvailabilityZone,
};

const profiles: OfferKind<AvailabilityZoneProfile, ProfileMessage> = {
  repository: new AvailabilityZoneProfiles(),
  field: 'availability_zone_profile',
  key: 'id',
  paths: AVAILABILITY_ZONE_PROFILE_PATHS,
  read: readAvailabilityZoneProfile,
  write: writeAvailabilityZoneProfile,
};

export function availabilityZoneHandlers(parts: Parts): Handlers<typeof AvailabilityZoneServiceService> {
  return {
    createAvailabilityZone: unary((request, { caller }) => {
      const call = {
        method: 'CreateAvailabilityZone',
        requestId: request.requestId,
        serialise: () => CreateAvailabilityZoneRequest.encode(request).finish(),
      };
      return createOffer(parts, zones, request.availabilityZone ?? ZoneMessage.fromPartial({}), call, caller);
    }),
    getAvailabilityZone: unary(({ name }, { caller }) => {
      readScope(caller, 'Reading an availability zone');
      return getOffer(parts, zones, name);
    }),
    listAvailabilityZones: unary(async (request, { caller }) => {
      readScope(caller, 'Listing availability zones');
      const { items, nextPageToken } = await listOffers(parts, zones, request);
      return { availabilityZones: [...items], nextPageToken };
    }),
    updateAvailabilityZone: unary(({ availabilityZone, updateMask }, { caller }) => {
      const message = availabilityZone ?? ZoneMessage.fromPartial({});
      return updateOffer(parts, zones, { message, key: message.name, updateMask }, caller);
    }),
    deleteAvailabilityZone: unary(({ name, etag }, { caller }) => deleteOffer(parts, zones, name, etag, caller)),
  };
}

export function availabilityZoneProfileHandlers(parts: Parts): Handlers<typeof AvailabilityZoneProfileServiceService> {
  return {
    createAvailabilityZoneProfile: unary((request, { caller }) => {
      const call = {
        method: 'CreateAvailabilityZoneProfile',
        requestId: request.requestId,
        serialise: () => CreateAvailabilityZoneProfileRequest.encode(request).finish(),
      };
      const message = request.availabilityZoneProfile ?? ProfileMessage.fromPartial({});
      return createOffer(parts, profiles, message, call, caller);
    }),
    getAvailabilityZoneProfile: unary(({ id }, { caller }) => {
      requireAdmin(caller, 'Reading an availability zone profile');
      return getOffer(parts, profiles, id);
    }),
    listAvailabilityZoneProfiles: unary(async (request, { caller }) => {
      requireAdmin(caller, 'Listing availability zone profiles');
      const { items, nextPageToken } = await listOffers(parts, profiles, request);
      return { availabilityZoneProfiles: [...items], nextPageToken };
    }),
    updateAvailabilityZoneProfile: unary(({ availabilityZoneProfile, updateMask }, { caller }) => {
      const message = availabilityZoneProfile ?? ProfileMessage.fromPartial({});
      const change = { message, key: message.id, updateMask };
      return updateOffer(parts, profiles, change, caller, frozenWhileUsed(profiles.repository));
    }),
    deleteAvailabilityZoneProfile: unary(({ id, etag }, { caller }) => deleteOffer(parts, profiles, id, etag, caller)),
  };
}
