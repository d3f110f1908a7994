import { type Fault, OBJECT_KINDS } from '@octavia/domain';
import { activeTraceparent } from './core/active-trace.ts';
import type { Tx } from './core/database.ts';
import type { FlowRecord } from './flow/index.ts';
import { Events } from './intent/events.ts';

/**
 * Settles a flow whose own settlement throws: all that is pending of its load balancer is in ERROR with the fault, and so is an amphora
 * of no load balancer that it was to build. Plain statements that look at nothing but statuses, so that what broke the settlement
 * does not break them; quota and addresses stay as they are until the load balancer is deleted.
 */
export async function abandon(
  tx: Tx,
  flow: Pick<FlowRecord, 'id' | 'loadBalancerId' | 'amphoraId' | 'projectId' | 'author' | 'requestId'>,
  fault: Fault,
): Promise<void> {
  const { loadBalancerId, amphoraId } = flow;
  if (loadBalancerId !== null) return abandonLoadBalancer(tx, { ...flow, loadBalancerId }, fault);
  await tx.query(
    `UPDATE amphora SET status = 'ERROR', fault_reason = $2, fault_message = $3, updated_at = now()
      WHERE id = $1 AND seats_taken = 0 AND status IN ('BOOTING', 'PENDING_DELETE')`,
    [amphoraId, fault.reason, fault.message],
  );
}

async function abandonLoadBalancer(
  tx: Tx,
  flow: Parameters<typeof abandon>[1] & { readonly loadBalancerId: string },
  { reason, message }: Fault,
): Promise<void> {
  const { loadBalancerId, id, projectId, author, requestId } = flow;
  const [before] = await tx.query('SELECT provisioning_status FROM load_balancer WHERE id = $1 FOR UPDATE', [
    loadBalancerId,
  ]);
  for (const kind of OBJECT_KINDS) {
    await tx.query(
      `UPDATE ${kind} SET provisioning_status = 'ERROR', fault_reason = $2, fault_message = $3
        WHERE ${kind === 'load_balancer' ? 'id' : 'load_balancer_id'} = $1 AND provisioning_status LIKE 'PENDING%'`,
      [loadBalancerId, reason, message],
    );
  }
  const from: string = before?.provisioning_status ?? '';
  if (!from.startsWith('PENDING')) return;
  await new Events().append(tx, {
    loadBalancerId,
    projectId,
    author,
    requestId,
    kind: 'provisioning_status_changed',
    objectKind: 'load_balancer',
    objectId: loadBalancerId,
    payload: { from, to: 'ERROR', reason, message, flow_id: id },
    traceparent: activeTraceparent() ?? undefined,
  });
}
