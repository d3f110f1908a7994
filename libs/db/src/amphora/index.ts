export {
  AMPHORA_CHANNEL,
  Amphorae,
  type AmphoraFilter,
  type AmphoraPatch,
  type NewAmphora,
} from './amphorae.ts';
export { type BuildPlace, type BuildRequest, type BuildSlotCounts, BuildSlots, nextLookMs } from './build-slots.ts';
export { type AmphoraCensus, amphoraCensus } from './census.ts';
export { type Envelope, type KeyRing, open as openEnvelope, parseKeyRing, seal as sealEnvelope } from './envelope.ts';
export { type ExternalResource, ExternalResources } from './external-resources.ts';
export { type FenceConfirmation, FenceConfirmations } from './fence-confirmations.ts';
export { type Avoidance, type Guest, type SeatKey, type SeatPatch, Seats } from './seats.ts';
export { type SecretKind, Secrets } from './secrets.ts';
