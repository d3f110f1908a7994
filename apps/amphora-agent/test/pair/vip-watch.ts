import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { eventually } from '../world/world.ts';
import { ip } from './wires.ts';

interface Change {
  readonly at: number;
  readonly place: string;
  readonly hasIt: boolean;
}

/** Watches which namespaces have an address, as the kernel tells it: whoever has it answers ARP for it. */
export class VipWatch {
  readonly #vip: string;
  readonly #changes: Change[] = [];
  readonly #monitors: ChildProcess[] = [];
  /** Namespaces of which something was heard. */
  readonly #heard = new Set<string>();

  /** Watches from now on. @param holders namespaces that have the address now */
  static async start(vip: string, namespaces: readonly string[], holders: readonly string[]): Promise<VipWatch> {
    const watch = new VipWatch(vip);
    for (const place of namespaces) {
      watch.#changes.push({ at: Date.now(), place, hasIt: holders.includes(place) });
      watch.#watch(place);
    }
    // A monitor does not say when it has begun to listen: something is changed until it is heard.
    for (const place of namespaces) {
      await eventually('the monitor hears', () => {
        if (watch.#heard.has(place)) return true;
        for (const change of ['replace', 'delete']) ip('-n', place, 'address', change, '127.255.0.1/32', 'dev', 'lo');
        return false;
      });
    }
    return watch;
  }

  private constructor(vip: string) {
    this.#vip = vip;
  }

  /** Longest time since `since` that more than one had the address. Both are of the wall clock, in milliseconds. */
  longestOverlap(since: number, until = Date.now()): number {
    const holders = new Set<string>();
    let [longest, sharedSince] = [0, null as number | null];
    const end = (at: number) => {
      if (sharedSince !== null) longest = Math.max(longest, at - Math.max(sharedSince, since));
      sharedSince = null;
    };
    for (const { at, place, hasIt } of this.#changes.toSorted((a, b) => a.at - b.at)) {
      if (hasIt) holders.add(place);
      else holders.delete(place);
      if (holders.size > 1) sharedSince ??= at;
      else end(at);
    }
    end(until);
    return longest;
  }

  stop(): void {
    for (const monitor of this.#monitors) monitor.kill('SIGKILL');
  }

  #watch(place: string): void {
    const monitor = spawn('ip', ['-n', place, '-ts', 'monitor', 'address'], { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#monitors.push(monitor);
    createInterface({ input: monitor.stdout }).on('line', (line) => {
      this.#heard.add(place);
      const [, time = '', deleted] = /^\[([^\]]+)\] (Deleted )?\d+: eth1\s/.exec(line) ?? [];
      if (time === '' || !line.includes(` ${this.#vip}/32 `)) return;
      this.#changes.push({ at: timeOf(time), place, hasIt: deleted === undefined });
    });
  }
}

/** Local time with microseconds, such as 2026-11-20T14:10:27.829463. */
function timeOf(text: string): number {
  return Date.parse(text.slice(0, 23));
}
