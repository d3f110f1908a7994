import type { LoadBalancerTree, OperatingStatus } from '@octavia/domain';
import type { StatusReport } from './heartbeat.ts';

/** The rules of @octavia/domain that turn reports into statuses. */
export interface StatusRules {
  /**
   * Statuses of everything in the tree, by id.
   * @param reports of the amphorae that were heard lately; at least one
   * @param before what is stored: some words of HAProxy leave a status as it is
   */
  readonly operatingStatuses: (
    tree: LoadBalancerTree,
    reports: readonly StatusReport[],
    before: ReadonlyMap<string, OperatingStatus>,
  ) => ReadonlyMap<string, OperatingStatus>;
  /** Whether an amphora lacks a listener that it should serve, or serves one that it should not. */
  readonly listenerMismatch: (tree: LoadBalancerTree, report: StatusReport) => boolean;
}
