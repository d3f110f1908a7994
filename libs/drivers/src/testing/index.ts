export { type GuestClient, GuestProber, PROBE_EVERY_MS, type Request } from './client.ts';
export { Guest, mayMakeNamespaces } from './guest.ts';
