/** Finds and reads the connection file: where the controller is, and who we are. */
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { CliError, EXIT } from '../errors.ts';

const FILE_NAME = 'octaviactl.json';
/** Where an installation by root keeps its data. */
const SYSTEM_HOME = '/var/lib/octavia-controller';
const START_HINT = 'Is the controller running? Start it with: npm start';

/** What the connection file says. The files' paths are absolute. */
export interface ConnectionFile {
  /** The connection file itself. */
  readonly path: string;
  /** host:port of the api-gateway. */
  readonly address: string;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly projectId: string;
  readonly userId: string;
  readonly roles: readonly string[];
}

/** Where to look, and by whose word. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** The clone that this command line belongs to. */
  readonly clone: string;
}

/**
 * Finds the connection file: `named`, OCTAVIACTL_CONFIG, $OCTAVIA_HOME, `.octavia` of this folder and those above it,
 * `.octavia` of the clone, the system's. A place that was named must have it: a command never goes to another
 * controller than the one that was meant.
 * @throws CliError CONNECTION_FILE_MISSING, CONNECTION_FILE_UNREADABLE or CONNECTION_FILE_BAD
 */
export function findConnectionFile(named: string | undefined, { env, cwd, clone }: Surroundings): ConnectionFile {
  const home = env.OCTAVIA_HOME ? join(env.OCTAVIA_HOME, FILE_NAME) : undefined;
  const chosen = named ?? (env.OCTAVIACTL_CONFIG || undefined) ?? home;
  if (chosen !== undefined) {
    const path = resolve(cwd, chosen);
    const found = readIfPresent(path);
    if (found) return found;
    throw missing(`There is no connection file ${path}.`);
  }
  const places = [...foldersUpFrom(cwd), clone].map((folder) => join(folder, '.octavia', FILE_NAME));
  places.push(join(SYSTEM_HOME, FILE_NAME));
  for (const path of new Set(places)) {
    const found = readIfPresent(path);
    if (found) return found;
  }
  throw missing(
    `There is no connection file: neither .octavia/${FILE_NAME} from here up, nor in ${clone}, nor in ${SYSTEM_HOME}.`,
  );
}

function missing(message: string): CliError {
  return new CliError(message, {
    exitCode: EXIT.cannotConnect,
    reason: 'CONNECTION_FILE_MISSING',
    hint: `${START_HINT}, or name the file with --config.`,
  });
}

function foldersUpFrom(folder: string): string[] {
  const parent = dirname(folder);
  return parent === folder ? [folder] : [folder, ...foldersUpFrom(parent)];
}

function readIfPresent(path: string): ConnectionFile | undefined {
  const text = readPrivate(path);
  return text === undefined ? undefined : parse(path, text.toString('utf8'));
}

/** Reads a file of the connection; undefined when there is none. @throws CliError when this user may not */
export function readPrivate(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new CliError(`The user ${userName()} cannot read ${path} (${code}).`, {
      exitCode: EXIT.cannotConnect,
      reason: 'CONNECTION_FILE_UNREADABLE',
      hint: 'Run octaviactl as the user who started the controller, or name another file with --config.',
    });
  }
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown'); // A uid that has no name, as in containers.
  }
}

function parse(path: string, text: string): ConnectionFile {
  const folder = dirname(path);
  const faults: string[] = [];
  let values: Record<string, unknown> = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) values = parsed as Record<string, unknown>;
  } catch {
    faults.push('it is not JSON');
  }
  const read = (key: string): string => {
    const value = values[key];
    if (typeof value === 'string' && value !== '') return value;
    faults.push(`${key} is missing`);
    return '';
  };
  const roles = Array.isArray(values.roles) ? values.roles.filter((role) => typeof role === 'string') : [];
  const file = {
    path,
    address: read('address'),
    caFile: resolve(folder, read('ca_file')),
    certFile: resolve(folder, read('cert_file')),
    keyFile: resolve(folder, read('key_file')),
    projectId: read('project_id'),
    userId: read('user_id'),
    roles,
  };
  if (faults.length === 0) return file;
  throw new CliError(`The connection file ${path} is no good: ${faults.join(', ')}.`, {
    exitCode: EXIT.cannotConnect,
    reason: 'CONNECTION_FILE_BAD',
    hint: 'Remove it and start the controller again (npm start): that writes it anew.',
  });
}
