/**
 * What Octavia's own health update writes, case by case. Where we depart from it, the case says so below and why.
 * `amphora_health` rows and the deletion of foreign servers are no statuses: they belong to who judges liveness.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  listenerMismatch,
  type OperatingStatus,
  operatingStatuses,
  type Protocol,
  type ProvisioningStatus,
  readHeartbeat,
} from '../src/index.ts';
import { listener, member, pool, tree } from './trees.ts';

interface Case {
  readonly name: string;
  readonly description: string;
  readonly database: {
    readonly id: string;
    readonly enabled: boolean;
    readonly provisioning_status: ProvisioningStatus;
    readonly operating_status: string;
    readonly listeners?: Record<string, { operating_status: string; protocol: Protocol; enabled: boolean }>;
    readonly pools?: Record<
      string,
      { operating_status: string; members?: Record<string, { operating_status: string }> }
    >;
  } | null;
  readonly processing_delay_s: number;
  readonly heartbeat: object;
  readonly writes_in_order: readonly { readonly table: string; readonly id: string; readonly set: string | null }[];
  readonly update_fails: boolean;
}

const { cases, about }: { cases: Case[]; about: { defaults: { heartbeat_interval: number } } } = JSON.parse(
  readFileSync(new URL('./fixtures/heartbeat-status-vectors.json', import.meta.url), 'utf8'),
);

/** Cases whose status writes differ from Octavia's, with ours. */
const DEPARTURES: Record<string, { because: string; writes: readonly string[] }> = {
  'too-late-and-count-mismatch': {
    because: 'a late report is not fresh, whether or not it matches; Octavia tests the lateness on one branch only',
    writes: [],
  },
  'v0-udp-no-members': {
    because: 'a listener that was never reported is not missing: the report may be older than the listener',
    writes: [],
  },
  'v1-udp-no-members': {
    because: 'a listener that was never reported is not missing: the report may be older than the listener',
    writes: [],
  },
};

function stateOf({ id, enabled, provisioning_status, operating_status, ...below }: NonNullable<Case['database']>) {
  const current = new Map<string, OperatingStatus>();
  // Ours are typed, and the database checks them: there is no other case to ignore.
  const note = (objectId: string, status: string) => current.set(objectId, status.toUpperCase() as OperatingStatus);
  note(id, operating_status);
  const listeners = Object.entries(below.listeners ?? {}).map(([listenerId, given]) => {
    note(listenerId, given.operating_status);
    return listener(listenerId, { protocol: given.protocol, adminStateUp: given.enabled });
  });
  const members = Object.entries(below.pools ?? {}).flatMap(([poolId, given]) => {
    note(poolId, given.operating_status);
    return Object.entries(given.members ?? {}).map(([memberId, { operating_status: status }]) => {
      note(memberId, status);
      return member(memberId, poolId);
    });
  });
  const pools = Object.keys(below.pools ?? {}).map((poolId) => pool(poolId));
  const lb = { id, adminStateUp: enabled, provisioningStatus: provisioning_status };
  return { whole: tree(lb, { listeners, pools, members }), current };
}

const TABLE = { load_balancer: 'loadbalancer', listener: 'listener', pool: 'pool', member: 'member' };

describe('the statuses that a heartbeat changes', () => {
  it('are compared with all 41 cases', () => expect(cases).toHaveLength(41));

  for (const given of cases) {
    it(`follow Octavia for ${given.name}: ${given.description}`, () => {
      const message = readHeartbeat(given.heartbeat);
      // A body that makes Octavia's update fail half-way is refused as a whole.
      expect(typeof message === 'string').toBe(given.update_fails);
      const isFresh = given.processing_delay_s < about.defaults.heartbeat_interval;
      const reports = typeof message === 'string' || !isFresh ? [] : [message.status];
      const writes = given.database
        ? operatingStatuses(stateOf(given.database).whole, reports, stateOf(given.database).current).map(
            (change) => `${TABLE[change.objectKind]} ${change.objectId} ${change.status}`,
          )
        : [];
      const octavias = given.writes_in_order
        .filter(({ table }) => table !== 'amphora_health' && table !== 'compute-delete')
        .map(({ table, id, set }) => `${table} ${id} ${set}`);
      expect(writes).toEqual(DEPARTURES[given.name]?.writes ?? octavias);
    });
  }
});

describe('whether a heartbeat matches the listeners', () => {
  /** Octavia does not count UDP listeners without members for the oldest messages; no release of ours serves UDP. */
  const departs = ['v0-udp-no-members'];

  for (const given of cases) {
    const message = readHeartbeat(given.heartbeat);
    const { database } = given;
    if (!database || typeof message === 'string' || given.processing_delay_s > 0 || departs.includes(given.name))
      continue;
    it(`is told as Octavia tells it for ${given.name}`, () => {
      const refreshes = given.writes_in_order.some(({ table }) => table === 'amphora_health');
      expect(listenerMismatch(stateOf(database).whole, message.status) === null).toBe(refreshes);
    });
  }
});
