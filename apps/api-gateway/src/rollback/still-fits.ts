import { NO_RELATIVES, type View } from '@octavia/db';
import {
  type Difference,
  DomainError,
  type Fields,
  type Intent,
  nounOf,
  type ObjectKind,
  type ObjectOf,
  type Pool,
  type Protocol,
  RollbackNotPossible,
  type Wanted,
} from '@octavia/domain';
import { Violations } from '../check/violations.ts';
import { assertProtocolsFit } from '../handlers/listener.ts';
import type { Policy } from '../parts.ts';
import { readHealthMonitor, writeHealthMonitor } from '../translate/health-monitor.ts';
import { readListener, writeListener } from '../translate/listener.ts';
import { readLoadBalancerValues, writeLoadBalancer } from '../translate/load-balancer.ts';
import { readMember, writeMember } from '../translate/member.ts';
import { readPool, writePool } from '../translate/pool.ts';

/** Reads values as a request with them would be read: rules may have grown since they were taken. */
const READERS: { readonly [K in ObjectKind]: (view: View<ObjectOf[K]>, check: Violations, policy: Policy) => unknown } =
  {
    load_balancer: (view, check) => readLoadBalancerValues(writeLoadBalancer(view), check),
    listener: (view, check) => readListener(writeListener(view), check),
    pool: (view, check) => readPool(writePool(view), check),
    member: (view, check, { reservedIps }) => readMember(writeMember(view), reservedIps, check),
    health_monitor: (view, check) => readHealthMonitor(writeHealthMonitor(view), check),
  };

/** What every object has besides what is wanted of it. Only the wanted part is looked at. */
const ANY: Omit<Intent, 'id' | 'projectId' | 'name' | 'adminStateUp' | 'tags'> = {
  author: '',
  requestId: '',
  provisioningStatus: 'ACTIVE',
  fault: null,
  revision: 1,
  appliedRevision: 1,
  createdAt: new Date(0),
  updatedAt: null,
};

/** @param then the state that it is of @throws RollbackNotPossible */
export function assertStillFits<K extends ObjectKind>(
  { kind, id }: Difference & { readonly kind: K },
  then: Wanted,
  policy: Policy,
): void {
  const fields = then.get(id)?.fields ?? {};
  const object = { ...fields, ...ANY } as unknown as ObjectOf[K];
  const check = new Violations(kind);
  try {
    READERS[kind]({ object, operatingStatus: null, related: NO_RELATIVES }, check, policy);
    check.finish();
    if (kind === 'listener') assertPoolFits(fields, then);
  } catch (error) {
    if (error instanceof DomainError) throw new RollbackNotPossible(nounOf(kind), id, error.message, { cause: error });
    throw error;
  }
}

function assertPoolFits({ protocol, defaultPoolId }: Fields, then: Wanted): void {
  if (typeof defaultPoolId !== 'string') return;
  const pool = then.get(defaultPoolId)?.fields as unknown as Pool | undefined;
  if (pool) assertProtocolsFit(protocol as Protocol, pool, 'listener.default_pool_id');
}
