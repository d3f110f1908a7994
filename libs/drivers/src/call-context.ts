/** What every driver call of a flow carries. */
export interface CallContext {
  /** Aborted when the flow is asked to stop, loses its lease or reaches its deadline: the call ends at once. */
  readonly signal?: AbortSignal;
  /**
   * Epoch of the flow and the turn it runs in. Noop and local drivers and our agent refuse a call whose epoch is lower than one
   * they saw for the same flow, so that a stopped worker that wakes up changes nothing.
   */
  readonly fence?: { readonly flowId: string; readonly epoch: number };
}
