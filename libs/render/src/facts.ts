/** What the amphora said of itself, checked: it is foreign text as well. */
import { type AmphoraFacts, DomainError } from '@octavia/domain';
import { isIntegerBetween, isPath } from './text.ts';

/** Bytes that a Unix socket's path may have on Linux, without its terminator. */
const LONGEST_SOCKET_PATH = 107;

/** An amphora whose facts no configuration can be written for. */
export class AmphoraFactsInvalid extends DomainError {
  readonly kind = 'state';
  readonly reason = 'AMPHORA_FACTS_INVALID';
  constructor(amphoraId: string, fact: string) {
    super(`Amphora ${amphoraId} told an unusable ${fact} when it booted. Fail it over.`, { amphoraId, fact });
  }
}

/** First two numbers of a HAProxy version: they switch features. */
export class HaproxyVersion {
  readonly #major: number;
  readonly #minor: number;

  constructor(text: string) {
    const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(text) ?? [];
    this.#major = Number(major);
    this.#minor = Number(minor);
  }

  atLeast(major: number, minor: number): boolean {
    return this.#major > major || (this.#major === major && this.#minor >= minor);
  }
}

/** @throws AmphoraFactsInvalid when a fact that is written into the file is not what it must be */
export function checkFacts(amphoraId: string, facts: AmphoraFacts, statsSocket: string): void {
  const { basePath, socketPath, user, logSocket } = facts.platform;
  const refuse = (fact: string): never => {
    throw new AmphoraFactsInvalid(amphoraId, fact);
  };
  if (!/^\d+\.\d+/.test(facts.haproxyVersion)) refuse('haproxy_version');
  if (!isPath(basePath)) refuse('platform.basePath');
  if (!isPath(socketPath)) refuse('platform.socketPath');
  if (Buffer.byteLength(statsSocket) > LONGEST_SOCKET_PATH) refuse('platform.socketPath (too long)');
  if (user !== null && !/^[a-z_][a-z0-9_-]{0,31}$/.test(user)) refuse('platform.user');
  if (logSocket !== null && !isPath(logSocket)) refuse('platform.logSocket');
  if (facts.cpuCount !== null && !isIntegerBetween(facts.cpuCount, 1, 4096)) refuse('cpu_count');
}
