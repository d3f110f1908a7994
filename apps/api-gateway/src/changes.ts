import { createHash } from 'node:crypto';
import {
  type ChangedBy,
  type Database,
  Idempotency,
  type NewRevision,
  Quotas,
  Revisions,
  type Scope,
  type Tx,
} from '@octavia/db';
import type { Caller, LoadBalancer, NewFlow, ObjectKind } from '@octavia/domain';
import { type Requester, updateLoadBalancer } from '@octavia/flows';
import { ATTR, currentTraceContext } from '@octavia/service';
import { trace } from '@opentelemetry/api';
import { Violations } from './check/violations.ts';
import type { Policy } from './parts.ts';
import type { MessageOf, Replies } from './replies.ts';

/** How flows are asked for inside a transaction: the part of `Flows` that the gateway needs. */
export interface FlowStarter {
  /** Returns the flow's id. */
  start(tx: Tx, flow: NewFlow): Promise<string>;
  ensurePush(tx: Tx, flow: NewFlow): Promise<string>;
}

/** A call that changes something. */
export interface ChangeCall<K extends ObjectKind> {
  readonly kind: K;
  /** Of the object that is made or changed. */
  readonly objectId: string;
  readonly caller: Caller;
  /** Whose objects the caller may change. */
  readonly scope: Scope;
  /** Name of the RPC. */
  readonly method: string;
  /** Of the request; empty: it is not safe to repeat. */
  readonly requestId: string;
  /** The serialised request. */
  serialise(): Uint8Array;
}

/** What the work of a change is given. */
export interface ChangeContext {
  readonly tx: Tx;
  readonly by: ChangedBy;
}

/** Every change of a caller, in one transaction: record of the request, rows, revision, quota, flow. Nothing remote inside. */
export class Changes {
  readonly #db: Database;
  readonly #flows: FlowStarter;
  readonly #replies: Replies;
  readonly #policy: Policy;
  readonly #idempotency = new Idempotency();
  readonly #revisions = new Revisions();
  readonly #quotas = new Quotas();

  constructor(db: Database, flows: FlowStarter, replies: Replies, policy: Policy) {
    this.#db = db;
    this.#flows = flows;
    this.#replies = replies;
    this.#policy = policy;
  }

  /**
   * Does `work` once for each request id, and answers with the object as it then is; a repetition is answered with its current
   * state.
   */
  run<K extends ObjectKind>(
    call: ChangeCall<K>,
    work: (context: ChangeContext) => Promise<void>,
  ): Promise<MessageOf[K]> {
    return this.#once(call, async (context) => {
      await work(context);
      return this.#replies.one(context.tx, call.kind, call.objectId, call.scope);
    });
  }

  /** As `run`, for work that knows its answer without reading. */
  runAndAnswer<K extends ObjectKind>(
    call: ChangeCall<K>,
    work: (context: ChangeContext) => Promise<MessageOf[K]>,
  ): Promise<MessageOf[K]> {
    return this.#once(call, work);
  }

  async #once<K extends ObjectKind>(
    call: ChangeCall<K>,
    work: (context: ChangeContext) => Promise<MessageOf[K]>,
  ): Promise<MessageOf[K]> {
    const requestId = readRequestId(call.requestId);
    const by = changedBy(call.caller);
    return this.#db.transaction(async (tx) => {
      const first = requestId === null ? null : await this.#claim(tx, call, requestId);
      if (first === null) return work({ tx, by });
      return this.#replies.one(tx, call.kind, first, call.scope, { deleted: true });
    });
  }

  /** Ends a change below a load balancer, which `begin` locked: revision, quota of what is new, push. */
  async push(
    context: ChangeContext,
    begun: LoadBalancer,
    revision: NewRevision,
    quota: ObjectKind | null = null,
  ): Promise<void> {
    // They travel together, and take their locks in this order.
    await Promise.all([this.record(context, begun, revision, quota), this.ensurePush(context, begun)]);
  }

  /** As `push`, for one of several changes that are pushed together. */
  async record(
    { tx, by }: ChangeContext,
    begun: LoadBalancer,
    revision: NewRevision,
    quota: ObjectKind | null,
  ): Promise<void> {
    await Promise.all([
      this.#revisions.append(tx, begun, revision, by),
      quota && this.#reserve(tx, begun.projectId, quota),
    ]);
  }

  /** Asks for the push of what was recorded. */
  async ensurePush({ tx, by }: ChangeContext, begun: LoadBalancer): Promise<void> {
    trace.getActiveSpan()?.setAttribute(ATTR.LOAD_BALANCER_ID, begun.id);
    const options = { deadlineMs: this.#policy.flowDeadlineMs };
    await this.#flows.ensurePush(tx, updateLoadBalancer(begun.id, requesterOf(begun, by), options));
  }

  /** Ends a change that has a flow of its own. Returns the flow's id. */
  async start(
    { tx, by }: ChangeContext,
    begun: LoadBalancer,
    revision: NewRevision,
    flow: (loadBalancerId: string, requester: Requester, options: { deadlineMs: number }) => NewFlow,
  ): Promise<string> {
    trace.getActiveSpan()?.setAttribute(ATTR.LOAD_BALANCER_ID, begun.id);
    const options = { deadlineMs: this.#policy.flowDeadlineMs };
    // They travel together, and take their locks in this order.
    const [, , id] = await Promise.all([
      this.#revisions.append(tx, begun, revision, by),
      revision.action === 'CREATE' && this.#reserve(tx, begun.projectId, revision.objectKind),
      this.#flows.start(tx, flow(begun.id, requesterOf(begun, by), options)),
    ]);
    return id;
  }

  async #reserve(tx: Tx, projectId: string, resource: ObjectKind): Promise<void> {
    await this.#quotas.reserve(tx, projectId, resource, 1, this.#policy.defaultQuotas[resource]);
  }

  #claim<K extends ObjectKind>(tx: Tx, call: ChangeCall<K>, requestId: string): Promise<string | null> {
    return this.#idempotency.claim(tx, {
      projectId: call.caller.projectId,
      requestId,
      method: call.method,
      hash: createHash('sha256').update(call.serialise()).digest(),
      objectId: call.objectId,
    });
  }
}

function readRequestId(value: string): string | null {
  const check = new Violations();
  const id = check.optionalUuid('request_id', value);
  check.finish();
  return id;
}

function changedBy(caller: Caller): ChangedBy {
  return { author: caller.userId, requestId: caller.requestId, traceparent: currentTraceContext().traceparent };
}

function requesterOf(begun: LoadBalancer, by: ChangedBy): Requester {
  return { projectId: begun.projectId, userId: by.author, requestId: by.requestId };
}
