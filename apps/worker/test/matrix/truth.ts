import { createHash } from 'node:crypto';
import { Trees } from '@octavia/db';
import type { AmphoraDriver, ComputeDriver, NetworkDriver } from '@octavia/drivers';
import { renderHaproxy } from '@octavia/render';
import { endpointOf } from '../../src/world.ts';
import type { TestWorld } from '../world.ts';

/** What is looked at: rows, and the world outside. */
export interface Looked extends Pick<TestWorld, 'db' | 'serving'> {
  readonly compute: Pick<ComputeDriver, 'list' | 'leftovers'>;
  /** Who holds the VIP of a load balancer, as amphora ids. */
  readonly network: Pick<NetworkDriver, 'holdings' | 'leftovers'> & {
    holders(loadBalancerId: string): Promise<readonly string[]>;
  };
  readonly amphora: Pick<AmphoraDriver, 'getHaproxyEtag'>;
}

/**
 * Compares rows with each other and with the world outside, while no flow is queued or runs. Returns what is not as it must be, a
 * sentence each. What is in ERROR may lack something, and may not have too much.
 */
export async function untruths(world: Looked): Promise<string[]> {
  return (await Promise.all([ofRows(world), ofInstances(world), ofLoadBalancers(world), ofAddresses(world)])).flat();
}

/** What of everything is still there: nothing, once all has been deleted. */
export async function leftovers(world: Looked): Promise<string[]> {
  const { db, compute, network } = world;
  const [rows] = await db.reader.query(`SELECT
    (SELECT count(*) FROM amphora WHERE deleted_at IS NULL) AS amphorae,
    (SELECT count(*) FROM load_balancer WHERE deleted_at IS NULL) AS "load balancers",
    (SELECT count(*) FROM external_resource) AS "external resources", (SELECT count(*) FROM secret) AS secrets,
    (SELECT count(*) FROM vip_address WHERE load_balancer_id IS NOT NULL) AS addresses,
    (SELECT coalesce(sum(in_use), 0) FROM quota) AS quota,
    (SELECT count(*) FROM listener) + (SELECT count(*) FROM pool) + (SELECT count(*) FROM member) AS children`);
  const outside = {
    instances: (await compute.list()).length,
    'addresses outside': (await network.holdings()).length,
    'plugged VIPs': (await plugs(world)).length,
  };
  const things = [...(await compute.leftovers()), ...(await network.leftovers())].map(({ kind, name }) => [
    `${kind} ${name}`,
    1,
  ]);
  return [...Object.entries({ ...rows, ...outside }), ...things, ...(await untruths(world)).map((text) => [text, 1])]
    .filter(([, count]) => Number(count) !== 0)
    .map(([what, count]) => `Left over: ${what} (${count}).`);
}

async function ofRows({ db }: Looked): Promise<string[]> {
  const kinds = ['load_balancer', 'listener', 'pool', 'member', 'health_monitor'];
  const statements = [
    ...kinds.map((kind) => [
      `'${kind} ' || id || ' is ' || provisioning_status`,
      kind,
      `provisioning_status LIKE 'PENDING%'`,
    ]),
    ...kinds.map((kind) => {
      const isLive = kind === 'load_balancer' ? 'WHERE deleted_at IS NULL' : '';
      const sums = `(SELECT coalesce(sum(in_use), 0) AS used, (SELECT count(*) FROM ${kind} ${isLive}) AS rows FROM quota
        WHERE resource = '${kind}') AS sums`;
      return [`'quota says ' || used || ' of ${kind}, and there are ' || rows`, sums, 'used <> rows'];
    }),
    [`'flow ' || name || ' is ' || state`, 'flow', `state IN ('QUEUED', 'RUNNING')`],
    [`'the turn of ' || key || ' is held'`, 'turn', 'holder IS NOT NULL OR half_done IS NOT NULL'],
    [
      `concat_ws(' ', 'flow', flow_id, name, f.state, 'has a build slot,', slot.state, '; steps', (SELECT string_agg(concat_ws(' ',
         s.name, s.state, s.last_error), ', ' ORDER BY position) FROM flow_step AS s WHERE s.flow_id = slot.flow_id))`,
      'build_slot AS slot JOIN flow AS f ON f.id = slot.flow_id',
      'true',
    ],
    [`'a secret of ' || owner_id || ' is kept'`, 'secret', 'true'],
    [
      `'external resource ' || name || ' is ' || state || ', its amphora ' || coalesce(status, 'not there')`,
      'external_resource LEFT JOIN (SELECT id, status, deleted_at FROM amphora) AS a ON a.id = amphora_id',
      `state <> 'PRESENT' OR a.deleted_at IS NOT NULL OR a.id IS NULL`,
    ],
    [
      `'amphora ' || id || ' is ' || status`,
      'amphora',
      `deleted_at IS NULL AND NOT (status = 'READY' AND seats_taken = 0 OR status = 'ALLOCATED' AND seats_taken > 0)`,
    ],
    [
      `'amphora ' || id || ' counts ' || seats_taken || ' seats'`,
      'amphora',
      `seats_taken <> (SELECT count(*) FROM seat WHERE amphora_id = amphora.id AND state <> 'LEFT')`,
    ],
    [
      `'load balancer ' || load_balancer_id || ' is still to leave amphora ' || amphora_id`,
      'seat JOIN amphora AS a ON a.id = amphora_id',
      `state = 'LEAVING' AND a.deleted_at IS NULL`,
    ],
    [
      `'address ' || host(address) || ' is held by a load balancer that is gone'`,
      'vip_address JOIN load_balancer AS lb ON lb.id = load_balancer_id',
      'lb.deleted_at IS NOT NULL',
    ],
  ].map(([text, from, where]) => `SELECT ${text} AS text FROM ${from} WHERE ${where}`);
  const rows: { text: string }[] = await db.reader.query(statements.join(' UNION ALL '));
  return rows.map(({ text }) => text);
}

async function ofInstances({ db, compute }: Looked): Promise<string[]> {
  const rows: { id: string; status: string }[] = await db.reader.query(
    `SELECT id, status FROM amphora WHERE deleted_at IS NULL AND status IN ('READY', 'ALLOCATED')`,
  );
  const known = new Set(rows.map(({ id }) => id));
  const instances = await compute.list();
  const past: { id: string; status: string; flows: string }[] = await db.reader.query(
    `SELECT a.id, a.status, (SELECT string_agg(name || ' ' || state || ' ' || epoch || ' ' || coalesce(step, ''), ', ' ORDER BY f.id)
       FROM flow AS f WHERE f.amphora_id = a.id OR f.load_balancer_id IN (SELECT load_balancer_id FROM seat WHERE amphora_id = a.id)) AS flows FROM amphora AS a`,
  );
  const was = new Map(past.map(({ id, status, flows }) => [id, `${status}; ${flows}`]));
  const living = new Set(instances.filter(({ status }) => status === 'ACTIVE').map(({ amphoraId }) => amphoraId));
  return [
    ...instances.flatMap((one) =>
      known.has(one.amphoraId)
        ? []
        : [`instance ${one.computeId} belongs to nobody: ${was.get(one.amphoraId) ?? 'no row'}`],
    ),
    ...rows.flatMap(({ id, status }) =>
      living.has(id) || status === 'ALLOCATED' ? [] : [`spare ${id} does not live`],
    ),
  ];
}

/** One that says ACTIVE serves what is desired, from where its VIP is. */
async function ofLoadBalancers(world: Looked): Promise<string[]> {
  const { db, compute, network } = world;
  const living = new Set((await compute.list()).flatMap((one) => (one.status === 'ACTIVE' ? [one.amphoraId] : [])));
  const rows: { id: string; topology: string }[] = await db.reader.query(
    `SELECT id, topology FROM load_balancer WHERE provisioning_status = 'ACTIVE'`,
  );
  const found: string[] = [];
  for (const { id, topology } of rows) {
    const serving = await world.serving(id);
    const wanted = topology === 'ACTIVE_STANDBY' ? 2 : 1;
    if (serving.length !== wanted) {
      const [{ flows }] = await db.reader.query(
        `SELECT string_agg(concat_ws(' ', created_at::time, name, state, epoch, step, stop_requested), ', ' ORDER BY id) AS flows
         FROM flow WHERE load_balancer_id = $1`,
        [id],
      );
      const all = serving.map((one) => `${one.id} ${one.status} ${one.role}`).join(', ');
      found.push(`load balancer ${id} has ${serving.length} amphorae: ${all}; ${flows}`);
    }
    const holders = [...(await network.holders(id))].sort().join();
    const ids = serving.map((one) => one.id).sort();
    if (holders !== ids.join()) found.push(`the VIP of ${id} is at ${holders || 'nobody'} instead of ${ids}`);
    for (const one of serving) {
      if (!living.has(one.id)) found.push(`amphora ${one.id} of ${id} does not live`);
      else if (!(await serves(world, id, one))) found.push(`amphora ${one.id} does not serve what ${id} says`);
    }
  }
  return found;
}

async function serves(world: Looked, id: string, amphora: Awaited<ReturnType<Looked['serving']>>[number]) {
  const tree = await new Trees().read(world.db.reader, id);
  if (!tree || !amphora.facts) return false;
  const peers = (await world.serving(id)).flatMap((one) =>
    one.vrrpIp === null ? [] : [{ id: one.id, vrrpIp: one.vrrpIp }],
  );
  const { text } = renderHaproxy(tree, { id: amphora.id, facts: amphora.facts }, peers);
  const served = await world.amphora.getHaproxyEtag(endpointOf(amphora), id);
  return served === createHash('md5').update(text).digest('hex');
}

async function ofAddresses(world: Looked): Promise<string[]> {
  const { db, network } = world;
  // What never came to be gives its address back, though its row stays in ERROR. A failover of it takes the address again, for good.
  const rows: { id: string }[] = await db.reader.query(
    `SELECT id FROM load_balancer AS lb WHERE deleted_at IS NULL AND (provisioning_status <> 'ERROR'
       OR EXISTS (SELECT 1 FROM seat AS s JOIN amphora AS a ON a.id = s.amphora_id
         WHERE s.load_balancer_id = lb.id AND s.state <> 'LEFT' AND a.deleted_at IS NULL)
       OR EXISTS (SELECT 1 FROM flow AS f WHERE f.load_balancer_id = lb.id AND f.name = 'load_balancer.failover'))`,
  );
  const known = new Set(rows.map(({ id }) => id));
  const amphorae: { id: string }[] = await db.reader.query('SELECT id FROM amphora WHERE deleted_at IS NULL');
  const living = new Set(amphorae.map(({ id }) => id));
  const all: { id: string; status: string; flows: string }[] = await db.reader.query(
    `SELECT id, provisioning_status AS status, (SELECT string_agg(concat_ws(' ', f.created_at::time, name, state, step, last_error,
         (SELECT string_agg(concat_ws(' ', s.name, s.state, s.last_error), '; ' ORDER BY position) FROM flow_step AS s
          WHERE s.flow_id = f.id AND s.last_error IS NOT NULL)), ', ' ORDER BY id)
       FROM flow AS f WHERE f.load_balancer_id = lb.id) AS flows FROM load_balancer AS lb`,
  );
  const past = new Map(all.map(({ id, status, flows }) => [id, `${status}; ${flows}`]));
  return [
    ...(await network.holdings()).flatMap((id) =>
      known.has(id) ? [] : [`an address outside is held for ${id}, which is gone: ${past.get(id) ?? 'no row'}`],
    ),
    ...(await plugs(world)).flatMap(({ loadBalancerId, amphoraId }) =>
      known.has(loadBalancerId) && living.has(amphoraId) ? [] : [`a VIP is plugged into ${amphoraId}, which is gone`],
    ),
  ];
}

/** Every VIP that is plugged into an amphora, of all load balancers that ever were. */
async function plugs({ db, network }: Looked): Promise<{ loadBalancerId: string; amphoraId: string }[]> {
  const all: { id: string }[] = await db.reader.query('SELECT id FROM load_balancer');
  const held = await Promise.all(
    all.map(async ({ id }) => (await network.holders(id)).map((amphoraId) => ({ loadBalancerId: id, amphoraId }))),
  );
  return held.flat();
}
