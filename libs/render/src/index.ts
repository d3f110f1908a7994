export * from './agent-config.ts';
export { CAPABILITIES, type Capabilities, POOL_PROTOCOLS_OF_LISTENER } from './capabilities.ts';
export { expectedCodes } from './expected-codes.ts';
export { AmphoraFactsInvalid } from './facts.ts';
export { type Peer, type Rendering, renderHaproxy, type TargetAmphora } from './haproxy.ts';
export { renderKeepalived } from './keepalived.ts';
export { type VipNetwork, type VrrpAmphora, VrrpInvalid, type VrrpPeer, type VrrpSettings } from './keepalived-plan.ts';
export {
  AVAILABILITY_ZONE_CAPABILITIES,
  type AvailabilityZoneKey,
  FLAVOR_CAPABILITIES,
  type FlavorKey,
  type OfferCapability,
} from './offer-capabilities.ts';
export { DEFAULT_HAPROXY_OPTIONS, type HaproxyOptions } from './options.ts';
export { peerName } from './peer-name.ts';
export type { Problem } from './plan.ts';
