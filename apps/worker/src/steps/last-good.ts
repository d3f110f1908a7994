import { DEPENDS_ON_REFUSED, REFUSED_REASONS, type RefusedChange, Revisions, type Tx } from '@octavia/db';
import {
  DomainError,
  type Fault,
  nounOf,
  type PendingChange,
  type PendingChanges,
  pendingChanges,
  treeObjects,
} from '@octavia/domain';
import { ATTR, withSpan } from '@octavia/service';
import type { Context } from '../world.ts';
import { BaseRefused, bisect, type Findings, type Search } from './bisect.ts';
import { CheckedBy, FewerAmphorae } from './check-all.ts';
import type { Plan, Rendered } from './plan-push.ts';

/** Culprits that one push looks for: each costs 2 + log2(changes) checks. The next push looks for more. */
const MAX_CULPRITS = 16;
/** Share of the flow's time, from the first refusal on, after which a push goes on with what it knows. The rest is for pushing that. */
const SEARCH_SHARE = 0.5;

const revisions = new Revisions();

/** The amphorae refuse more than what is new. No change is to blame, so all of them stay desired, and a failover may help. */
export class LastGoodRefused extends DomainError {
  readonly kind = 'state';
  readonly reason = 'LAST_GOOD_REFUSED';
  constructor(loadBalancerId: string, changes: number, { message }: Fault) {
    super(
      `The amphorae of load balancer ${loadBalancerId} refuse its configuration even without the ${changes} changes that they do not serve yet: ${message}. Fail it over, or change what these words name.`,
      { loadBalancerId, changes: String(changes) },
    );
  }
}

/** The same plan without the changes that need what was refused before and is still as it was: no check is needed for them. */
export async function withoutBlocked(plan: Plan, tx: Tx): Promise<Plan> {
  const isAnyRefused = plan.tree.pools.some(
    ({ appliedRevision, fault }) => appliedRevision === 0 && REFUSED_REASONS.some((reason) => reason === fault?.reason),
  );
  if (!isAnyRefused) return plan;
  const changes = await changesOf(plan, tx);
  if (changes.blocked.size === 0) return plan;
  const refused = changes.all
    .filter(({ id }) => changes.blocked.has(id))
    .map((change) => refusedFor(change, changes, 'a pool that was refused. Correct that pool, or delete it'));
  const made = new Set(changes.all.map(({ id }) => id).filter((id) => !changes.blocked.has(id)));
  return { ...plan, ...plan.render(changes.treeWith(made)), refused };
}

/**
 * After a refusal: finds out which changes are refused, and plans a push without them, with what the data plane served before in their
 * place. Changes nothing but what the agents check and keep, so it may be repeated.
 * @param by 'check': what the agents' check refuses. 'reload': what it passed and HAProxy could not serve; each question is a reload
 * @throws LastGoodRefused; what the amphorae threw, when none of them can be reached any more
 */
export async function leaveOutRefused(
  plan: Plan,
  refusal: Fault,
  by: 'check' | 'reload',
  context: Context,
): Promise<Plan> {
  const changes = await changesOf(plan, context.reader);
  const known = new Set([...plan.refused.map(({ change }) => change.id), ...plan.undecided]);
  const suspects = changes.all.filter(({ id }) => !known.has(id));
  const asking = new CheckedBy(by, plan, suspects.length, context);
  await forgetServed(plan, context);
  const endMs = context.remainingMs() * (1 - SEARCH_SHARE);
  const search: Search = {
    check: (made) => asking.ask(plan.render(changes.treeWith(made)).texts),
    blame: (culprit, passed) => poolToBlame(culprit, passed, plan, changes, asking),
    mayGoOn: (culprits) => culprits < MAX_CULPRITS && context.remainingMs() > endMs,
  };
  const findings = await withSpan('find refused changes', {}, async (span) => {
    try {
      return await findAmong(suspects, refusal, search, asking, plan.loadBalancerId);
    } finally {
      span.setAttributes({ [ATTR.PUSH_CHANGES]: suspects.length, [ATTR.PUSH_CHECKS]: asking.count });
    }
  });
  const refused = refusedOf(findings, changes);
  for (const { change, fault } of refused) {
    context.log.warn({ object: change.id, kind: change.kind, reason: fault.reason }, 'change refused');
  }
  asking.tellRefused(refused);
  const undecided = findings.undecided.flatMap((id) => [id, ...changes.restoredWith(id).map((below) => below.id)]);
  return {
    ...plan,
    ...unknown(plan.render(changes.treeWith(new Set(findings.good)))),
    refused: [...plan.refused, ...refused],
    undecided: [...plan.undecided, ...undecided],
    lost: asking.lost,
    isSearched: true,
  };
}

/** Each time when an amphora has no say any more, the search begins anew: what only that one refused is taken. */
async function findAmong(
  suspects: readonly PendingChange[],
  first: Fault,
  search: Search,
  asking: CheckedBy,
  loadBalancerId: string,
): Promise<Findings> {
  const all = suspects.map(({ id }) => id);
  for (let known: Fault | null = first; ; ) {
    try {
      const refusal = known ?? (await search.check(new Set(all)));
      if (refusal === null) return { good: all, culprits: new Map(), dependents: new Map(), undecided: [] };
      return await bisect(suspects, refusal, search);
    } catch (error) {
      if (error instanceof BaseRefused) leaveOutBroken(error, asking, loadBalancerId, suspects.length);
      else if (!(error instanceof FewerAmphorae)) throw error;
      known = null;
    }
  }
}

/** @throws LastGoodRefused when all of them refuse it */
function leaveOutBroken({ fault }: BaseRefused, asking: CheckedBy, loadBalancerId: string, changes: number): void {
  if (!asking.leaveOutBroken()) throw new LastGoodRefused(loadBalancerId, changes, fault);
}

/** From the first check on nobody knows what an amphora serves: it keeps what it was asked about, and HAProxy goes on as before. */
async function forgetServed({ loadBalancerId, texts }: Plan, { transaction, seats }: Context): Promise<void> {
  await transaction(async (tx) => {
    for (const { amphora } of texts) {
      await seats.update(tx, { amphoraId: amphora.id, loadBalancerId }, { appliedRevision: 0 });
    }
  });
}

function unknown({ texts, problems }: Rendered): Rendered {
  return { texts: texts.map(({ amphora, text }) => ({ amphora: { ...amphora, appliedRevision: 0 }, text })), problems };
}

/** A new pool is written with the first listener that uses it: whether that listener is taken without it tells which of them it is. */
async function poolToBlame(
  id: string,
  passed: ReadonlySet<string>,
  plan: Plan,
  changes: PendingChanges,
  asking: CheckedBy,
): Promise<string> {
  const culprit = changes.all.find((change) => change.id === id);
  const poolId = culprit?.kind === 'listener' ? culprit.dependsOn.find((needed) => passed.has(needed)) : undefined;
  if (poolId === undefined) return id;
  const isUsed = changes.treeWith(passed).listeners.some((listener) => listener.defaultPoolId === poolId);
  if (isUsed) return id;
  const tree = changes.treeWith(new Set([...passed, id]));
  const listeners = tree.listeners.map((one) => (one.id === id ? { ...one, defaultPoolId: null } : one));
  return (await asking.ask(plan.render({ ...tree, listeners }).texts)) === null ? poolId : id;
}

/** What the data plane does not serve yet, up to the plan's target. */
async function changesOf({ loadBalancerId, target, tree }: Plan, reader: Tx): Promise<PendingChanges> {
  const behind = treeObjects(tree).filter(({ object }) => object.revision > object.appliedRevision);
  const served = behind.flatMap(({ object }) => (object.appliedRevision > 0 ? [object.appliedRevision] : []));
  const above = Math.min(target, ...served);
  return pendingChanges(tree, await revisions.between(reader, loadBalancerId, above, target));
}

function refusedOf({ culprits, dependents }: Findings, changes: PendingChanges): RefusedChange[] {
  const byId = new Map(changes.all.map((change) => [change.id, change]));
  const found: RefusedChange[] = [];
  for (const [id, fault] of culprits) {
    const change = byId.get(id);
    if (change) found.push({ change, fault, restored: changes.restoredWith(id) });
  }
  for (const [id, culprit] of dependents) {
    const [change, needed] = [byId.get(id), byId.get(culprit)];
    if (!change || !needed) continue;
    found.push(refusedFor(change, changes, `${nounOf(needed.kind)} ${culprit}, which was refused. Correct that first`));
  }
  return found;
}

function refusedFor(change: PendingChange, changes: PendingChanges, needed: string): RefusedChange {
  const fault = { reason: DEPENDS_ON_REFUSED, message: `It needs ${needed}.` };
  const restored = change.action === 'DELETE' ? changes.restoredWith(change.id) : [];
  return { change, fault, restored };
}
