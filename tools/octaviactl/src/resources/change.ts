/** What an update says: the new values, and the mask that tells which of them are meant. */
import { usageError } from '../errors.ts';
import type { TagChangeOptions, TagRemovalOptions } from '../options.ts';
import type { Settling } from './resource.ts';

/** Values by the contract's names; undefined ones are left as they are. */
export type Values<T> = { [Key in keyof T]?: T[Key] | undefined };

export interface Change<T> {
  readonly values: Values<T>;
  /** Paths of the contract, such as `default_pool_id`. */
  readonly updateMask: string[];
}

/**
 * @param cleared fields that go back to "unset": in the mask, and without a value
 * @throws CliError USAGE when nothing would change
 */
export function change<T>(values: Values<T>, cleared: readonly (keyof T & string)[] = []): Change<T> {
  const set = Object.entries(values).filter(([, value]) => value !== undefined);
  const updateMask = [...set.map(([key]) => key), ...cleared].map(snakeCase);
  if (updateMask.length === 0) {
    throw usageError('Nothing to change: give at least one option.', 'See what there is with --help.');
  }
  return { values: Object.fromEntries(set) as Values<T>, updateMask };
}

function snakeCase(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * The tags after `set --tag … --no-tag`; undefined when they stay. The tags that the object has are part of the
 * answer, so the change must carry its etag, or somebody else's tags could be lost.
 */
export function changedTags(object: Settling, { tag, noTag }: TagChangeOptions): string[] | undefined {
  if (!tag && !noTag) return undefined;
  return [...new Set([...(noTag ? [] : object.tags), ...(tag ?? [])])];
}

/** The tags after `unset --tag … --all-tag`; undefined when they stay. */
export function remainingTags(object: Settling, { tag, allTag }: TagRemovalOptions): string[] | undefined {
  if (allTag) return [];
  return tag ? object.tags.filter((own) => !tag.includes(own)) : undefined;
}

/** The etag that a change carries: only where it builds on what was read. */
export function etagFor(object: Settling, tags: string[] | undefined): string {
  return tags ? object.etag : '';
}
