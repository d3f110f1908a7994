import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Arguments } from './arguments.ts';
import { type AgentConfig, readConfig } from './config.ts';
import { ControlGroups } from './control-groups.ts';
import { AgentStartError, messageOf } from './errors.ts';
import { FenceBook } from './fence.ts';
import { readIfThere } from './files.ts';
import { LoadBalancers } from './haproxy/load-balancers.ts';
import { peerName } from './haproxy/peer-name.ts';
import { Counters } from './heartbeat/counters.ts';
import { HeartbeatSender } from './heartbeat/sender.ts';
import { Router } from './http/router.ts';
import { AgentServer } from './http/server.ts';
import { type Ini, IniError, parseIni } from './ini.ts';
import { Keepalived } from './keepalived/keepalived.ts';
import { openLog } from './log.ts';
import { haproxyUser, usableKeepalived, writeUserGroupFile } from './platform.ts';
import { LoopbackNetwork } from './plugged/network.ts';
import { OwnNetwork, prepareOwnNetwork } from './plugged/own-network.ts';
import { PluggedAddresses } from './plugged/plugged-addresses.ts';
import { ProcessBook, readProcess } from './processes.ts';
import { agentRoutes } from './routes/agent.ts';
import { certificateRoutes } from './routes/certificates.ts';
import { infoRoutes } from './routes/info.ts';
import { interfaceRoutes } from './routes/interface.ts';
import { loadBalancerRoutes } from './routes/load-balancer.ts';
import { plugRoutes } from './routes/plug.ts';
import { unsupportedRoutes } from './routes/unsupported.ts';
import { vrrpRoutes } from './routes/vrrp.ts';
import { noTracing, openTracing } from './tracing.ts';

export interface RunningAgent {
  readonly log: Logger;
  /** Stops keepalived, HAProxy, the heartbeats and the server. */
  stop(): Promise<void>;
}

/**
 * Starts the agent: listens, adopts what an earlier agent left, then answers and sends heartbeats.
 * @throws AgentStartError
 */
export async function startAgent({ amphoraId, dataFolder, configFile }: Arguments): Promise<RunningAgent> {
  const ini = readIni(configFile);
  const config = readConfig(ini);
  if (config.amphoraId !== amphoraId)
    throw new AgentStartError(`--amphora-id is ${amphoraId}, but ${configFile} is of ${config.amphoraId}.`, 78);
  mkdirSync(dataFolder, { recursive: true, mode: 0o700 });
  mkdirSync(config.basePath, { recursive: true, mode: 0o711 });
  const log = openLog(join(dataFolder, 'agent.log'), amphoraId, config.debug ? 'debug' : 'info');
  const tracing = openTracing(amphoraId, process.env).catch((error) => {
    log.warn({ reason: messageOf(error) }, 'no traces: OpenTelemetry could not be loaded');
    return noTracing;
  });
  if (config.ownNetwork) prepareOwnNetwork();
  const book = new ProcessBook(dataFolder, amphoraId);
  const user = haproxyUser(config.haproxyUser);

  const loadBalancers: LoadBalancers = new LoadBalancers({
    config,
    peer: peerName(amphoraId),
    userGroupFile: writeUserGroupFile(config.basePath, user),
    book,
    groups: new ControlGroups(amphoraId),
    log,
    changed() {
      keepalived.haproxyChanged();
      heartbeats.sendSoon();
    },
  });
  const keepalivedCommand = usableKeepalived(config.keepalivedCommand);
  const keepalived: Keepalived = new Keepalived({
    basePath: config.basePath,
    command: keepalivedCommand,
    book,
    log,
    haproxy: () => loadBalancers.state(),
    noticeDeaths: () => loadBalancers.noticeDeaths(),
  });
  const heartbeats = new HeartbeatSender(config, {
    amphoraId,
    counters: new Counters(join(dataFolder, 'stats_counters.json')),
    log,
    loadBalancers: () => loadBalancers.all(),
    mustKeepSilent: () => keepalived.mustKeepSilent,
  });
  let { topology } = config;
  const applyConfig = (changed: AgentConfig) => {
    topology = changed.topology;
    heartbeats.configure(changed);
    log.level = changed.debug ? 'debug' : 'info';
  };
  const plugged = new PluggedAddresses(join(dataFolder, 'plugged.json'));
  const network = config.ownNetwork
    ? new OwnNetwork({ plugged, ownsVips: () => topology === 'SINGLE', log })
    : new LoopbackNetwork(plugged);
  const router = new Router([
    ...infoRoutes({ config, user, loadBalancers, keepalived: keepalivedCommand }),
    ...loadBalancerRoutes(amphoraId, loadBalancers, network),
    ...certificateRoutes(config.certificatesPath),
    ...plugRoutes(network),
    ...interfaceRoutes(network),
    ...vrrpRoutes(keepalived),
    ...agentRoutes({
      config,
      configFile,
      ini,
      certificateChanged: () => server.reloadCertificate(),
      configChanged: applyConfig,
    }),
    ...unsupportedRoutes(),
  ]);
  const fences = new FenceBook(join(dataFolder, 'fences.json'));
  const server: AgentServer = new AgentServer({ config, router, fences, tracing, log });

  // Only the agent that has the port may touch the records of this folder: a second one fails before it.
  const address = await server.start(async () => {
    const record = book.readPreviousKeepalived();
    loadBalancers.adopt();
    keepalived.adopt(record);
    const self = readProcess(process.pid);
    if (self) book.writeAgent(self);
  });
  heartbeats.start();
  log.info({ host: address.address, port: address.port }, 'agent started');

  return {
    log,
    async stop() {
      heartbeats.stop();
      await server.stop();
      // At once: the peer takes the VIP within a tenth of a second, while keepalived lingers for a whole one.
      await Promise.all([keepalived.stop(), loadBalancers.stopAll()]);
      await (await tracing).stop().catch(() => undefined);
    },
  };
}

function readIni(configFile: string): Ini {
  const content = readIfThere(configFile);
  if (!content) throw new AgentStartError(`There is no configuration file ${configFile}.`, 78);
  try {
    return parseIni(content.toString('utf8'));
  } catch (error) {
    if (error instanceof IniError) throw new AgentStartError(`${configFile}: ${error.message}.`, 78, { cause: error });
    throw error;
  }
}
