import { execFile } from 'node:child_process';
import { isIP } from 'node:net';

/** Deleting an address takes a few milliseconds. */
const TIMEOUT_MS = 5_000;

/** An address that keepalived puts on an interface. */
export interface VrrpAddress {
  readonly address: string;
  readonly interface: string;
}

/** The VIPs of a keepalived configuration. It is no check of the text. */
export function readVips(text: string): VrrpAddress[] {
  const device = /^\s*interface\s+(\S+)/m.exec(text)?.[1] ?? '';
  const blocks = text.matchAll(/^\s*virtual_ipaddress(?:_excluded)?\s*\{([^}]*)\}/gm);
  return [...blocks].flatMap(([, lines = '']) =>
    lines
      .split('\n')
      .map((line) => line.trim().split(/[\s/]/, 1)[0] ?? '')
      .filter((address) => isIP(address) !== 0)
      .map((address) => ({ address, interface: device })),
  );
}

/**
 * Takes VIPs off their interfaces. The kernel goes on answering ARP for an address whose keepalived is dead, while the peer has it as
 * well. An address that is not there is fine.
 */
export async function dropVips(vips: readonly VrrpAddress[]): Promise<void> {
  await Promise.all(vips.map(dropVip));
}

function dropVip({ address, interface: device }: VrrpAddress): Promise<void> {
  const bits = isIP(address) === 6 ? 128 : 32;
  return new Promise((resolve) => {
    const args = ['address', 'delete', `${address}/${bits}`, 'dev', device];
    execFile('ip', args, { timeout: TIMEOUT_MS, killSignal: 'SIGKILL' }, () => resolve());
  });
}
