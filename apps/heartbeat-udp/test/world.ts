/** A router between tests and stand-in owners that keep what they are sent. */
import { setTimeout } from 'node:timers/promises';
import { readHeartbeat, statusHash } from '@octavia/domain';
import type { ReportHeartbeatsRequest, ReportHeartbeatsResponse, ShardMap } from '@octavia/proto';
import { OutcomeCounts } from '../src/outcomes.ts';
import { DEFAULT_LIMITS, Router, type RouterLimits } from '../src/router.ts';

export type Answer = (request: ReportHeartbeatsRequest) => Partial<ReportHeartbeatsResponse> | Promise<never>;

export class World {
  readonly counts = new OutcomeCounts();
  readonly router: Router;
  /** Every request by owner, also repeated ones. */
  readonly requests = new Map<string, ReportHeartbeatsRequest[]>();
  readonly answers = new Map<string, Answer>();
  readonly batches: string[] = [];
  nowMs = 1_000;

  /** @param aliveMs by default so long that no test sees an empty batch */
  constructor(limits: Partial<RouterLimits> = {}, aliveMs = 3_600_000) {
    const observer = { onBatch: (outcome: string, owner: string) => void this.batches.push(`${outcome} ${owner}`) };
    const times = { batchMs: 1, firstRetryMs: 1, longestRetryMs: 4, aliveMs, nowMs: () => this.nowMs };
    const connect = (owner: string) => ({
      report: async (request: ReportHeartbeatsRequest) => {
        this.requestsTo(owner).push(structuredClone(request));
        const answer = await (this.answers.get(owner)?.(request) ?? {});
        return { wantedStatuses: [], notOwned: [], ...answer };
      },
      close: () => {},
    });
    this.router = new Router(connect, this.counts, observer, times, { ...DEFAULT_LIMITS, ...limits });
  }

  requestsTo(owner: string): ReportHeartbeatsRequest[] {
    const requests = this.requests.get(owner) ?? [];
    this.requests.set(owner, requests);
    return requests;
  }

  /** All heartbeats that reached an owner, in order. */
  heartbeatsAt(owner: string) {
    return this.requestsTo(owner).flatMap((request) => request.heartbeats);
  }

  say(body: object, bytes = 0): 'accepted' | 'replayed' {
    const message = readHeartbeat(body);
    if (typeof message === 'string') throw new Error(message);
    const text = Buffer.from(JSON.stringify(body).padEnd(bytes));
    return this.router.add({ ...message, hash: statusHash(message.status), body: text });
  }

  own(...owners: string[]): void {
    this.router.follow(mapOf(...owners));
  }

  async until(holds: () => boolean): Promise<void> {
    await until(holds);
  }
}

/** Waits for a condition. */
export async function until(holds: () => boolean, deadlineMs = 15_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error('The condition did not come true in time.');
    await setTimeout(2);
  }
}

/** All shards in equal ranges; an empty owner is none. */
export function mapOf(...owners: string[]): ShardMap {
  const width = 4096 / owners.length;
  return {
    ranges: owners.map((owner, n) => ({
      first: Math.floor(n * width),
      last: Math.floor((n + 1) * width) - 1,
      owner,
      epoch: 1n,
    })),
  };
}
