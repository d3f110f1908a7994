export type { RefusedChange } from './refusals.ts';
export { DEPENDS_ON_REFUSED, REFUSED_REASONS, type Refusal, Settlement } from './settlement.ts';
