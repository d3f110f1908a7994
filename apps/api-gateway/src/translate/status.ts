import type { PendingDetail, View } from '@octavia/db';
import { etagOf, type Intent, type OperatingStatus } from '@octavia/domain';
import type {
  OperatingStatus as ProtoOperatingStatus,
  ProvisioningStatus as ProtoProvisioningStatus,
  StatusDetail,
} from '@octavia/proto';
import { enumOf } from './enums.ts';

/** Fields that every resource has. */
export function writeIntent(
  { object, operatingStatus }: View<Intent>,
  pending: PendingDetail | undefined,
  unreported: OperatingStatus = 'OFFLINE',
) {
  return {
    id: object.id,
    projectId: object.projectId,
    name: object.name,
    adminStateUp: object.adminStateUp,
    tags: [...object.tags],
    provisioningStatus: enumOf<ProtoProvisioningStatus>('PROVISIONING_STATUS_', object.provisioningStatus),
    operatingStatus: enumOf<ProtoOperatingStatus>('OPERATING_STATUS_', operatingStatus ?? unreported),
    statusDetail: writeStatusDetail(object, pending),
    createdAt: object.createdAt,
    updatedAt: object.updatedAt ?? undefined,
    etag: etagOf(object),
  };
}

const NOTHING: StatusDetail = {
  reason: '',
  message: '',
  flow: '',
  flowId: '',
  step: '',
  attempt: 0,
  waitingFor: '',
  lastError: '',
  nextTryAt: undefined,
  deadlineAt: undefined,
  traceId: '',
};

/** Why the object has its status: the fault while it is in ERROR, the flow while it is pending, nothing once it is settled. */
function writeStatusDetail(object: Intent, pending: PendingDetail | undefined): StatusDetail | undefined {
  if (object.fault) return { ...NOTHING, ...object.fault };
  if (!object.provisioningStatus.startsWith('PENDING') || !pending) return undefined;
  return {
    ...NOTHING,
    flow: pending.flow,
    flowId: pending.flowId,
    step: pending.step ?? '',
    attempt: pending.attempt,
    waitingFor: pending.waitingFor ?? '',
    lastError: pending.lastError ?? '',
    nextTryAt: pending.nextTryAt ?? undefined,
    deadlineAt: pending.deadlineAt,
    traceId: pending.traceId ?? '',
  };
}
