import {
  AgentConfigs,
  Amphorae,
  BuildSlots,
  Events,
  ExternalResources,
  FenceConfirmations,
  Flows,
  LoadBalancers,
  Orphans,
  parseKeyRing,
  Seats,
  Secrets,
  Settlement,
  Trees,
} from '@octavia/db';
import type { Drivers } from '@octavia/drivers';
import { formatHostPort } from '@octavia/service';
import type { WorkerConfig } from './config.ts';
import { agentSettingsDigest } from './steps/agent-config.ts';
import type { World } from './world.ts';

/** Puts together what the steps of our flows reach. */
export function openWorld(drivers: Omit<Drivers, 'breakers' | 'close'>, config: Settings): World {
  const agent = {
    controllerIpPortList: config.agent.controllers.map(formatHostPort),
    heartbeatIntervalMs: config.agent.heartbeatIntervalMs,
    heartbeatKey: config.agent.heartbeatKey,
  };
  return {
    compute: drivers.compute,
    network: drivers.network,
    amphora: drivers.amphora,
    certificates: drivers.certificates,
    flows: new Flows(),
    amphorae: new Amphorae(),
    seats: new Seats(),
    buildSlots: new BuildSlots(),
    loadBalancers: new LoadBalancers(),
    trees: new Trees(),
    events: new Events(),
    secrets: new Secrets(parseKeyRing(config.secretsKeys)),
    externalResources: new ExternalResources(),
    fenceConfirmations: new FenceConfirmations(),
    settlement: new Settlement(),
    orphans: new Orphans(),
    agentConfigs: new AgentConfigs(),
    settings: {
      agent: { ...agent, digest: agentSettingsDigest(agent) },
      amphora: config.amphora,
      colocationLimit: config.colocationLimit,
      buildSlots: config.buildSlots,
      vipRestMs: config.vipRestMs,
      flowDeadlineMs: config.flows.deadlineMs,
      mendMs: config.flows.mendMs,
    },
  };
}

type Settings = Pick<WorkerConfig, 'secretsKeys' | 'amphora' | 'colocationLimit' | 'vipRestMs'> & {
  readonly buildSlots: number | null;
  readonly agent: Pick<WorkerConfig['agent'], 'controllers' | 'heartbeatIntervalMs' | 'heartbeatKey'>;
  readonly flows: Pick<WorkerConfig['flows'], 'deadlineMs' | 'mendMs'>;
};
