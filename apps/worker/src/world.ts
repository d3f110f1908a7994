import type {
  AgentConfigs,
  Amphorae,
  BuildSlots,
  Events,
  ExternalResources,
  FenceConfirmations,
  Flows,
  LoadBalancers,
  Orphans,
  Seats,
  Secrets,
  Settlement,
  Trees,
  Tx,
} from '@octavia/db';
import type { AmphoraClass, LoadBalancer, Machine } from '@octavia/domain';
import type {
  AmphoraDriver,
  AmphoraEndpoint,
  CertificatesDriver,
  ComputeDriver,
  NetworkDriver,
} from '@octavia/drivers';
import type { Requester } from '@octavia/flows';
import type { AnyFlow, EngineContext, Flow, FlowEnd, Step, StepContext } from './engine/flow.ts';

/** What every step of our flows can reach: drivers for the world outside, repositories for rows. */
export interface World {
  readonly compute: ComputeDriver;
  readonly network: NetworkDriver;
  readonly amphora: AmphoraDriver;
  readonly certificates: CertificatesDriver;
  readonly flows: Flows;
  readonly amphorae: Amphorae;
  readonly seats: Seats;
  readonly buildSlots: BuildSlots;
  readonly loadBalancers: LoadBalancers;
  readonly trees: Trees;
  readonly events: Events;
  readonly secrets: Secrets;
  readonly externalResources: ExternalResources;
  readonly fenceConfirmations: FenceConfirmations;
  readonly settlement: Settlement;
  readonly orphans: Orphans;
  readonly agentConfigs: AgentConfigs;
  readonly settings: WorkerSettings;
}

export interface WorkerSettings {
  /** What new amphorae are told. */
  readonly agent: {
    readonly controllerIpPortList: readonly string[];
    readonly heartbeatIntervalMs: number;
    readonly heartbeatKey: string;
    /** Of all that. */
    readonly digest: string;
  };
  /** Which amphorae this worker builds and takes. */
  readonly amphora: Omit<AmphoraClass, 'topology'>;
  /** Load balancers on one amphora, at most, where no flavor says otherwise. */
  readonly colocationLimit: number;
  /** Amphorae that are built at once, at most, over all workers; null: no limit. */
  readonly buildSlots: number | null;
  /** How long an address of a deleted load balancer rests, in milliseconds. */
  readonly vipRestMs: number;
  /** Time of the flows that flows start, in milliseconds. */
  readonly flowDeadlineMs: number;
  /** How long an amphora of a pair that does not take a change is tried again before it is replaced, in milliseconds. */
  readonly mendMs: number;
}

export type WorkerStep<State> = Step<State, World>;
export type WorkerFlow<State> = Flow<State, World>;
export type AnyWorkerFlow = AnyFlow<World>;
export type Context = StepContext<World>;
export type End<State> = FlowEnd<State>;

/** Who is told to have asked for what a flow asks for. */
export function requesterOf({ flow }: Pick<EngineContext, 'flow'>): Requester {
  return { projectId: flow.projectId, userId: flow.author, requestId: flow.requestId };
}

/** The class of amphorae that a load balancer takes: what its flavor and zone said when it was made, else the deployment's defaults. */
export function classFor(
  { topology, placement }: Pick<LoadBalancer, 'topology' | 'placement'>,
  { amphora: defaults }: Pick<WorkerSettings, 'amphora'>,
): AmphoraClass {
  return {
    computeFlavor: placement?.computeFlavor ?? defaults.computeFlavor,
    imageTag: placement?.imageTag ?? defaults.imageTag,
    zone: placement?.zone ?? defaults.zone,
    topology,
  };
}

/** How to reach an amphora's agent. @throws Error when it is not known yet */
export function endpointOf(amphora: Pick<Machine, 'id' | 'lbNetworkIp' | 'agentPort'>): AmphoraEndpoint {
  if (amphora.lbNetworkIp === null) throw new Error(`The address of amphora ${amphora.id} is not known.`);
  return { amphoraId: amphora.id, lbNetworkIp: amphora.lbNetworkIp, agentPort: amphora.agentPort };
}

/** What driver calls of this step carry. */
export function callOf({ signal, fence }: EngineContext): Pick<EngineContext, 'signal' | 'fence'> {
  return { signal, fence };
}

/**
 * Tells operators and demonstrations how long a milestone took. Takes the load balancer's lock, so call it before anything else of
 * the transaction.
 */
export async function tellMilestone(
  tx: Tx,
  { flow, events }: Context,
  kind: 'amphora_fenced' | 'vip_plugged' | 'configuration_pushed' | 'amphora_enrolled' | 'orphan_left',
  subject: { readonly loadBalancerId: string; readonly amphoraId: string },
  payload: Record<string, string | number | boolean>,
): Promise<void> {
  await events.append(tx, {
    loadBalancerId: subject.loadBalancerId,
    projectId: flow.projectId,
    author: flow.author,
    requestId: flow.requestId,
    kind,
    objectKind: 'amphora',
    objectId: subject.amphoraId,
    payload: { ...payload, flow_id: flow.id },
    traceparent: flow.traceContext.traceparent,
  });
}
