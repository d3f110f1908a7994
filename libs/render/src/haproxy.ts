import type { AmphoraFacts, Listener, LoadBalancerTree } from '@octavia/domain';
import { backend } from './backend.ts';
import { checkFacts, HaproxyVersion } from './facts.ts';
import { connectionLimit, frontend } from './frontend.ts';
import { DEFAULT_HAPROXY_OPTIONS, type HaproxyOptions } from './options.ts';
import { peerName } from './peer-name.ts';
import { type Plan, type Problem, planOf } from './plan.ts';
import { isAddress, isUuid, quote, Section } from './text.ts';

/** Source: Octavia's limit on the global maxconn. */
const LARGEST_MAXCONN = 1_000_000;
/** TCP port on which HAProxy processes of a pair share their stick tables. */
const PEER_PORT = 1025;

/** The amphora that gets the file. */
export interface TargetAmphora {
  readonly id: string;
  readonly facts: AmphoraFacts;
}

/** An amphora in status ALLOCATED, the target included. */
export interface Peer {
  readonly id: string;
  readonly vrrpIp: string;
}

export interface Rendering {
  readonly text: string;
  /** What was left out because it cannot be written. */
  readonly problems: readonly Problem[];
}

/**
 * Renders a load balancer for one amphora of it: the same text for the same arguments. Left out are disabled listeners and
 * pools, what `isRendered` leaves out, and what `problems` names.
 * @param peers the allocated amphorae of the load balancer; used in ACTIVE_STANDBY only
 * @throws AmphoraFactsInvalid
 */
export function renderHaproxy(
  tree: LoadBalancerTree,
  amphora: TargetAmphora,
  peers: readonly Peer[] = [],
  overrides: Partial<HaproxyOptions> = {},
): Rendering {
  const { loadBalancer } = tree;
  if (!isUuid(loadBalancer.id)) throw new Error('The id of a load balancer must be a UUID.');
  const options = { ...DEFAULT_HAPROXY_OPTIONS, ...overrides };
  const plan = planOf(tree);
  const logs = options.connectionLogging && amphora.facts.platform.logSocket !== null;
  const sections = [
    `# Configuration for loadbalancer ${loadBalancer.id}\n${globalSection(loadBalancer.id, amphora, plan, options)}`,
    defaultsSection(amphora.facts, options),
  ];
  const group = loadBalancer.topology === 'ACTIVE_STANDBY' ? peersSection(loadBalancer.id, peers) : null;
  if (group) sections.push(group.text);
  const context = {
    options,
    version: new HaproxyVersion(amphora.facts.haproxyVersion),
    stickTablePeers: group ? ` peers ${group.name}` : '',
  };
  for (const listener of plan.listeners) {
    sections.push(frontend(loadBalancer, plan.vip, listener, { ...options, logs }));
    if (listener.pool) sections.push(backend(listener, listener.pool, context));
  }
  return { text: sections.join('\n'), problems: plan.problems };
}

function globalSection(
  loadBalancerId: string,
  { id, facts }: TargetAmphora,
  plan: Plan,
  options: HaproxyOptions,
): string {
  const { platform } = facts;
  const version = new HaproxyVersion(facts.haproxyVersion);
  const statsSocket = `${platform.socketPath}/${loadBalancerId}.sock`;
  checkFacts(id, facts, statsSocket);
  const section = new Section('global').add('daemon');
  if (platform.user !== null) section.add('user', platform.user);
  if (platform.logSocket !== null) {
    const socket = quote(platform.logSocket);
    section
      .add('log', socket, `local${options.userLogFacility}`)
      .add('log', socket, `local${options.administrativeLogFacility} notice`);
  }
  // Written as it stands, not quoted: the agent reads this path back by itself.
  section.add('stats socket', statsSocket, 'mode 0666 level user');
  if (version.atLeast(1, 6)) {
    section.add('server-state-file', quote(`${platform.basePath}/${loadBalancerId}/servers-state`));
  }
  section.add('maxconn', globalMaxconn(plan.enabledListeners, options));
  if (platform.exclusiveBind) section.add('noreuseport');
  if (!platform.strictLimits) section.add('no strict-limits');
  if (facts.activeTunedProfiles.includes('amphora') && facts.cpuCount !== null && facts.cpuCount > 1) {
    const threads = facts.cpuCount - 1;
    section.add('nbthread', threads).add(`cpu-map auto:1/1-${threads} 1-${threads}`);
  }
  if (plan.listeners.some(({ pool }) => pool?.monitor?.type === 'PING')) {
    section.add('external-check');
    if (version.atLeast(2, 2)) section.add('insecure-fork-wanted');
  }
  return section.text();
}

function globalMaxconn(listeners: readonly Listener[], options: HaproxyOptions): number {
  const sum = listeners.reduce((total, listener) => total + connectionLimit(listener, options), 0);
  return sum > 0 && sum < LARGEST_MAXCONN ? sum : LARGEST_MAXCONN;
}

function defaultsSection({ platform }: AmphoraFacts, { connectionLogging }: HaproxyOptions): string {
  const section = new Section('defaults');
  if (platform.logSocket !== null) section.add(connectionLogging ? 'log global' : 'no log');
  return section
    .add('retries 3')
    .add('option redispatch')
    .add('option splice-request')
    .add('option splice-response')
    .add('option http-keep-alive')
    .text();
}

function peersSection(loadBalancerId: string, peers: readonly Peer[]): { name: string; text: string } | null {
  const reachable = peers.filter((peer) => isAddress(peer.vrrpIp));
  if (reachable.length === 0) return null;
  const name = `${loadBalancerId.replaceAll('-', '')}_peers`;
  const section = new Section(`peers ${name}`);
  for (const peer of reachable) section.add('peer', peerName(peer.id), `${peer.vrrpIp}:${PEER_PORT}`);
  return { name, text: section.text() };
}
