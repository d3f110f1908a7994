import { v7 as uuidv7 } from 'uuid';
import type { Tx } from '../core/database.ts';

/** Rows for tests of what happens to them later; how they come to be is tested elsewhere. */
export async function insertLoadBalancer(tx: Tx, { status = 'ACTIVE' } = {}): Promise<string> {
  const id = uuidv7();
  await tx.query(
    `INSERT INTO load_balancer (id, project_id, author, request_id, name, admin_state_up, provisioning_status, revision,
       desired_revision, topology, vip_subnet_id)
     VALUES ($1, 'p1', 'u1', 'r1', 'web', true, $2, 1, 1, 'SINGLE', $1)`,
    [id, status],
  );
  return id;
}

export async function insertListener(tx: Tx, loadBalancerId: string, port = 80, id = uuidv7()): Promise<string> {
  await tx.query(
    `INSERT INTO listener (id, project_id, author, request_id, name, admin_state_up, provisioning_status, revision,
       applied_revision, load_balancer_id, protocol, protocol_port, timeout_client_data, timeout_member_connect,
       timeout_member_data, timeout_tcp_inspect)
     VALUES ($1, 'p1', 'u1', 'r1', 'http', true, 'ACTIVE', 1, 1, $2, 'HTTP', $3, 50000, 5000, 50000, 0)`,
    [id, loadBalancerId, port],
  );
  return id;
}

export async function insertAmphora(
  tx: Tx,
  { status = 'ALLOCATED', loadBalancerId = null as string | null, ageMs = 3_600_000, id = uuidv7() } = {},
): Promise<string> {
  await tx.query(
    `INSERT INTO amphora (id, project_id, author, request_id, status, topology, compute_driver, created_at, deleted_at)
     VALUES ($1, 'p1', 'u1', 'r1', $2::text, 'SINGLE', 'noop', now() - $3 * interval '1 ms', CASE WHEN $2 = 'DELETED' THEN now() END)`,
    [id, status, ageMs],
  );
  if (loadBalancerId !== null) await insertSeat(tx, id, loadBalancerId);
  return id;
}

/** Seats a load balancer, as one more of however many. */
export async function insertSeat(
  tx: Tx,
  amphoraId: string,
  loadBalancerId: string,
  { role = 'STANDALONE' } = {},
): Promise<void> {
  await tx.query(
    `UPDATE amphora SET seat_limit = greatest(seat_limit, seats_taken + 1), seats_taken = seats_taken + 1 WHERE id = $1`,
    [amphoraId],
  );
  await tx.query('INSERT INTO seat (amphora_id, load_balancer_id, role) VALUES ($1, $2, $3)', [
    amphoraId,
    loadBalancerId,
    role,
  ]);
}
