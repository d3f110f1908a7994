export { AMPHORA_CHANNEL, Amphorae, type AmphoraFilter, type AmphoraPatch, type NewAmphora } from './amphorae.ts';
