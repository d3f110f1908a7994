import { askHaproxy } from './cli-socket.ts';

/** Entries of one table are told in some tens of milliseconds, and taken at some twenty in a millisecond. */
const TIMEOUT_MS = 3_000;
/** More would keep the answer to a reload waiting. A table has 10,000 at most, one for each backend whose members clients stick to. */
const MAX_ENTRIES = 20_000;

/** A client that stays with a server. */
export interface Stuck {
  readonly backend: string;
  /** As HAProxy's command line shows and reads it, with its backslashes. */
  readonly key: string;
  readonly server: string;
}

/**
 * What the stick tables of a worker hold, when nobody else will tell its successor: HAProxy does that itself only among peers, and not in
 * the first five seconds after its start, in which it learns. Empty: nothing is held, or HAProxy tells it. @throws HaproxySilent
 */
export async function untaughtEntries(masterSocket: string): Promise<readonly Stuck[]> {
  const ask = (command: string) => askHaproxy(masterSocket, `@1 ${command}`, TIMEOUT_MS);
  const used = [...(await ask('show table')).matchAll(/^# table: (\S+), .*used:[1-9]/gm)].map(([, name = '']) => name);
  if (used.length === 0 || hasLearned(await ask('show peers'))) return [];
  const ids = await serverIds(masterSocket);
  const found: Stuck[] = [];
  for (const backend of used) {
    const names = new Map([...(ids.get(backend) ?? [])].map(([name, id]) => [id, name]));
    for (const { key, id, name } of entriesOf(await ask(`show table ${backend}`))) {
      const server = name === '-' ? names.get(id) : name;
      if (server !== undefined && found.length < MAX_ENTRIES) found.push({ backend, key, server });
    }
  }
  return found;
}

/**
 * Puts entries into the tables of the newest worker. Servers are found by name, as their numbers change with the configuration; entries of
 * backends and servers that are gone are left out. @throws HaproxySilent
 */
export async function putEntries(masterSocket: string, entries: readonly Stuck[]): Promise<void> {
  if (entries.length === 0) return;
  const ids = await serverIds(masterSocket);
  const commands = entries.flatMap(({ backend, key, server }) => {
    const id = ids.get(backend)?.get(server);
    return id === undefined ? [] : [`set table ${backend} key ${key} data.server_id ${id}`];
  });
  // The first line chooses the worker for those behind it.
  if (commands.length > 0) await askHaproxy(masterSocket, ['@1', ...commands].join('\n'), TIMEOUT_MS);
}

/** Whether a worker has peers and has learned from them, or given up: from then on it teaches. */
function hasLearned(peers: string): boolean {
  return peers.includes('resync_timeout=<PAST>');
}

/**
 * Keys that mean nothing but themselves on a command line: addresses, and cookies with a space or equals sign behind a backslash. Members
 * choose what is in cookies, and a semicolon would begin a command of theirs. A client with another key may change its member.
 */
const SAFE_KEY = /^(?:[\w:.~%+/!$&*@^|,(){}[\]-]|\\[ =])+$/;

function entriesOf(answer: string): readonly { readonly key: string; readonly id: string; readonly name: string }[] {
  const lines = answer.matchAll(/^0x\S+: key=((?:\\.|[^\s\\])+) .*server_id=(\d+)(?: server_key=(\S+))?/gm);
  return [...lines].flatMap(([, key = '', id = '', name = '-']) => (SAFE_KEY.test(key) ? [{ key, id, name }] : []));
}

/** Numbers of the newest worker's servers by name, by backend. */
async function serverIds(masterSocket: string): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
  const answer = await askHaproxy(masterSocket, '@1 show servers state', TIMEOUT_MS);
  const ids = new Map<string, Map<string, string>>();
  // Number and name of the backend, number and name of the server, and more.
  for (const [, backend = '', id = '', name = ''] of answer.matchAll(/^\d+ (\S+) (\d+) (\S+) /gm)) {
    const known = ids.get(backend) ?? new Map<string, string>();
    ids.set(backend, known.set(name, id));
  }
  return ids;
}
