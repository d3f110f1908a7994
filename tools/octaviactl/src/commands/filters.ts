import type { Command } from 'commander';
import { choice, collectList, integer, withAdminState } from '../options.ts';
import { OPERATING_STATUSES, PROVISIONING_STATUSES } from '../words.ts';

/** The filters that lists of all kinds have. */
export function withFilters(command: Command): Command {
  return withLimit(withAdminState(command))
    .option('--provisioning-status <status>', 'only those in this status', choice(PROVISIONING_STATUSES))
    .option('--operating-status <status>', 'only those in this status', choice(OPERATING_STATUSES))
    .option('--tags <tag,...>', 'only those with all these tags', collectList)
    .option('--any-tags <tag,...>', 'only those with one of these tags', collectList)
    .option('--not-tags <tag,...>', 'only those without all these tags', collectList)
    .option('--not-any-tags <tag,...>', 'only those without any of these tags', collectList);
}

/** `--limit` of lists. */
export function withLimit(command: Command): Command {
  return command.option('--limit <count>', 'read at most this many (default: 10000)', positive);
}

function positive(text: string): number {
  return Math.max(1, integer(text));
}
