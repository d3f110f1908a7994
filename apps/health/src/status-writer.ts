import {
  type Database,
  type Events,
  LoadBalancers,
  type OperatingStatuses,
  type OwnedRange,
  type ShardOwners,
  ShardsLost,
  type Trees,
  type Tx,
} from '@octavia/db';
import {
  type LoadBalancerTree,
  listenerMismatch,
  type OperatingStatus,
  type OperatingStatusChange,
  operatingStatuses,
  type StatusReport,
} from '@octavia/domain';
import type { Logger } from '@octavia/service';
import { v7 as uuidv7 } from 'uuid';
import type { AmphoraTable } from './amphora-table.ts';
import type { Clock } from './clock.ts';
import type { Shards } from './shards.ts';

const loadBalancers = new LoadBalancers();

export interface StatusWriterParts {
  readonly db: Database;
  readonly owners: ShardOwners;
  readonly trees: Trees;
  readonly statuses: OperatingStatuses;
  readonly events: Events;
  readonly shards: Shards;
  readonly table: AmphoraTable;
  readonly clock: Clock;
  readonly log: Logger;
  readonly decodeReport: (encoded: Uint8Array) => StatusReport;
}

/** Load balancers that are looked at side by side. */
const AT_ONCE = 4;

/** Writes operating statuses when they change, and notes which amphorae do not serve what they should. */
export class StatusWriter {
  readonly #parts: StatusWriterParts;
  #waiting = new Set<string>();

  constructor(parts: StatusWriterParts) {
    this.#parts = parts;
  }

  /** A report, the amphorae or the tree of this load balancer changed. Bounded by the load balancers that we watch. */
  enqueue(loadBalancerId: string): void {
    if (this.#parts.table.ofLoadBalancer(loadBalancerId).length > 0) this.#waiting.add(loadBalancerId);
  }

  /** Looks at every load balancer that waits. One that fails waits for the next round. */
  async work(): Promise<void> {
    const ids = [...this.#waiting];
    this.#waiting = new Set();
    let failure: unknown;
    const worker = async (): Promise<void> => {
      for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
        try {
          await this.#look(id);
        } catch (error) {
          this.#waiting.add(id);
          failure = error;
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    if (failure !== undefined) throw failure;
  }

  async #look(loadBalancerId: string): Promise<void> {
    const { db, trees, statuses, owners, shards } = this.#parts;
    const tree = await trees.read(db.reader, loadBalancerId);
    if (!tree || tree.loadBalancer.provisioningStatus === 'DELETED') return;
    this.#noteMismatches(tree);
    const range = this.#rangeOf(loadBalancerId);
    const before = await statuses.of(db.reader, loadBalancerId);
    if (!range || this.#changes(tree, before).length === 0) return;
    try {
      await db.transaction(async (tx) => {
        await owners.hold(tx, range);
        await loadBalancers.lock(tx, loadBalancerId);
        await this.#write(tx, loadBalancerId);
      });
    } catch (error) {
      if (error instanceof ShardsLost) shards.lose(range);
      else throw error;
    }
  }

  /** Decides again, now that nothing changes beneath, and writes. */
  async #write(tx: Tx, loadBalancerId: string): Promise<void> {
    const { trees, statuses, events } = this.#parts;
    const tree = await trees.read(tx, loadBalancerId);
    if (!tree || tree.loadBalancer.provisioningStatus === 'DELETED') return;
    const before = await statuses.of(tx, loadBalancerId);
    await statuses.keepOnly(tx, loadBalancerId, idsOf(tree));
    const changes = this.#changes(tree, before);
    await statuses.write(tx, loadBalancerId, changes);
    if (changes.length === 0) return;
    await events.append(tx, {
      loadBalancerId,
      projectId: tree.loadBalancer.projectId,
      author: 'health',
      requestId: uuidv7(),
      kind: 'operating_status_changed',
      objectKind: 'load_balancer',
      objectId: loadBalancerId,
      payload: { changes: changes.map((change) => toPayload(change, before)) },
    });
  }

  /** What the reports say that is not stored. Nothing while no amphora was heard lately: the last word stays. */
  #changes(tree: LoadBalancerTree, before: ReadonlyMap<string, OperatingStatus>): OperatingStatusChange[] {
    return operatingStatuses(tree, this.#freshReports(tree.loadBalancer.id), before);
  }

  #freshReports(loadBalancerId: string): StatusReport[] {
    const { table, clock, decodeReport } = this.#parts;
    const now = clock();
    return table.ofLoadBalancer(loadBalancerId).flatMap((index) => {
      const report = table.report(index);
      return report && table.isFresh(index, now) ? [decodeReport(report)] : [];
    });
  }

  #noteMismatches(tree: LoadBalancerTree): void {
    const { table, clock, decodeReport } = this.#parts;
    const { id } = tree.loadBalancer;
    for (const index of table.ofLoadBalancer(id)) {
      const report = table.report(index);
      if (!report) continue;
      const isShared = (table.at(index)?.loadBalancerIds.length ?? 0) > 1;
      const mismatch = listenerMismatch(tree, decodeReport(report), { isShared });
      table.setMismatch(index, id, mismatch ? clock() : null);
    }
  }

  #rangeOf(loadBalancerId: string): OwnedRange | null {
    const { table, shards } = this.#parts;
    for (const index of table.ofLoadBalancer(loadBalancerId)) {
      const range = shards.ownerOf(table.shard(index));
      if (range) return range;
    }
    return null;
  }
}

function idsOf({ loadBalancer, listeners, pools, members, healthMonitors }: LoadBalancerTree): string[] {
  return [loadBalancer, ...listeners, ...pools, ...members, ...healthMonitors].map(({ id }) => id);
}

function toPayload(
  { objectKind, objectId, status, reason }: OperatingStatusChange,
  before: ReadonlyMap<string, OperatingStatus>,
) {
  return { object_kind: objectKind, object_id: objectId, from: before.get(objectId) ?? 'OFFLINE', to: status, reason };
}
