import type { EventRecord } from '@octavia/db';
import type { Event as Message } from '@octavia/proto';

type Payload = Readonly<Record<string, unknown>>;

/** Names of objects by their id, for people; an object without one is called by its id. */
export type Names = ReadonlyMap<string, string>;

export function writeEvent(event: EventRecord, names: Names): Message {
  const payload = isPayload(event.payload) ? event.payload : {};
  return {
    cursor: event.cursor,
    loadBalancerId: event.loadBalancerId ?? '',
    number: event.number ?? 0n,
    happenedAt: event.createdAt,
    message: sentenceOf(event, payload, names),
    kind: event.kind,
    objectKind: event.objectKind,
    objectId: event.objectId,
    payload,
    projectId: event.projectId,
    author: event.author,
    requestId: event.requestId,
    traceId: event.traceId ?? '',
  };
}

/** How each kind of event reads. */
const SENTENCES: Readonly<Record<string, (event: EventRecord, payload: Payload, names: Names) => string>> = {
  changed: (event, payload, names) => {
    const done = DONE[text(payload.action)] ?? text(payload.action).toLowerCase();
    return `${event.author || 'Somebody'} ${done} ${nameOf(event, names)} (revision ${text(payload.revision)}).`;
  },
  provisioning_status_changed: (event, payload, names) => {
    if (payload.to === 'DELETED') return `${capital(nameOf(event, names))} is gone.`;
    const reason = payload.reason ? `: ${text(payload.message)} [${text(payload.reason)}]` : '.';
    return `${capital(nameOf(event, names))} went from ${text(payload.from)} to ${text(payload.to)}${reason}`;
  },
  rolled_back: (event, payload, names) =>
    `${event.author || 'Somebody'} took ${nameOf(event, names)} back to revision ${text(payload.to)} (${text(payload.changes)} objects changed).`,
  change_refused: (event, payload, names) => {
    const back = Array.isArray(payload.went_back) && payload.went_back.length > 0 ? payload.went_back.join(', ') : '';
    const what = payload.action === 'DELETE' ? 'the deletion' : 'a change';
    const then = payload.action === 'DELETE' ? ', which stays' : back && `, so ${back} went back to what is served`;
    return `The data plane refused ${what} of ${nameOf(event, names)}${then}: ${text(payload.message)} [${text(payload.reason)}]`;
  },
  operating_status_changed: (_, payload, names) => {
    const changes = Array.isArray(payload.changes) ? payload.changes.filter(isPayload) : [];
    return `The data plane reports: ${changes.map((change) => operatingChange(change, names)).join('; ')}.`;
  },
  amphora_silent: (event, payload) =>
    `Amphora ${event.objectId} ${SILENCE[text(payload.cause)]?.(payload) ?? 'does not do its work'}, so it is replaced.`,
  amphora_failover_requested: (event) =>
    `${event.author || 'Somebody'} asked for the replacement of amphora ${event.objectId}.`,
  amphora_chosen: (event, payload) =>
    `Amphora ${event.objectId} is the load balancer's now (${text(payload.origin)}): ${text(payload.reason)}.`,
  amphora_enrolled: (event, payload) =>
    `The agent of amphora ${event.objectId} has a new certificate (${text(payload.ms)} ms): the old one had run out.`,
  amphora_fence_confirmed: (event) =>
    `${event.author || 'Somebody'} has made sure that amphora ${event.objectId} is isolated.`,
  orphan_left: (event, payload) =>
    `Amphora ${event.objectId} is deleted, but nobody could reach what it left outside: ${text(payload.kinds)}.`,
  amphora_fenced: (event, payload) =>
    payload.confirmed_by
      ? `Amphora ${event.objectId} counts as isolated, because ${text(payload.confirmed_by)} confirmed it.`
      : `Amphora ${event.objectId} is isolated for certain (${text(payload.ms)} ms): it holds no address any more.`,
  amphora_unreachable: (event, payload) =>
    `Amphora ${event.objectId} did not take what the other one of the pair serves, so it is tried again: ${text(payload.message)} [${text(payload.reason)}]`,
  amphora_given_up: (event, payload) =>
    `Amphora ${event.objectId} stayed away, so it is replaced: ${text(payload.message)} [${text(payload.reason)}]`,
  vip_plugged: (event, payload) =>
    `Amphora ${event.objectId} holds the VIP ${text(payload.address)} (${text(payload.ms)} ms).`,
  configuration_pushed: (event, payload) =>
    `Amphora ${event.objectId} serves revision ${text(payload.revision ?? payload.target)} (${text(payload.ms)} ms).`,
  flow_cancel_requested: (event, payload) =>
    `${event.author || 'Somebody'} asked the flow ${text(payload.flow)} to stop and undo.`,
  flow_retry_requested: (event, payload) =>
    `${event.author || 'Somebody'} ended the wait of the flow ${text(payload.flow)} for its next try.`,
};

const DONE: Readonly<Record<string, string>> = {
  CREATE: 'asked for',
  UPDATE: 'changed',
  DELETE: 'asked to delete',
  FAILOVER: 'asked for new amphorae of',
};

const SILENCE: Readonly<Record<string, (payload: Payload) => string>> = {
  heartbeat_lost: (payload) =>
    `has been silent for ${text(payload.last_heartbeat_age_ms)} ms, longer than ${text(payload.timeout_ms)} ms`,
  never_heard: (payload) => `has sent no heartbeat in the ${text(payload.silent_ms)} ms since it was ready`,
  listener_mismatch: (payload) => `has not served the listeners that it should for ${text(payload.silent_ms)} ms`,
};

/** A kind that this release does not know reads as its name. */
function sentenceOf(event: EventRecord, payload: Payload, names: Names): string {
  return (
    SENTENCES[event.kind]?.(event, payload, names) ??
    `${capital(event.kind.replaceAll('_', ' '))}: ${nameOf(event, names)}.`
  );
}

function operatingChange({ object_kind, object_id, from, to, reason }: Payload, names: Names): string {
  const name = nameOf({ objectKind: text(object_kind), objectId: text(object_id) }, names);
  const change = from === to ? `is ${text(to)}` : `went from ${text(from)} to ${text(to)}`;
  return `${name} ${change}${reason ? ` (${text(reason)})` : ''}`;
}

function nameOf({ objectKind, objectId }: Pick<EventRecord, 'objectKind' | 'objectId'>, names: Names): string {
  return `${objectKind.replaceAll('_', ' ')} ${names.get(objectId) ?? objectId}`;
}

/** Ids of the objects that the sentence of an event names. */
export function namedIn({ objectId, payload }: EventRecord): string[] {
  const { changes } = isPayload(payload) ? payload : {};
  const changed = Array.isArray(changes) ? changes.filter(isPayload).map(({ object_id }) => text(object_id)) : [];
  return [objectId, ...changed];
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function text(value: unknown): string {
  return value === undefined || value === null ? 'unknown' : String(value);
}

function isPayload(value: unknown): value is Payload {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
