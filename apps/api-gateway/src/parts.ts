import type { Database } from '@octavia/db';
import type { ObjectKind, Topology } from '@octavia/domain';
import type { LookupServiceClient } from '@octavia/proto';
import type { HostPort, ProcessIdentity, RpcClient } from '@octavia/service';
import type { Changes } from './changes.ts';
import type { Processes } from './processes.ts';
import type { Replies } from './replies.ts';
import type { SubnetFinder } from './subnet-finder.ts';

/** The worker's read-only look-ups. */
export type Lookup = RpcClient<typeof LookupServiceClient.service>;

/** Rules of this deployment. */
export interface Policy {
  readonly topology: Topology;
  /** Canonical addresses that no member may have. */
  readonly reservedIps: ReadonlySet<string>;
  /** Of a project without limits of its own; -1: none. */
  readonly defaultQuotas: Readonly<Record<ObjectKind, number>>;
  /** Milliseconds after which a flow gives up. */
  readonly flowDeadlineMs: number;
}

/** What the system's status is made of. */
export interface Installation {
  /** This gateway. */
  readonly self: ProcessIdentity;
  /** Where it listens. */
  readonly address: HostPort;
  /** Our other services and where their gRPC servers listen. */
  readonly services: readonly { readonly name: string; readonly address: HostPort }[];
  readonly processes: Processes;
  readonly sparesWanted: number;
  /** Milliseconds of silence after which an amphora is replaced. */
  readonly heartbeatTimeoutMs: number;
}

/** What the handlers are made of. */
export interface Parts {
  readonly db: Database;
  readonly policy: Policy;
  readonly changes: Changes;
  readonly replies: Replies;
  readonly subnets: SubnetFinder;
  readonly lookup: Lookup;
  readonly installation: Installation;
}
