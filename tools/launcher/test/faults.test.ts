import { execFileSync } from 'node:child_process';
import { chownSync, readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Attacker,
  agentPid,
  fillDisk,
  occupy,
  outcomes,
  pidOf,
  postmasterPid,
  residentMib,
  sightOf,
  Traffic,
  timesLogged,
} from './faults.ts';
import { Journey, plainUser } from './journey.ts';

const isRoot = process.getuid?.() === 0;
/** The heartbeat timeout of the installation is 4 s; a search for silent amphorae comes several times a second. */
const LONGER_THAN_TIMEOUT_MS = 5_000;
/** Of one test: each wait in it has a deadline of its own, which says what did not come. */
const TEST_LIMIT_MS = 240_000;
/** Room for the database, its log and the amphorae, in MiB. */
const DISK_MIB = 250;
const MAY_BIND_80 = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8')) <= 80;

/** What may go wrong on one machine, and what its user sees and can do. */
describe('a running installation', () => {
  process.env.FLOW_DEADLINE = '8s';
  const user = isRoot ? plainUser() : null;
  const journey = new Journey(user);
  const { home } = journey;
  let traffic: Traffic;
  let vip: string;

  beforeAll(async () => {
    if (user) {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m,mode=700`, 'tmpfs', home]);
      chownSync(home, user.uid, user.gid);
    }
    expect(await journey.npm('start', '--', '--detach')).toMatchObject({ code: 0 });
    const port = String(await journey.web('one'));
    await done('create', '--name', 'web', '--wait');
    await done(
      'listener',
      'create',
      '--name',
      'http',
      '--protocol',
      'HTTP',
      '--protocol-port',
      '8080',
      '--wait',
      'web',
    );
    const pool = ['--lb-algorithm', 'ROUND_ROBIN', '--listener', 'http', '--protocol', 'HTTP', '--name', 'p'];
    await done('pool', 'create', ...pool, '--wait');
    await done('member', 'create', '--address', '127.0.0.1', '--protocol-port', port, '--wait', 'p');
    vip = (await journey.json('loadbalancer', 'show', 'web')).vip_address;
    await journey.get();
    traffic = new Traffic(journey);
  }, 120_000);

  afterAll(async () => {
    await traffic?.end();
    await journey.npm('stop');
    if (user) execFileSync('umount', [home]);
    await journey.end();
  }, 120_000);

  /** A command that must succeed. */
  async function done(...args: string[]): Promise<void> {
    const { code, stderr } = await journey.ctl('loadbalancer', ...args);
    expect({ args, code, stderr: code === 0 ? '' : stderr }).toEqual({ args, code: 0, stderr: '' });
  }

  const show = (...args: string[]) => journey.json('loadbalancer', ...args);

  /** Takes the port of heartbeat-udp for the moment in which it is dead. The launcher may be quicker. */
  async function recordInItsPlace(attacker: Attacker, amphora: string): Promise<Buffer> {
    let recorded: Buffer | undefined;
    await journey.until('the port of heartbeat-udp', async () => {
      const killed = await pidOf(home, 'heartbeat-udp').catch(() => 0);
      if (killed === 0) return false;
      process.kill(killed, 'SIGKILL');
      await journey.until('it is gone', async () => (await pidOf(home, 'heartbeat-udp').catch(() => 0)) !== killed);
      recorded = await attacker.record(amphora).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') return undefined;
        throw error;
      });
      return recorded !== undefined;
    });
    if (!recorded) throw new Error('no heartbeat');
    return recorded;
  }

  async function spareIsReady(): Promise<void> {
    await journey.until('a spare is ready', async () => (await journey.amphorae('READY')).length > 0);
  }

  /** Ids of everything that serves, sorted. */
  const serving = async () => (await journey.amphorae('ALLOCATED')).sort();

  it(
    'refuses what cannot be, and says what to do',
    async () => {
      const member = ['member', 'create', '--protocol-port', '80'];
      const refused: [args: string[], code: number, words: RegExp][] = [
        [
          [...member, '--address', 'no.address', 'p'],
          2,
          /--address: must be an IPv4 or IPv6 address \[INVALID_ADDRESS\]/,
        ],
        [
          [...member, '--address', '127.0.0.1', '--weight', '257', 'p'],
          2,
          /--weight: must be 0 to 256 \[OUT_OF_RANGE\]/,
        ],
        [['create', '--name', 'x'.repeat(300)], 2, /--name: must have at most 255 characters \[TOO_LONG\]/],
        [
          ['show', '01a1f8e0-06d9-75de-9ee9-559d813aa000'],
          3,
          /There is no load balancer .* \[LOAD_BALANCER_NOT_FOUND\]/,
        ],
        [
          ['listener', 'create', '--protocol', 'HTTP', '--protocol-port', '8080', 'web'],
          1,
          /has a listener on port 8080 .* Choose another port\. \[LISTENER_PORT_TAKEN\]/,
        ],
        [['delete', 'web'], 1, /has listeners or pools\. Delete them first, or delete it with cascade\./],
      ];
      const outcome = await Promise.all(refused.map(([args]) => journey.ctl('loadbalancer', ...args)));
      for (const [index, [args, code, words]] of refused.entries()) {
        expect({ args, ...outcome[index] }).toMatchObject({ args, code, stderr: expect.stringMatching(words) });
      }
      expect(await show('list')).toHaveLength(1);
    },
    TEST_LIMIT_MS,
  );

  it(
    'tells that a port of the VIP is taken, serves the others, and takes the port once it is free',
    async () => {
      const taken = [await occupy(vip), await occupy('0.0.0.0')];
      traffic.take();
      for (const { port } of taken) {
        const create = ['listener', 'create', '--name', `l${port}`, '--protocol', 'TCP', '--protocol-port', `${port}`];
        const { code, stderr } = await journey.ctl('loadbalancer', ...create, '--wait', 'web');
        expect(code).toBe(1);
        expect(stderr).toContain(`address ${vip} port ${port}: another process of this machine has it.`);
        expect(stderr).toContain('stop that process and change the listener to try again');
        expect(await show('listener', 'show', `l${port}`)).toMatchObject({ provisioning_status: 'ERROR' });
      }
      expect(await show('show', 'web')).toMatchObject({ provisioning_status: 'ACTIVE' });
      for (const { port, free } of taken) {
        await free();
        await done('listener', 'set', `l${port}`, '--description', 'again', '--wait');
        expect(await show('listener', 'show', `l${port}`)).toMatchObject({ provisioning_status: 'ACTIVE' });
        await expect(occupy(vip, port)).rejects.toThrow('EADDRINUSE');
        await done('listener', 'delete', `l${port}`, '--wait');
      }
      const { failures, answers } = traffic.take();
      expect(failures).toEqual([]);
      expect(answers).toBeGreaterThan(10);
    },
    TEST_LIMIT_MS,
  );

  it.runIf((user ?? process.getuid?.()) && !MAY_BIND_80)(
    'tells a plain user that a port below 1024 is not theirs',
    async () => {
      const create = ['listener', 'create', '--name', 'low', '--protocol', 'HTTP', '--protocol-port', '80'];
      const { code, stderr } = await journey.ctl('loadbalancer', ...create, '--wait', 'web');
      expect(code).toBe(1);
      expect(stderr).toContain('port 80 needs root or CAP_NET_BIND_SERVICE: choose a port above 1023');
      await done('listener', 'delete', 'low', '--wait');
      expect(traffic.take().failures).toEqual([]);
    },
    TEST_LIMIT_MS,
  );

  it(
    'replaces an amphora whose agent hangs, and loses no change that was on its way',
    async () => {
      await spareIsReady();
      const before = await journey.amphora();
      process.kill(agentPid(home, before), 'SIGSTOP');
      await done('listener', 'set', 'http', '--description', 'while it hangs', '--wait');
      expect(await journey.amphora()).not.toBe(before);
      await journey.until('the old one is gone', async () => (await journey.processesOf(before)).length === 0);
      expect(await journey.get()).toBe('one');
      expect(await show('show', 'web')).toMatchObject({ provisioning_status: 'ACTIVE' });
    },
    TEST_LIMIT_MS,
  );

  it(
    'starts PostgreSQL again when it is killed, with flows on their way, and fails nothing over',
    async () => {
      const before = await serving();
      const { timesBlind } = sightOf(home);
      traffic.take();
      process.kill(postmasterPid(home), 'SIGKILL');
      // The first call comes while it is away.
      await done('create', '--name', 'during');
      process.kill(postmasterPid(home), 'SIGKILL');
      await journey.until('the flow went on', async () => {
        const { provisioning_status } = await show('show', 'during');
        return provisioning_status === 'ACTIVE';
      });
      await silenceIsJudged(timesBlind);
      expect(await serving()).toEqual(expect.arrayContaining(before));
      await done('delete', '--wait', 'during');
      expect(traffic.take().failures).toEqual([]);
    },
    TEST_LIMIT_MS,
  );

  /**
   * Once health has judged what it heard meanwhile: what it holds dead by then, it replaces. It may not have noticed a short outage;
   * then it has judged all the time.
   */
  async function silenceIsJudged(timesBlindBefore: number): Promise<void> {
    const from = performance.now();
    await journey.until('silence is judged', async () => {
      const { timesBlind, isJudging } = sightOf(home);
      const hasHadTime = timesBlind > timesBlindBefore || performance.now() - from > LONGER_THAN_TIMEOUT_MS;
      return isJudging && hasHadTime;
    });
  }

  it(
    'fails nothing over because heartbeat-udp, health or the worker were stopped for a while',
    async () => {
      const before = await serving();
      traffic.take();
      const { timesBlind } = sightOf(home);
      const timesReplaced = () => timesLogged(home, 'health', 'silent amphora is replaced');
      const replaced = timesReplaced();
      const services = await Promise.all(['heartbeat-udp', 'health', 'worker'].map((name) => pidOf(home, name)));
      const [listener, ...others] = services as [number, ...number[]];
      // The worker in the middle of a change.
      await done('create', '--name', 'stopped');
      for (const pid of others) process.kill(pid, 'SIGSTOP');
      // More than the lease of flows and shards, and more than the time-out of heartbeats.
      await new Promise((over) => setTimeout(over, 5_500));
      for (const pid of others) process.kill(pid, 'SIGCONT');
      process.kill(listener, 'SIGSTOP');
      await new Promise((over) => setTimeout(over, 4_500));
      process.kill(listener, 'SIGCONT');
      await silenceIsJudged(timesBlind);
      await journey.until('the change is done', async () => {
        return (await show('show', 'stopped')).provisioning_status === 'ACTIVE';
      });
      const now = await serving();
      expect(now).toEqual(expect.arrayContaining(before));
      expect(now).toHaveLength(before.length + 1);
      expect(timesReplaced()).toBe(replaced);
      await done('delete', '--wait', 'stopped');
      expect(traffic.take().failures).toEqual([]);
    },
    TEST_LIMIT_MS,
  );

  it(
    'takes no harm from heartbeats that are forged, cut, replayed or bombs',
    async () => {
      await spareIsReady();
      const amphora = await journey.amphora();
      const attacker = new Attacker(home);
      try {
        const recorded = await recordInItsPlace(attacker, amphora);
        await journey.until('heartbeat-udp is back', async () => ((await outcomes(home)).accepted ?? 0) > 2);
        const pid = await pidOf(home, 'heartbeat-udp');
        const [before, memory] = [await outcomes(home), residentMib(pid)];
        const statuses = await show('status', 'show', 'web');

        const bomb = attacker.seal(deflateSync(Buffer.alloc(40_000_000), { level: 9 }));
        const forged = Buffer.from(recorded);
        forged.set([(forged[10] ?? 0) ^ 1], 10);
        for (let i = 0; i < 100; i++) {
          await attacker.send(forged);
          await attacker.send(recorded.subarray(0, recorded.length - 7));
          await attacker.send(recorded.subarray(0, 20));
          await attacker.send(attacker.seal(Buffer.from('no zlib stream')));
          await attacker.send(attacker.seal(deflateSync('[]')));
          if (i % 10 === 0) await attacker.send(bomb);
        }
        for (let i = 0; i < 20_000; i++) await attacker.send(attacker.noise());
        await journey.until('the flood has been looked at', async () => {
          const now = await outcomes(home);
          return (now.accepted ?? 0) > (before.accepted ?? 0) + 4;
        });
        const after = await outcomes(home);
        const grown = (name: string) => (after[name] ?? 0) - (before[name] ?? 0);
        // The kernel may drop some of a flood.
        for (const name of ['bad_hmac', 'too_short', 'bad_inflate', 'not_object', 'too_large']) {
          expect({ name, isCounted: grown(name) > 0 }).toEqual({ name, isCounted: true });
        }
        expect(residentMib(pid) - memory).toBeLessThan(100);
        expect(await show('status', 'show', 'web')).toEqual(statuses);
        expect(await journey.amphora()).toBe(amphora);

        // What was recorded keeps no dead amphora alive.
        const replay = setInterval(() => void attacker.send(recorded), 50);
        const killedAt = performance.now();
        await journey.killAmphora(amphora);
        await journey.until(
          'a successor serves',
          async () => (await journey.amphora().catch(() => amphora)) !== amphora,
        );
        clearInterval(replay);
        expect(performance.now() - killedAt).toBeLessThan(30_000);
      } finally {
        attacker.close();
      }
    },
    TEST_LIMIT_MS,
  );

  it.runIf(isRoot)(
    'survives a full disk, says so, and goes on by itself when there is room again',
    async () => {
      await journey.until('it serves', async () => (await journey.get()) === 'one');
      traffic.take();
      const free = fillDisk(home);
      try {
        const set = ['listener', 'set', 'http', '--connection-limit', '1000', '--wait', '--wait-timeout', '4s'];
        const refused = await journey.ctl('loadbalancer', ...set);
        expect(refused.code).toBe(1);
        expect(refused.stderr).toMatch(/The disk of the (amphora|database) is full/);
        let full = '';
        await journey.until('the database says that it is full', async () => {
          const create = ['create', '--name', 'full', '--description', 'd'.repeat(250)];
          full = (await journey.ctl('loadbalancer', ...create)).stderr;
          return full.includes('[DATABASE_');
        });
        expect(full).toMatch(/The disk of the database is full\. Free some space on it|The database does not answer/);
        expect(traffic.take().failures).toEqual([]);
      } finally {
        free();
      }
      await journey.until('a change is taken', async () => {
        const set = ['listener', 'set', 'http', '--connection-limit', '2000', '--wait', '--wait-timeout', '20s'];
        return (await journey.ctl('loadbalancer', ...set)).code === 0;
      });
      expect(await show('show', 'web')).toMatchObject({ provisioning_status: 'ACTIVE' });
      expect(traffic.take().failures).toEqual([]);
    },
    TEST_LIMIT_MS,
  );

  it(
    'leaves nothing pending',
    async () => {
      await journey.until('all is settled', async () => {
        const all: { provisioning_status: string }[] = await show('list');
        return all.every(({ provisioning_status }) => !provisioning_status.startsWith('PENDING'));
      });
      const all: { id: string }[] = await show('list');
      await Promise.all(all.map(({ id }) => done('delete', '--cascade', '--wait', id)));
      expect(await show('list')).toEqual([]);
      await journey.until('only spares are left', async () => (await serving()).length === 0);
    },
    TEST_LIMIT_MS,
  );
});
