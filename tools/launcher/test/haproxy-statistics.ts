import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

/** What HAProxy says that clients did, in the words of `loadbalancer stats show`. */
export interface Traffic {
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly total_connections: number;
  readonly request_errors: number;
}

export const NO_TRAFFIC: Traffic = { bytes_in: 0, bytes_out: 0, total_connections: 0, request_errors: 0 };

export function sum(one: Traffic, other: Traffic): Traffic {
  return {
    bytes_in: one.bytes_in + other.bytes_in,
    bytes_out: one.bytes_out + other.bytes_out,
    total_connections: one.total_connections + other.total_connections,
    request_errors: one.request_errors + other.request_errors,
  };
}

/** The worker process of an amphora's HAProxy: another one after a reload, whose counters begin at 0. */
export function workerOf(home: string, amphoraId: string): number {
  const pid = haproxyOf(home, amphoraId).workers.at(-1)?.pid;
  if (pid === undefined) throw new Error(`Amphora ${amphoraId} runs no HAProxy.`);
  return pid;
}

/** Asks HAProxy itself, on its own statistics socket, and adds up its frontends. */
export async function askHaproxy(home: string, amphoraId: string): Promise<Traffic> {
  const [head = '', ...lines] = (await ask(haproxyOf(home, amphoraId).statsSocket, 'show stat')).trim().split('\n');
  const columns = head.replace(/^# /, '').split(',');
  return lines
    .map((line) => line.split(','))
    .map((cells) => (name: string) => cells[columns.indexOf(name)] ?? '')
    .filter((cell) => cell('svname') === 'FRONTEND')
    .map((cell) => ({
      bytes_in: Number(cell('bin')),
      bytes_out: Number(cell('bout')),
      total_connections: Number(cell('stot')),
      request_errors: Number(cell('ereq')),
    }))
    .reduce(sum, NO_TRAFFIC);
}

interface Haproxy {
  readonly statsSocket: string;
  readonly workers: readonly { readonly pid: number }[];
}

function haproxyOf(home: string, amphoraId: string): Haproxy {
  const { haproxy } = JSON.parse(readFileSync(join(home, 'amphorae', amphoraId, 'processes.json'), 'utf8'));
  if (!haproxy[0]) throw new Error(`Amphora ${amphoraId} runs no HAProxy.`);
  return haproxy[0];
}

function ask(socketPath: string, command: string): Promise<string> {
  return new Promise((done, fail) => {
    const socket = connect(socketPath, () => socket.end(`${command}\n`));
    let answer = '';
    socket.on('data', (data) => {
      answer += data;
    });
    socket.on('end', () => done(answer));
    socket.on('error', fail);
  });
}
