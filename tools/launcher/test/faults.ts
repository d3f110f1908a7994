import { createHmac, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { closeSync, openSync, readFileSync, statfsSync, unlinkSync, writeSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { processesOf } from '../src/processes.ts';
import type { Journey } from './journey.ts';

/** Asks again and again, and counts what went wrong. */
export class Traffic {
  readonly #journey: Journey;
  #isOn = true;
  #failures: string[] = [];
  #answers = 0;
  readonly #running: Promise<void>;

  constructor(journey: Journey) {
    this.#journey = journey;
    this.#running = this.#run();
  }

  /** Since the last look. */
  take(): { failures: string[]; answers: number } {
    const seen = { failures: this.#failures, answers: this.#answers };
    this.#failures = [];
    this.#answers = 0;
    return seen;
  }

  async end(): Promise<void> {
    this.#isOn = false;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#isOn) {
      await this.#journey.get().then(
        () => {
          this.#answers++;
        },
        (error: Error) => this.#failures.push(error.message),
      );
      await new Promise((done) => setTimeout(done, 10));
    }
  }
}

/** A foreign process's port. 0: the system chooses. */
export async function occupy(host: string, port = 0): Promise<{ port: number; free(): Promise<void> }> {
  const server: Server = createServer((socket) => socket.destroy());
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen({ host, port, exclusive: true }, done);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { port: address.port, free: () => new Promise((done) => server.close(() => done())) };
}

/** Pid of one of our services. */
export async function pidOf(home: string, service: string): Promise<number> {
  const all = await processesOf(home);
  const found = all.find(({ command }) => command.includes(`/apps/${service}/dist/main.js`));
  if (!found) throw new Error(`${service} does not run.`);
  return found.pid;
}

export function agentPid(home: string, amphoraId: string): number {
  return Number(readFileSync(join(home, 'amphorae', amphoraId, 'agent.pid'), 'utf8').split(' ')[0]);
}

export function postmasterPid(home: string): number {
  return Number(readFileSync(join(home, 'postgres/data/postmaster.pid'), 'utf8').split('\n')[0]);
}

/** How often a text is in the log of a service. */
export function timesLogged(home: string, service: string, text: string): number {
  return readFileSync(join(home, 'logs', `${service}.log`), 'utf8').split(text).length - 1;
}

/** How often health was blind so far, and whether it judges silence now. */
export function sightOf(home: string): { timesBlind: number; isJudging: boolean } {
  const log = readFileSync(join(home, 'logs/health.log'), 'utf8');
  const [blind, judging] = ['silence is not judged', 'silence is judged'];
  return {
    timesBlind: log.split(blind).length - 1,
    isJudging: log.lastIndexOf(judging) > log.lastIndexOf(blind),
  };
}

export function portsOf(home: string): Record<string, number> {
  return JSON.parse(readFileSync(join(home, 'installation.json'), 'utf8')).ports;
}

/** Resident memory of a process, in MiB. */
export function residentMib(pid: number): number {
  const [, kib] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}

/** Datagrams to heartbeat-udp, as an attacker would send them. */
export class Attacker {
  readonly #socket = createSocket('udp4');
  readonly #port: number;
  readonly #key: string;

  constructor(home: string) {
    this.#port = portsOf(home).heartbeats ?? 0;
    this.#key = readFileSync(join(home, 'secrets/heartbeat.key'), 'utf8').trim();
  }

  send(datagram: Buffer): Promise<void> {
    return new Promise((done, fail) =>
      this.#socket.send(datagram, this.#port, '127.0.0.1', (error) => (error ? fail(error) : done())),
    );
  }

  /** Signed with the real key: whoever owns one amphora can do that. */
  seal(bytes: Buffer): Buffer {
    return Buffer.concat([bytes, Buffer.from(createHmac('sha256', this.#key).update(bytes).digest('hex'))]);
  }

  /** Noise of the length of a heartbeat. */
  noise(): Buffer {
    return randomBytes(366);
  }

  /** What an amphora sent to us in the place of heartbeat-udp, which must not run just now. */
  async record(amphoraId: string): Promise<Buffer> {
    const ear = createSocket('udp4');
    try {
      await new Promise<void>((done, fail) => {
        ear.once('error', fail);
        ear.bind(this.#port, '127.0.0.1', done);
      });
      return await new Promise<Buffer>((done) => {
        ear.on('message', (datagram) => {
          if (inflateSync(datagram.subarray(0, -64)).toString().includes(amphoraId)) done(datagram);
        });
      });
    } finally {
      ear.close();
    }
  }

  close(): void {
    this.#socket.close();
  }
}

/** Datagrams by outcome, as Prometheus scrapes them. */
export async function outcomes(home: string): Promise<Record<string, number>> {
  const response = await fetch(`http://127.0.0.1:${portsOf(home).heartbeatUdpMetrics}/metrics`);
  const found = (await response.text()).matchAll(/^octavia_heartbeat_packets\w*\{[^}]*outcome="(\w+)"[^}]*\} (\d+)/gm);
  return Object.fromEntries([...found].map(([, outcome, count]) => [outcome, Number(count)]));
}

/** Writes until the disk of the folder is full. Returns how to free it. */
export function fillDisk(folder: string): () => void {
  const path = join(folder, '.filler');
  const file = openSync(path, 'w');
  try {
    for (const size of [1_048_576, 4_096, 512]) writeUntilFull(file, Buffer.alloc(size, 1));
  } finally {
    closeSync(file);
  }
  if (statfsSync(folder).bavail > 0) throw new Error('The disk is not full.');
  return () => unlinkSync(path);
}

function writeUntilFull(file: number, block: Buffer): void {
  try {
    while (writeSync(file, block) === block.length);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}
