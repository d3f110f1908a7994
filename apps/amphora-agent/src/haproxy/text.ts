/** A frontend of the text that the controller sent: one listener. */
export interface Frontend {
  readonly id: string;
  /** Octavia's type: the mode in capitals, or TERMINATED_HTTPS when it has a certificate list. */
  readonly type: string;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What the agent needs to know of a configuration. */
export interface HaproxyText {
  readonly statsSocket: string;
  /** Listeners only: proxies with `prometheus` in the name are internal. */
  readonly frontends: readonly Frontend[];
  /** Addresses that HAProxy will listen on, each once, the peers port of this amphora among them. */
  readonly addresses: readonly Address[];
  /** Addresses of all `bind` lines, each once. */
  readonly vips: readonly string[];
}

/** The text lacks something that the agent needs to supervise HAProxy; the message says what. */
export class HaproxyTextError extends Error {}

/** Internal proxies, such as the exporter of metrics, have this in their names and are reported nowhere. */
export function isInternal(proxyName: string): boolean {
  return proxyName.includes('prometheus');
}

/**
 * Reads the parts that the agent relies on. It is no check of the text: `haproxy -c` is.
 * @param peer name of this amphora in a peers section
 * @throws HaproxyTextError
 */
export function readHaproxyText(text: string, peer: string): HaproxyText {
  const sockets: string[] = [];
  const frontends = new Map<string, { mode: string | null; isTls: boolean }>();
  const addresses = new Map<string, Address>();
  const vips = new Set<string>();
  let frontend: { mode: string | null; isTls: boolean } | null = null;

  for (const line of text.split('\n')) {
    const words = line
      .replace(/(^|\s)#.*$/, '')
      .trim()
      .split(/\s+/);
    const [first = '', second = '', third = ''] = words;
    if (/^\S/.test(line)) frontend = null;
    if (first === 'frontend' && /^\S/.test(line)) {
      frontend = { mode: null, isTls: false };
      if (!isInternal(second)) frontends.set(second, frontend);
    } else if (first === 'stats' && second === 'socket') {
      sockets.push(third);
    } else if (first === 'mode' && frontend) {
      frontend.mode = second;
    } else if (first === 'bind') {
      if (frontend && words.includes('crt-list')) frontend.isTls = true;
      const host = addAddress(addresses, second);
      if (host !== null) vips.add(host);
    } else if (first === 'peer' && second === peer) {
      addAddress(addresses, third);
    }
  }

  const [statsSocket] = sockets;
  if (!statsSocket || sockets.length > 1)
    throw new HaproxyTextError(`The text must have exactly one line "stats socket <path>", not ${sockets.length}`);
  return {
    statsSocket,
    frontends: [...frontends].map(toFrontend),
    addresses: [...addresses.values()],
    vips: [...vips],
  };
}

function toFrontend([id, { mode, isTls }]: [string, { mode: string | null; isTls: boolean }]): Frontend {
  if (mode === null) throw new HaproxyTextError(`Frontend ${id} has no line "mode <mode>"`);
  return { id, type: isTls ? 'TERMINATED_HTTPS' : mode.toUpperCase() };
}

/** IPv6 addresses come without brackets: the port is behind the last colon. */
function addAddress(addresses: Map<string, Address>, text: string): string | null {
  const [, host = '', port = ''] = /^\[?(.+?)\]?:(\d{1,5})$/.exec(text) ?? [];
  if (host === '') return null;
  addresses.set(text, { host, port: Number(port) });
  return host;
}
