import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Api } from './api.ts';
import { Balancer, deleteLeftovers, PORT } from './balancer.ts';
import { happeningsOf } from './events.ts';
import type { Figures } from './figures.ts';
import { count, inWords, type Narrator } from './narrator.ts';
import { promise } from './problem.ts';
import { killHard, processesOf } from './processes.ts';
import { connect, readySystem, startSystem, stopSystem } from './system.ts';
import { firstGoodAt, isComplete, type Killing, type Timeline, timelineOf } from './timeline.ts';
import { type Answer, ask, askMany, Prober, type Spread, spreadOf, type Target } from './traffic.ts';
import { until } from './wait.ts';
import { WebServer } from './web-servers.ts';

const SERVERS = ['one', 'two', 'three'] as const;
/** The one that is stopped. */
const VICTIM = 'two';
const REQUESTS = 300;
/** The monitor finds a dead member after two checks, one a second; the next heartbeat tells. Five times that. */
const MEMBER_LIMIT_MS = 20_000;
/** With a spare a failover takes about 5 s, nearly all of it silence that is waited out; without one, a build more. */
const FAILOVER_LIMIT_MS = 60_000;
/** How long good requests are watched before the killing, and after it. */
const STEADY_MS = 500;

/** What the demo needs, and what it leaves behind on its way. */
export interface Stage {
  readonly home: string;
  readonly narrator: Narrator;
  readonly signal: AbortSignal;
  readonly figures: Figures;
  /** Undone in reverse order, whatever happens. */
  readonly undo: (() => Promise<void>)[];
}

/** The whole demo. @throws Problem when something did not happen as promised; the signal's reason when it is interrupted */
export async function play(stage: Stage): Promise<void> {
  const api = await openSystem(stage);
  const servers = await openWebServers(stage);
  const balancer = await build(stage, api, servers);
  const target = { host: balancer.vip, port: PORT };
  await spread(stage, target);
  await loseMember(stage, balancer, target, servers);
  await loseAmphora(stage, api, balancer, target);
}

async function openSystem({ home, narrator, signal, figures, undo }: Stage): Promise<Api> {
  narrator.act('The controller');
  let api = await connect(home);
  if (!api) {
    narrator.line('   It is not up, so it is started, and stopped again at the end.');
    const startedAt = performance.now();
    await startSystem();
    undo.push(async () => {
      await stopSystem();
      narrator.saw('controller', 'stopped, because the demo had started it');
    });
    figures.started_ms = Math.round(performance.now() - startedAt);
    narrator.saw('started in', inWords(figures.started_ms));
    api = await connect(home);
    promise(api !== null, `It started, and does not answer. Its logs are in ${join(home, 'logs')}.`);
  }
  const opened = api as Api;
  undo.push(async () => opened.close());
  const left = await deleteLeftovers(opened);
  if (left > 0) narrator.saw('left over', `${count(left, 'load balancer')} of a demo that was killed: deleted`);
  const status = await readySystem(opened, signal);
  promise(
    status.drivers.compute === 'local' && status.drivers.amphora === 'haproxy',
    'The demo kills processes of this machine, so it needs COMPUTE_DRIVER=local and AMPHORA_DRIVER=haproxy.',
  );
  narrator.saw('up', `${status.services.length} services, ${status.database}`);
  narrator.saw('spares', `${count(status.sparesReady, 'amphora').replace('amphoras', 'amphorae')} ready`);
  return opened;
}

async function openWebServers({ narrator, undo }: Stage): Promise<readonly WebServer[]> {
  narrator.act('A load balancer in front of three web servers');
  const servers = SERVERS.map((name) => new WebServer(name));
  undo.push(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    narrator.saw('web servers', 'stopped');
  });
  for (const server of servers) await server.start();
  narrator.saw('web servers', servers.map(({ name, port }) => `${name} on 127.0.0.1:${port}`).join(' · '));
  return servers;
}

async function build(stage: Stage, api: Api, servers: readonly WebServer[]): Promise<Balancer> {
  const { narrator, signal, figures, undo } = stage;
  const startedAt = performance.now();
  const since = (): number => Math.round(performance.now() - startedAt);
  const balancer = await Balancer.create(api, signal);
  undo.push(async () => {
    await balancer.delete();
    narrator.saw('load balancer', 'deleted');
  });
  const calls = 1 + (await balancer.addAll(servers));
  const answeredMs = since();
  narrator.saw('asked for', `load balancer, listener, pool, ${servers.length} members, health monitor`);
  narrator.saw('answered', `${calls} calls in ${inWords(answeredMs)}; the address is ${balancer.vip}`);
  await balancer.active();
  const activeMs = since();
  narrator.saw('ACTIVE', `everything, after ${inWords(activeMs)}`);
  const target = { host: balancer.vip, port: PORT };
  const wait = { what: 'the first good request', limitMs: MEMBER_LIMIT_MS, everyMs: 5, signal };
  await until(wait, async () => ((await ask(target)).by !== null ? true : undefined));
  const firstMs = since();
  narrator.saw('first request', `answered after ${inWords(firstMs)}, counted from the first call`);
  figures.create = { calls, answered_ms: answeredMs, active_ms: activeMs, first_good_request_ms: firstMs };
  await balancer.online();
  return balancer;
}

async function spread({ narrator, signal, figures }: Stage, target: Target): Promise<void> {
  narrator.act('Requests are spread over the members');
  figures.spread = spreadOf(await askMany(target, REQUESTS, signal), SERVERS);
  narrator.saw(`${REQUESTS} requests`, inRow(figures.spread));
  promise(isEven(figures.spread, SERVERS), 'Each of the three should have answered a third of the requests.');
}

async function loseMember(
  { narrator, signal, figures }: Stage,
  balancer: Balancer,
  target: Target,
  servers: readonly WebServer[],
): Promise<void> {
  const victim = servers.find(({ name }) => name === VICTIM);
  promise(victim !== undefined, `There is no web server ${VICTIM}.`);
  narrator.act(`Web server "${VICTIM}" stops, and comes back`);
  const prober = new Prober(target).start();
  let meanwhile: Spread;
  let seen: { readonly memberMs: number; readonly loadBalancerMs: number };
  try {
    await victim?.stop();
    seen = await balancer.statuses(VICTIM, 'ERROR', 'DEGRADED', MEMBER_LIMIT_MS);
  } finally {
    meanwhile = spreadOf(await prober.stop(), SERVERS);
  }
  const ok = sum(meanwhile);
  narrator.saw(`member ${VICTIM}`, `ERROR after ${inWords(seen.memberMs)}`);
  narrator.saw('load balancer', 'DEGRADED');
  narrator.saw('until then', `${ok} requests answered, ${meanwhile.failed} failed`);
  const without = spreadOf(await askMany(target, REQUESTS, signal), SERVERS);
  narrator.saw(`${REQUESTS} requests`, inRow(without));
  const left = SERVERS.filter((name) => name !== VICTIM);
  promise(without.answered[VICTIM] === 0 && isEven(without, left), 'The other two should have answered everything.');
  figures.member_stopped = {
    error_ms: seen.memberMs,
    degraded_ms: seen.loadBalancerMs,
    requests_meanwhile: { ok, failed: meanwhile.failed },
    spread: without,
  };
  await victim?.start();
  const { memberMs } = await balancer.statuses(VICTIM, 'ONLINE', 'ONLINE', MEMBER_LIMIT_MS);
  narrator.saw(`member ${VICTIM}`, `started again: ONLINE after ${inWords(memberMs)}, and so is the load balancer`);
  const again = spreadOf(await askMany(target, REQUESTS, signal), SERVERS);
  narrator.saw(`${REQUESTS} requests`, inRow(again));
  promise(isEven(again, SERVERS), 'Each of the three should have answered a third of the requests.');
  figures.member_back = { online_ms: memberMs, spread: again };
}

async function loseAmphora(stage: Stage, api: Api, balancer: Balancer, target: Target): Promise<void> {
  const { home, narrator, signal, figures } = stage;
  const { sparesReady } = await readySystem(api, signal);
  const old = await balancer.amphora();
  promise(old !== undefined, 'No amphora serves the load balancer.');
  const oldAmphoraId = old?.id ?? '';
  const folder = join(home, 'amphorae', oldAmphoraId);
  const pids = processesOf(folder);
  promise(pids.length > 0, `No process of amphora ${oldAmphoraId} is found on this machine.`);
  narrator.act('kill -9 of the amphora, under load');
  const prober = new Prober(target);
  narrator.saw('load', `a request every ${prober.everyMs} ms, each on a new connection`);
  prober.start();
  let answers: Answer[] = [];
  let happened: { readonly killing: Killing; readonly newAmphoraId: string };
  try {
    await warmUp(prober, signal);
    const killedAt = Date.now();
    killHard(pids);
    narrator.saw(
      'killed',
      `${count(pids.length, 'process').replace('processs', 'processes')} of amphora ${oldAmphoraId}`,
    );
    happened = await waitForSuccessor(stage, balancer, prober, oldAmphoraId, killedAt);
    await sleep(STEADY_MS, undefined, { signal });
  } finally {
    answers = await prober.stop();
  }
  const { killing } = happened;
  const wait = { what: 'the controller has told the milestones', limitMs: MEMBER_LIMIT_MS, everyMs: 50, signal };
  const { found } = await until(wait, async () => {
    const happenings = await happeningsOf(api, balancer.id);
    return isComplete(killing, happenings) ? happenings : undefined;
  });
  const timeline = timelineOf(killing, found, answers);
  promise(
    timeline.requests_failed === spreadOf(answers, SERVERS).failed,
    'Requests failed before the killing, or again after it.',
  );
  figures.failover = { processes_killed: pids.length, had_spare: sparesReady > 0, ...timeline };
  tellTimeline(narrator, timeline, sparesReady > 0);
  narrator.saw('serves now', `amphora ${happened.newAmphoraId}`);
  promise(processesOf(folder).length === 0, 'Processes of the old amphora still run.');
  await balancer.active();
}

async function warmUp(prober: Prober, signal: AbortSignal): Promise<void> {
  const enough = STEADY_MS / prober.everyMs / 2;
  const wait = { what: 'requests are answered', limitMs: MEMBER_LIMIT_MS, everyMs: STEADY_MS, signal };
  await until(wait, async () => (prober.answers.filter(({ by }) => by !== null).length > enough ? true : undefined));
}

/** Waits until another amphora is allocated and clients are answered again. */
async function waitForSuccessor(
  { signal }: Stage,
  balancer: Balancer,
  prober: Prober,
  oldAmphoraId: string,
  killedAt: number,
): Promise<{ readonly killing: Killing; readonly newAmphoraId: string }> {
  const wait = { what: 'another amphora serves', limitMs: FAILOVER_LIMIT_MS, everyMs: 100, signal };
  const { found } = await until(wait, async () => {
    if (firstGoodAt(killedAt, prober.answers) === undefined) return undefined;
    const amphora = await balancer.amphora();
    return amphora && amphora.id !== oldAmphoraId ? amphora.id : undefined;
  });
  return { newAmphoraId: found, killing: { at: killedAt, oldAmphoraId, newAmphoraId: found } };
}

function tellTimeline(narrator: Narrator, timeline: Timeline, hadSpare: boolean): void {
  const silence = inWords(timeline.declared_dead_ms - timeline.last_heartbeat_ms);
  const milestones: [ms: number, text: string][] = [
    [timeline.last_heartbeat_ms, 'last heartbeat of the amphora'],
    [0, 'kill -9'],
    [timeline.first_failed_request_ms, 'first request that fails'],
    [timeline.declared_dead_ms, `declared dead, after ${silence} without a heartbeat`],
    [timeline.fenced_ms, 'fenced: nothing of it can answer any more'],
    [timeline.vip_moved_ms, `VIP moved to ${hadSpare ? 'a spare' : 'a new amphora'}`],
    [timeline.first_good_request_ms, 'first good request'],
    [timeline.configuration_pushed_ms, 'its agent has confirmed the configuration'],
  ];
  narrator.line('');
  for (const [ms, text] of milestones.sort(([one], [other]) => one - other)) {
    narrator.line(`   ${`${ms > 0 ? '+' : ''}${ms} ms`.padStart(11)}   ${text}`);
  }
  narrator.line('');
  const gap = inWords(timeline.first_good_request_ms - timeline.first_failed_request_ms);
  const { requests_failed: failed, requests_ok: ok } = timeline;
  narrator.saw('requests', `${failed} failed in ${gap}; before and after, all ${ok} were answered`);
}

function inRow({ answered, failed }: Spread): string {
  return [...Object.entries({ ...answered, failed })].map(([name, number]) => `${name} ${number}`).join(' · ');
}

function sum({ answered }: Spread): number {
  return Object.values(answered).reduce((total, number) => total + number, 0);
}

/** Whether nothing failed and each of `names` answered its part, give or take a twentieth: HAProxy's threads take turns apart. */
function isEven(spread: Spread, names: readonly string[]): boolean {
  const part = sum(spread) / names.length;
  return spread.failed === 0 && names.every((name) => Math.abs((spread.answered[name] ?? 0) - part) <= part / 20);
}
