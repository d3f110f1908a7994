import type { Topology } from './objects.ts';

/** What can be asked of a deployment, as its drivers tell: it decides what the API admits. */
export interface Deployment {
  /** Topologies that load balancers can have. */
  readonly topologies: readonly Topology[];
  /** Whether amphorae reach members on loopback addresses: so where amphorae are processes of the machine. */
  readonly reachesLoopback: boolean;
  /** Where amphorae reach servers of the machine that they run on. Null: it is none of ours, or loopback serves. */
  readonly hostAddress: string | null;
}
