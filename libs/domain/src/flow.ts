/** What every service knows of flows; which flows exist is in @octavia/flows, how they run in the worker. */

export type FlowState =
  /** Waits for its time (`runAt`) and its turn. */
  | 'QUEUED'
  /** A worker holds it by a lease. */
  | 'RUNNING'
  | 'SUCCEEDED'
  /** Could not do it, and has undone what it did. */
  | 'FAILED'
  /** Was asked to stop, and has undone what it did. */
  | 'CANCELLED';

/** A value that survives JSON. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A flow to start. Made by the functions of @octavia/flows, written by `Flows.start` of @octavia/db. */
export interface NewFlow {
  /** Such as `load_balancer.create`. */
  readonly name: string;
  /** Version of the flow's steps and input. A worker takes only versions that it knows. */
  readonly version: number;
  /** Lower goes first, over the whole system. */
  readonly priority: number;
  /** Flows with the same key take turns: the load balancer's id, or the amphora's where it has no load balancer. */
  readonly turnKey: string;
  readonly loadBalancerId: string | null;
  readonly amphoraId: string | null;
  readonly projectId: string;
  readonly author: string;
  readonly requestId: string;
  /** References only, never a secret. */
  readonly input: Json;
  /** Milliseconds from now until it gives up. */
  readonly deadlineMs: number;
  /** Milliseconds from now before it may run. */
  readonly delayMs?: number;
  /** Whether a flow that runs under the same turn key is asked to stop for this one. */
  readonly stopsOthers: boolean;
}

/** Trace context of the request that asked, in W3C form; empty when there is none. */
export interface TraceContext {
  readonly traceparent?: string;
  readonly tracestate?: string;
}
