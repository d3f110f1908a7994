import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Home, readIfThere, writeWhole } from './home.ts';

/** Blocks of ports lie below the range from which Linux takes ports of outgoing connections (32768). */
const FIRST_PORT = 20_000;
const BLOCK_SIZE = 16;
const BLOCK_COUNT = 750;

/** TCP ports of an installation, all on 127.0.0.1; the heartbeat port is UDP. */
const PORT_NAMES = [
  'apiGateway',
  'worker',
  'health',
  'heartbeatUdp',
  'housekeeping',
  'heartbeats',
  'postgres',
  'apiGatewayMetrics',
  'workerMetrics',
  'healthMetrics',
  'heartbeatUdpMetrics',
  'housekeepingMetrics',
] as const;
export type PortName = (typeof PORT_NAMES)[number];

/** What amphorae are: processes on loopback addresses, or network namespaces, which need root. Source: LOCAL_MODE of the worker. */
export const MODES = ['loopback', 'namespaces'] as const;
export type Mode = (typeof MODES)[number];

/** What makes this installation different from another on the same machine. */
export interface Installation {
  readonly format: 1;
  /** UUID; ports, subnets and folder names are derived from it. */
  readonly id: string;
  readonly ports: Readonly<Record<PortName, number>>;
  readonly mode: Mode;
  /** Folder for sockets, short: a socket's path has at most 107 bytes. */
  readonly runtimeFolder: string;
}

/**
 * Reads the installation of a data folder, or makes one with ports that are free now.
 * @param mode as wanted now; null: as it was, and loopback at first
 * @throws Error when there are amphorae of another mode
 */
export async function openInstallation(home: Home, mode: Mode | null = null): Promise<Installation> {
  const known = await knownInstallation(home);
  if (known) return mode === null || mode === known.mode ? known : changeMode(home, known, mode);
  const id = randomUUID();
  const short = id.slice(0, 8);
  const installation: Installation = {
    format: 1,
    id,
    mode: mode ?? 'loopback',
    ports: await freePorts(id),
    runtimeFolder: process.getuid?.() === 0 ? `/run/octavia-${short}` : `/tmp/octavia-${short}`,
  };
  await writeWhole(fileOf(home), `${JSON.stringify(installation, null, 2)}\n`);
  return installation;
}

/** Addresses of one mode are of no use in the other, so amphorae and VIPs keep the mode in which they were made. */
async function changeMode(home: Home, known: Installation, mode: Mode): Promise<Installation> {
  const made = [home.amphorae, join(home.path, 'network', 'vips')];
  const found = (await Promise.all(made.map((folder) => readdir(folder).catch(() => [])))).flat();
  if (found.length > 0) {
    throw new Error(
      `The installation in ${home.path} is in ${known.mode} mode and has amphorae, so it cannot be started in ${mode} mode. ` +
        'Start it without --mode, or name another data folder with OCTAVIA_HOME.',
    );
  }
  const changed = { ...known, mode };
  await writeWhole(fileOf(home), `${JSON.stringify(changed, null, 2)}\n`);
  return changed;
}

const fileOf = (home: Home): string => join(home.path, 'installation.json');

/** The installation of a data folder; null: it has none yet. @throws Error when its file cannot be understood */
export async function knownInstallation(home: Home): Promise<Installation | null> {
  const text = await readIfThere(fileOf(home));
  if (text === null) return null;
  try {
    return { mode: 'loopback', ...JSON.parse(text) }; // Files that are older than modes say nothing of it.
  } catch (cause) {
    throw new Error(
      `${fileOf(home)} is damaged (${(cause as Error).message}). Put it back from a backup: its id is also in the database.`,
      { cause },
    );
  }
}

/** @throws Error naming every port of ours that something else uses. PostgreSQL's is left out: it may run already, and be ours. */
export async function checkPorts(home: Home, { ports }: Installation): Promise<void> {
  const taken: string[] = [];
  for (const name of PORT_NAMES) {
    if (name === 'postgres') continue;
    const isUdp = name === 'heartbeats';
    if (!(await (isUdp ? isFreeUdp(ports[name]) : isFree(ports[name])))) {
      taken.push(`${isUdp ? 'UDP' : 'TCP'} port ${ports[name]} (${name})`);
    }
  }
  if (taken.length === 0) return;
  throw new Error(
    `In use on 127.0.0.1: ${taken.join(', ')}. Stop what uses it (ss -lntup shows it), or write another port into ${fileOf(home)}, ` +
      'then start again. Nothing was started.',
  );
}

async function freePorts(id: string): Promise<Record<PortName, number>> {
  const start = createHash('sha256').update(id).digest().readUInt32BE();
  for (let attempt = 0; attempt < BLOCK_COUNT; attempt++) {
    const first = FIRST_PORT + ((start + attempt) % BLOCK_COUNT) * BLOCK_SIZE;
    const ports = PORT_NAMES.map((name, index) => [name, first + index] as const);
    const free = await Promise.all(ports.map(([, port]) => isFree(port)));
    if (free.every(Boolean)) return Object.fromEntries(ports) as Record<PortName, number>;
  }
  throw new Error(`No block of ${BLOCK_SIZE} free ports from ${FIRST_PORT} on. Stop what uses them.`);
}

/** Whether a TCP port of 127.0.0.1 is free at this moment. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => done(true)));
  });
}

function isFreeUdp(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = createSocket('udp4');
    socket.once('error', () => done(false));
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => socket.close(() => done(true)));
  });
}

/** Secrets of an installation, each in a file of its own (0600), made once. */
export interface Secrets {
  readonly databasePassword: string;
  readonly heartbeatKeyFile: string;
  readonly secretsKeyFile: string;
}

export async function openSecrets(home: Home): Promise<Secrets> {
  const heartbeatKeyFile = join(home.secrets, 'heartbeat.key');
  const secretsKeyFile = join(home.secrets, 'secrets.keys');
  // Letters, digits, - and _ only: foreign agents' configuration format mangles other characters.
  await once(heartbeatKeyFile, () => randomBytes(32).toString('base64url'));
  await once(secretsKeyFile, () => `key-1:${randomBytes(32).toString('base64')}`);
  const databasePassword = await once(join(home.secrets, 'database-password'), () =>
    randomBytes(24).toString('base64url'),
  );
  return { databasePassword, heartbeatKeyFile, secretsKeyFile };
}

async function once(file: string, make: () => string): Promise<string> {
  const found = await readIfThere(file);
  if (found !== null) return found.trim();
  const made = make();
  await writeWhole(file, `${made}\n`);
  return made;
}
