/** What `loadbalancer availabilityzone …` and `loadbalancer availabilityzoneprofile …` do. */
import {
  AvailabilityZone,
  AvailabilityZoneProfile,
  AvailabilityZoneProfileServiceService as profileService,
  AvailabilityZoneServiceService as service,
} from '@octavia/proto';
import { type AdminStateOptions, adminStateUp } from '../options.ts';
import {
  isEnabledAs,
  type OfferListOptions,
  type OfferResource,
  offerCreate,
  offerList,
  offerRemove,
  offerSet,
  offerShow,
} from './offer.ts';
import { byName, find, timeView } from './resource.ts';

export const zoneProfiles: OfferResource<AvailabilityZoneProfile> = {
  noun: 'availability zone profile',
  get: (session, id) => session.call(profileService.getAvailabilityZoneProfile, { id }),
  async page(session, { name, pageSize, pageToken }) {
    const reply = await session.call(profileService.listAvailabilityZoneProfiles, { name, pageSize, pageToken });
    return { items: reply.availabilityZoneProfiles, nextPageToken: reply.nextPageToken };
  },
  loadBalancerId: () => '',
  view: (profile) =>
    byName({
      id: profile.id,
      name: profile.name ?? '',
      provider_name: profile.provider ?? '',
      availability_zone_data: profile.availabilityZoneData ?? '',
      created_at: timeView(profile.createdAt),
      updated_at: timeView(profile.updatedAt),
    }),
  columns: ['id', 'name', 'provider_name'],
  get known() {
    return Object.keys(this.view(AvailabilityZoneProfile.create()));
  },
  create: (session, values) =>
    session.change(profileService.createAvailabilityZoneProfile, {
      availabilityZoneProfile: AvailabilityZoneProfile.fromPartial(values),
      requestId: session.requestId,
    }),
  update: (session, { id }, values, updateMask) =>
    session.change(profileService.updateAvailabilityZoneProfile, {
      availabilityZoneProfile: AvailabilityZoneProfile.fromPartial({ ...values, id }),
      updateMask,
      requestId: session.requestId,
    }),
  remove: (session, { id }) => session.change(profileService.deleteAvailabilityZoneProfile, { id, etag: '' }),
};

/** Its name is its id. */
type Zone = AvailabilityZone & { readonly id: string };

const withId = (zone: AvailabilityZone): Zone => ({ ...zone, id: zone.name });

export const zones: OfferResource<Zone> = {
  noun: 'availability zone',
  get: async (session, name) => withId(await session.call(service.getAvailabilityZone, { name })),
  async page(session, { name, pageSize, pageToken }) {
    const reply = await session.call(service.listAvailabilityZones, { name, pageSize, pageToken });
    return { items: reply.availabilityZones.map(withId), nextPageToken: reply.nextPageToken };
  },
  loadBalancerId: () => '',
  view: (zone) =>
    byName({
      name: zone.name,
      availability_zone_profile_id: zone.availabilityZoneProfileId,
      enabled: zone.enabled ?? true,
      description: zone.description ?? '',
      created_at: timeView(zone.createdAt),
      updated_at: timeView(zone.updatedAt),
    }),
  columns: ['name', 'availability_zone_profile_id', 'enabled'],
  get known() {
    return Object.keys(this.view(withId(AvailabilityZone.create())));
  },
  create: async (session, { id: _, ...values }) =>
    withId(
      await session.change(service.createAvailabilityZone, {
        availabilityZone: AvailabilityZone.fromPartial(values),
        requestId: session.requestId,
      }),
    ),
  update: async (session, { name }, { id: _, ...values }, updateMask) =>
    withId(
      await session.change(service.updateAvailabilityZone, {
        availabilityZone: AvailabilityZone.fromPartial({ ...values, name }),
        updateMask,
        requestId: session.requestId,
      }),
    ),
  remove: (session, { name }) => session.change(service.deleteAvailabilityZone, { name, etag: '' }),
};

interface ProfileOptions {
  readonly name?: string;
  readonly provider?: string;
  readonly availabilityZoneData?: string;
}

const profileValues = ({ name, provider, availabilityZoneData }: ProfileOptions) => ({
  name,
  provider,
  availabilityZoneData,
});

export const createProfile = offerCreate(zoneProfiles, async (_, options: ProfileOptions) => profileValues(options));
export const listProfiles = offerList<AvailabilityZoneProfile, OfferListOptions & { readonly provider?: string }>(
  zoneProfiles,
  async (_, { provider }) =>
    (view) =>
      !provider || view.provider_name === provider,
);
export const showProfile = offerShow(zoneProfiles);
export const setProfile = offerSet(zoneProfiles, profileValues);
export const removeProfile = offerRemove(zoneProfiles);

interface ZoneOptions extends AdminStateOptions {
  readonly description?: string;
}

const zoneValues = (options: ZoneOptions) => ({
  description: options.description,
  enabled: adminStateUp(options),
});

export const create = offerCreate(
  zones,
  async (session, options: ZoneOptions & { readonly name: string; readonly availabilityzoneprofile: string }) => ({
    ...zoneValues(options),
    name: options.name,
    availabilityZoneProfileId: (await find(session, zoneProfiles, options.availabilityzoneprofile)).id,
  }),
);
export const list = offerList<
  Zone,
  OfferListOptions & AdminStateOptions & { readonly availabilityzoneprofile?: string }
>(zones, async (session, options) => {
  const { availabilityzoneprofile } = options;
  const profileId = availabilityzoneprofile ? (await find(session, zoneProfiles, availabilityzoneprofile)).id : null;
  return (view) =>
    isEnabledAs(view, adminStateUp(options)) && (profileId === null || view.availability_zone_profile_id === profileId);
});
export const show = offerShow(zones);
export const set = offerSet(zones, zoneValues);
export const unset = offerSet(zones, ({ description }: { readonly description?: true }) => ({
  description: description && '',
}));
export const remove = offerRemove(zones);
