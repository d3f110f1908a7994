import { dependentsOf, type Fault } from '@octavia/domain';

/** Something that may be the culprit. */
export interface Suspect {
  readonly id: string;
  /** Ids of suspects without which it cannot be there. */
  readonly dependsOn: readonly string[];
}

export interface Search {
  /** @returns null: these pass */
  check(included: ReadonlySet<string>): Promise<Fault | null>;
  /**
   * The culprit may only show what is wrong with one of those that it needs.
   * @param passed what passes without it
   * @returns who is to blame: the culprit, or one of `passed` which, alone, made no difference
   */
  blame?(culprit: string, passed: ReadonlySet<string>): Promise<string>;
  /** Asked before each check once there is a result worth keeping; false: it is kept, and the rest is undecided. */
  mayGoOn?(culprits: number): boolean;
}

export interface Findings {
  /** Together they pass the check. */
  readonly good: readonly string[];
  /** In the order in which they were found, with what the check said. */
  readonly culprits: ReadonlyMap<string, Fault>;
  /** What needs a culprit, to that culprit. */
  readonly dependents: ReadonlyMap<string, string>;
  /** Not in `good`, and nothing is known against them: there was no time to look closer. */
  readonly undecided: readonly string[];
}

/** Not even what is left without any suspect passes the check: none of them is to blame. */
export class BaseRefused extends Error {
  readonly fault: Fault;
  constructor(fault: Fault) {
    super(fault.message);
    this.fault = fault;
  }
}

/**
 * Finds out which suspects a check refuses. The first prefix that is refused, in the order of age, ends with a culprit: it is found by
 * halving, and left out with all that need it; then the rest is checked again. So one culprit among n costs at most 2 + log2(n)
 * checks beside the first, and who is to blame one more; two that do not go together cost the younger one.
 * @param suspects oldest first
 * @param refusal what the check said of all of them together
 * @throws BaseRefused, and what `check` throws
 */
export async function bisect(suspects: readonly Suspect[], refusal: Fault, search: Search): Promise<Findings> {
  const { check, mayGoOn = () => true } = search;
  let left = inOrder(suspects);
  let words = refusal;
  /** So many of the first have passed together. */
  let proven = 0;
  let isBaseProven = false;
  const culprits = new Map<string, Fault>();
  const dependents = new Map<string, string>();
  const ids = (end: number): string[] => left.slice(0, end).map(({ id }) => id);
  const isWorthKeeping = (): boolean => proven > 0 || culprits.size > 0;
  const stop = (): Findings => ({ good: ids(proven), culprits, dependents, undecided: ids(left.length).slice(proven) });

  for (;;) {
    let refusedAt = left.length;
    while (refusedAt - proven > 1) {
      if (isWorthKeeping() && !mayGoOn(culprits.size)) return stop();
      const middle = (proven + refusedAt) >> 1;
      const said = await check(new Set(ids(middle)));
      if (said === null) {
        proven = middle;
        isBaseProven = true;
      } else {
        refusedAt = middle;
        words = said;
      }
    }
    if (!isBaseProven) {
      const said = await check(new Set());
      if (said !== null) throw new BaseRefused(said);
      isBaseProven = true;
    }
    const shown = left[proven];
    if (!shown) return stop();
    const passed = new Set(ids(proven));
    const culprit = (await search.blame?.(shown.id, passed)) ?? shown.id;
    culprits.set(culprit, words);
    const needing = new Set(dependentsOf(culprit, left).map(({ id }) => id));
    for (const id of needing) dependents.set(id, culprit);
    left = left.filter(({ id }) => id !== culprit && !needing.has(id));
    proven = left.filter(({ id }) => passed.has(id)).length;
    if (left.length === proven) return stop();
    if (!mayGoOn(culprits.size)) return stop();
    const said = await check(new Set(ids(left.length)));
    if (said === null) {
      proven = left.length;
      return stop();
    }
    words = said;
  }
}

/** What is needed comes before what needs it; else as it was. */
function inOrder(suspects: readonly Suspect[]): Suspect[] {
  const byId = new Map(suspects.map((one) => [one.id, one]));
  const placed = new Set<Suspect>();
  const place = (one: Suspect): void => {
    if (placed.has(one)) return;
    for (const id of one.dependsOn) {
      const needed = byId.get(id);
      if (needed) place(needed);
    }
    placed.add(one);
  };
  for (const one of suspects) place(one);
  return [...placed];
}
