import type { MigrationInterface } from 'typeorm';
import { Initial1795132800000 } from './1795132800000-initial.ts';
import { EventHorizon1795176000000 } from './1795176000000-event-horizon.ts';

/**
 * A step of the schema. `needs` is the name of the oldest migration that a program must know to run on the schema after this one: what
 * only adds something (expand) names that of the migration before; what takes something away (contract) names the migration with
 * which programs stopped to use it. Without it no program starts that does not know the migration itself.
 */
export interface Migration {
  new (): MigrationInterface;
  readonly name: string;
  readonly needs?: string;
}

/** All migrations, oldest first. Never edited once released: add one. */
export const migrations: readonly Migration[] = [Initial1795132800000, EventHorizon1795176000000];

/** What a program must know to run on the schema after all of them. */
export function floorOf(all: readonly Migration[]): string {
  const needed = all.map(({ name, needs = name }) => all.findIndex((one) => one.name === needs));
  return all[Math.max(...needed)]?.name ?? '';
}
