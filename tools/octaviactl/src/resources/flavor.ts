/** What `loadbalancer flavor …` and `loadbalancer flavorprofile …` do. */
import {
  Flavor,
  FlavorProfile,
  FlavorProfileServiceService as profileService,
  FlavorServiceService as service,
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

export const flavorProfiles: OfferResource<FlavorProfile> = {
  noun: 'flavor profile',
  get: (session, id) => session.call(profileService.getFlavorProfile, { id }),
  async page(session, { name, pageSize, pageToken }) {
    const reply = await session.call(profileService.listFlavorProfiles, { name, pageSize, pageToken });
    return { items: reply.flavorProfiles, nextPageToken: reply.nextPageToken };
  },
  loadBalancerId: () => '',
  view: (profile) =>
    byName({
      id: profile.id,
      name: profile.name ?? '',
      provider_name: profile.provider ?? '',
      flavor_data: profile.flavorData ?? '',
      created_at: timeView(profile.createdAt),
      updated_at: timeView(profile.updatedAt),
    }),
  columns: ['id', 'name', 'provider_name'],
  get known() {
    return Object.keys(this.view(FlavorProfile.create()));
  },
  create: (session, values) =>
    session.change(profileService.createFlavorProfile, {
      flavorProfile: FlavorProfile.fromPartial(values),
      requestId: session.requestId,
    }),
  update: (session, { id }, values, updateMask) =>
    session.change(profileService.updateFlavorProfile, {
      flavorProfile: FlavorProfile.fromPartial({ ...values, id }),
      updateMask,
      requestId: session.requestId,
    }),
  remove: (session, { id }) => session.change(profileService.deleteFlavorProfile, { id, etag: '' }),
};

export const flavors: OfferResource<Flavor> = {
  noun: 'flavor',
  get: (session, id) => session.call(service.getFlavor, { id }),
  async page(session, { name, pageSize, pageToken }) {
    const reply = await session.call(service.listFlavors, { name, pageSize, pageToken });
    return { items: reply.flavors, nextPageToken: reply.nextPageToken };
  },
  loadBalancerId: () => '',
  view: (flavor) =>
    byName({
      id: flavor.id,
      name: flavor.name ?? '',
      flavor_profile_id: flavor.flavorProfileId,
      enabled: flavor.enabled ?? true,
      description: flavor.description ?? '',
      created_at: timeView(flavor.createdAt),
      updated_at: timeView(flavor.updatedAt),
    }),
  columns: ['id', 'name', 'flavor_profile_id', 'enabled'],
  get known() {
    return Object.keys(this.view(Flavor.create()));
  },
  create: (session, values) =>
    session.change(service.createFlavor, { flavor: Flavor.fromPartial(values), requestId: session.requestId }),
  update: (session, { id }, values, updateMask) =>
    session.change(service.updateFlavor, {
      flavor: Flavor.fromPartial({ ...values, id }),
      updateMask,
      requestId: session.requestId,
    }),
  remove: (session, { id }) => session.change(service.deleteFlavor, { id, etag: '' }),
};

interface ProfileOptions {
  readonly name?: string;
  readonly provider?: string;
  readonly flavorData?: string;
}

const profileValues = ({ name, provider, flavorData }: ProfileOptions) => ({ name, provider, flavorData });

export const createProfile = offerCreate(flavorProfiles, async (_, options: ProfileOptions) => profileValues(options));
export const listProfiles = offerList<FlavorProfile, OfferListOptions & { readonly provider?: string }>(
  flavorProfiles,
  async (_, { provider }) =>
    (view) =>
      !provider || view.provider_name === provider,
);
export const showProfile = offerShow(flavorProfiles);
export const setProfile = offerSet(flavorProfiles, profileValues);
export const removeProfile = offerRemove(flavorProfiles);

interface FlavorOptions extends AdminStateOptions {
  readonly name?: string;
  readonly description?: string;
}

const flavorValues = (options: FlavorOptions) => ({
  name: options.name,
  description: options.description,
  enabled: adminStateUp(options),
});

export const create = offerCreate(
  flavors,
  async (session, options: FlavorOptions & { readonly flavorprofile: string }) => ({
    ...flavorValues(options),
    flavorProfileId: (await find(session, flavorProfiles, options.flavorprofile)).id,
  }),
);
export const list = offerList<Flavor, OfferListOptions & AdminStateOptions & { readonly flavorprofile?: string }>(
  flavors,
  async (session, options) => {
    const { flavorprofile } = options;
    const profileId = flavorprofile ? (await find(session, flavorProfiles, flavorprofile)).id : null;
    return (view) =>
      isEnabledAs(view, adminStateUp(options)) && (profileId === null || view.flavor_profile_id === profileId);
  },
);
export const show = offerShow(flavors);
export const set = offerSet(flavors, flavorValues);
export const unset = offerSet(flavors, ({ description }: { readonly description?: true }) => ({
  description: description && '',
}));
export const remove = offerRemove(flavors);
