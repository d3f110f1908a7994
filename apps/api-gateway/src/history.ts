import { Revisions, Trees, type Tx } from '@octavia/db';
import {
  HistoryPurged,
  InvalidRequest,
  type LoadBalancerTree,
  NotFound,
  type RecordedChange,
  rewind,
  type Wanted,
  wantedOf,
} from '@octavia/domain';

const revisions = new Revisions();
const trees = new Trees();

/** A load balancer as it is, and the way back to what it was. */
export class History {
  readonly tree: LoadBalancerTree;
  readonly #changes: readonly RecordedChange[];

  private constructor(tree: LoadBalancerTree, changes: readonly RecordedChange[]) {
    this.tree = tree;
    this.#changes = changes;
  }

  /**
   * @param since oldest revision that can be asked for
   * @param field of the request that has it
   * @throws NotFound, InvalidRequest, HistoryPurged
   */
  static async read(tx: Tx, loadBalancerId: string, since: number, field: string): Promise<History> {
    const tree = await trees.read(tx, loadBalancerId);
    if (!tree) throw new NotFound('load balancer', loadBalancerId);
    const newest = tree.loadBalancer.desiredRevision;
    assertRevision(since, newest, field);
    // What is recorded is never changed, so these are the changes of that tree, also outside of a transaction.
    const changes = await revisions.between(tx, loadBalancerId, since, newest);
    if (changes.length < newest - since) {
      throw new HistoryPurged(loadBalancerId, since, (changes[0]?.number ?? newest + 1) - 1);
    }
    return new History(tree, changes);
  }

  get newest(): number {
    return this.tree.loadBalancer.desiredRevision;
  }

  /** What was wanted when `revision` was the newest. */
  at(revision: number): Wanted {
    return rewind(
      wantedOf(this.tree),
      this.#changes.filter(({ number }) => number > revision),
    );
  }
}

/** @throws InvalidRequest */
export function assertRevision(revision: number, newest: number, field: string): void {
  if (revision >= 1 && revision <= newest) return;
  throw new InvalidRequest([{ field, reason: 'OUT_OF_RANGE', description: `must be 1 to ${newest}` }]);
}
