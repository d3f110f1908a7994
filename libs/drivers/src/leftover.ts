import type { CallContext } from './call-context.ts';

/** Something that a driver has made outside and that is there now. Whether it belongs to anybody, only the database can say. */
export interface Leftover {
  /** Such as instance, port, address. An open list: whoever compares treats all alike. */
  readonly kind: string;
  /** What the driver calls it, once within its kind. */
  readonly name: string;
  /** Null: of no amphora. Of no amphora and no load balancer: the driver itself is certain that nobody needs it. */
  readonly amphoraId: string | null;
  readonly loadBalancerId: string | null;
  /** Milliseconds since it was made; null: not known. */
  readonly ageMs: number | null;
}

/** A driver that makes things outside. */
export interface LeavesThings {
  /** Everything that it has made and that is there, what is in use included. Changes nothing. */
  leftovers(context?: CallContext): Promise<readonly Leftover[]>;
  /**
   * Removes one of them, and what cannot live without it: of an amphora, all that is left of that on this side. Succeeds if it is gone.
   * What runs is isolated first. @throws FenceNotConfirmed, DeleteFailed
   */
  removeLeftover(leftover: Leftover, context?: CallContext): Promise<void>;
}
