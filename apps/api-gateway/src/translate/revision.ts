import type { RevisionRecord } from '@octavia/db';
import { type Difference, effectsOf, type Json } from '@octavia/domain';
import { ChangeKind, type Revision as Message, type ObjectChange } from '@octavia/proto';

const KINDS = {
  created: ChangeKind.CREATED,
  updated: ChangeKind.UPDATED,
  deleted: ChangeKind.DELETED,
} as const;

/** Fields that say where an object is, which the change says already. */
const HIDDEN: ReadonlySet<string> = new Set(['id']);

export function writeRevision(loadBalancerId: string, record: RevisionRecord): Message {
  return {
    loadBalancerId,
    number: record.number,
    createdAt: record.createdAt,
    author: record.author,
    requestId: record.requestId,
    traceId: record.traceparent?.split('-')[1] ?? '',
    objectKind: record.objectKind,
    objectId: record.objectId,
    action: record.action,
    changes: effectsOf(record).map(writeDifference),
  };
}

export function writeDifference({ kind, id, what, fields }: Difference): ObjectChange {
  const changes = Object.entries(fields).flatMap(([field, [before, after]]) =>
    parts(field, before, after).map(([name, oldValue, newValue]) => ({ field: name, oldValue, newValue })),
  );
  return {
    objectKind: kind,
    objectId: id,
    kind: KINDS[what],
    fields: changes.filter(({ field }) => !HIDDEN.has(field)).sort((a, b) => (a.field < b.field ? -1 : 1)),
  };
}

/** The fields of a message that a field of ours becomes. */
function parts(field: string, before: Json, after: Json): [string, Json, Json][] {
  if (field === 'vip') {
    const names = new Set([...keysOf(before), ...keysOf(after)]);
    return [...names].map((name) => [`vip_${snake(name)}`, partOf(before, name), partOf(after, name)]);
  }
  // The keys of headers are the headers' names.
  const inner = field === 'insertHeaders' ? (value: Json) => value : withSnakeKeys;
  return [[snake(field), inner(before), inner(after)]];
}

function withSnakeKeys(value: Json): Json {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [snake(key), inner]));
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function keysOf(value: Json): string[] {
  return value !== null && typeof value === 'object' ? Object.keys(value) : [];
}

function partOf(value: Json, key: string): Json {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
    ? ((value as Readonly<Record<string, Json>>)[key] ?? null)
    : null;
}
