import { eventually } from '../world/world.ts';
import type { PairAmphora } from './amphora.ts';
import type { Pair } from './pair.ts';
import { Prober } from './prober.ts';
import { VipWatch } from './vip-watch.ts';

export interface Takeover {
  readonly holder: PairAmphora;
  readonly other: PairAmphora;
  /** Longest time that a client was without an answer. */
  readonly gapMs: number;
  /** Longest time that both amphorae had the VIP. */
  readonly overlapMs: number;
}

/** What may befall the amphora that has the VIP. */
export const BLOWS: Readonly<Record<string, (holder: PairAmphora) => void>> = {
  haproxy: (holder) => holder.kill(holder.haproxy()),
  keepalived(holder) {
    const found = holder.keepalived();
    if (found) holder.kill(found.vrrp, found.parent);
  },
  processes: (holder) => holder.killAll(),
  power(holder) {
    holder.setLink('down');
    holder.setManagement('down');
    holder.killAll();
  },
  link: (holder) => holder.setLink('down'),
  'silent link': (holder) => holder.setAttached(false),
};

/** Lets something befall the holder, and waits until the other has the VIP and serves. */
export async function takeover(pair: Pair, befall: (holder: PairAmphora) => void): Promise<Takeover> {
  const { holder, other } = await pair.settled();
  const { vip, clientIp } = pair.wires;
  const prober = new Prober(vip, clientIp);
  const places = pair.amphorae.map(({ namespace }) => namespace);
  const watch = await VipWatch.start(vip, places, [holder.namespace]);
  try {
    await prober.answered();
    const [since, wallSince] = [performance.now(), Date.now()];
    befall(holder);
    await eventually('the other amphora has the VIP', () => other.hasVip());
    await prober.answered();
    await prober.answered();
    return { holder, other, gapMs: prober.gap(since), overlapMs: watch.longestOverlap(wallSince) };
  } finally {
    await prober.stop();
    watch.stop();
  }
}
