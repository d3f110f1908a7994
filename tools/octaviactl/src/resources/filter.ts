/** Filters of lists that the contract does not have: done here, after reading. */
import type { AdminStateOptions } from '../options.ts';
import { adminStateUp } from '../options.ts';
import type { View } from '../output/format.ts';

export interface FilterOptions extends AdminStateOptions {
  readonly provisioningStatus?: string;
  readonly operatingStatus?: string;
  readonly tags?: string[];
  readonly anyTags?: string[];
  readonly notTags?: string[];
  readonly notAnyTags?: string[];
  readonly limit?: number;
}

/** Tells whether an object, as it is shown, is among those that the options ask for. */
export function matches(view: View, options: FilterOptions): boolean {
  const own = new Set(Array.isArray(view.tags) ? view.tags : []);
  const up = adminStateUp(options);
  return (
    (up === undefined || view.admin_state_up === up) &&
    (!options.provisioningStatus || view.provisioning_status === options.provisioningStatus) &&
    (!options.operatingStatus || view.operating_status === options.operatingStatus) &&
    (!options.tags || options.tags.every((tag) => own.has(tag))) &&
    (!options.anyTags || options.anyTags.some((tag) => own.has(tag))) &&
    !options.notTags?.every((tag) => own.has(tag)) &&
    !options.notAnyTags?.some((tag) => own.has(tag))
  );
}
