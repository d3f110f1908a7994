import type { AmphoraRole, SeatedAmphora, Topology } from '@octavia/domain';

/** An amphora that a flow brings into service. Null: it is to be a spare. */
export interface NewAmphora {
  readonly id: string;
  readonly role: AmphoraRole | null;
}

/** What the flows that give a load balancer amphorae know. */
export interface RoundsState {
  readonly loadBalancerId: string;
  readonly topology: Topology;
  /** Every amphora that it had when the flow started: the new ones are told from them, also after a crash. */
  readonly oldAmphoraIds: readonly string[];
  /** Those of them that serve on: the other one of a pair. */
  readonly survivorIds: readonly string[];
  /** Roles of the new amphorae. Those of one round come into service together, and the next round when they serve. */
  readonly rounds: readonly (readonly AmphoraRole[])[];
  readonly newAmphorae: readonly NewAmphora[];
  /** Why these: for people who look at the flow. */
  readonly choices?: readonly { readonly amphoraId: string; readonly origin: string; readonly reason: string }[];
  /** New amphorae whose round is over. They serve, perhaps alone: nothing takes them back. */
  readonly settledIds?: readonly string[];
}

/** Who does what while the amphorae of one round come into service. */
export interface Round {
  /** Come into service. */
  readonly comers: readonly SeatedAmphora[];
  /** Serve meanwhile, and know the comers as peers afterwards. */
  readonly stayers: readonly SeatedAmphora[];
  /** May carry the VIP, and make room. */
  readonly leavers: readonly SeatedAmphora[];
}

/** The first round, the second, or which one there may be beyond. */
export const FIRST = 0;
export const SECOND = 1;

/** Returns the parts that the load balancer's amphorae have in a round. */
export function roundOf(state: RoundsState, round: number, all: readonly SeatedAmphora[]): Round {
  const rolesOf = (from: number, to?: number) => state.rounds.slice(from, to).flat();
  const newIds = (roles: readonly AmphoraRole[]) =>
    state.newAmphorae.filter(({ role }) => role !== null && roles.includes(role)).map(({ id }) => id);
  const comerIds = newIds(rolesOf(round, round + 1));
  const laterIds = newIds(rolesOf(round + 1));
  const staying = new Set([...state.survivorIds, ...newIds(rolesOf(0, round))]);
  for (const role of rolesOf(round + 1)) {
    const predecessor = all.find(
      (one) => one.role === role && one.status === 'ALLOCATED' && state.oldAmphoraIds.includes(one.id),
    );
    if (predecessor) staying.add(predecessor.id);
  }
  const comers = all.filter(({ id }) => comerIds.includes(id));
  const stayers = all.filter(({ id }) => staying.has(id));
  const isLeaver = ({ id }: SeatedAmphora) => !comerIds.includes(id) && !laterIds.includes(id) && !staying.has(id);
  return { comers, stayers, leavers: all.filter(isLeaver) };
}

/** Whether a flow has this round. */
export function hasRound(round: number): (state: RoundsState) => boolean {
  return ({ rounds }) => rounds.length > round;
}

/** The same, of pairs alone. */
export function hasPairRound(round: number): (state: RoundsState) => boolean {
  return ({ rounds, topology }) => topology === 'ACTIVE_STANDBY' && rounds.length > round;
}

/** Whether anybody serves while the round's amphorae come. */
export function hasStayers(round: number): (state: RoundsState) => boolean {
  return (state) => hasPairRound(round)(state) && (state.survivorIds.length > 0 || state.rounds.length > 1);
}

/** Name of a step in a round: those after the first have its number. */
export function inRound(name: string, round: number): string {
  return round === FIRST ? name : `${name}_${round + 1}`;
}
