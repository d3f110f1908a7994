import type { FenceConfirmation } from '@octavia/db';
import type { Amphora } from '@octavia/domain';
import type { AmphoraRole, AmphoraStatus, Amphora as Message, Seat } from '@octavia/proto';
import { enumOf } from './enums.ts';

export function writeAmphora(
  amphora: Amphora,
  lastHeartbeatAt: Date | undefined,
  confirmation?: FenceConfirmation,
): Message {
  return {
    id: amphora.id,
    loadBalancerId: amphora.loadBalancerId ?? '',
    status: enumOf<AmphoraStatus>('AMPHORA_STATUS_', amphora.status),
    role: enumOf<AmphoraRole>('AMPHORA_ROLE_', amphora.role ?? 'UNSPECIFIED'),
    computeId: amphora.computeId ?? '',
    lbNetworkIp: amphora.lbNetworkIp ?? '',
    agentPort: amphora.agentPort,
    vrrpIp: amphora.vrrpIp ?? '',
    haIp: amphora.haIp ?? '',
    vrrpInterface: amphora.vrrpInterface ?? '',
    cachedZone: amphora.class.zone,
    imageId: amphora.imageId ?? '',
    computeFlavor: amphora.class.computeFlavor,
    haproxyVersion: amphora.facts?.haproxyVersion ?? '',
    certExpiresAt: amphora.certExpiresAt ?? undefined,
    appliedRevision: amphora.appliedRevision,
    lastHeartbeatAt,
    reason: amphora.fault?.reason ?? '',
    message: amphora.fault?.message ?? '',
    createdAt: amphora.createdAt,
    updatedAt: amphora.updatedAt ?? undefined,
    origin: amphora.choice?.origin ?? '',
    choiceReason: amphora.choice?.reason ?? '',
    imageTag: amphora.class.imageTag,
    computeHost: amphora.computeHost ?? '',
    fenceConfirmedAt: confirmation?.confirmedAt,
    fenceConfirmedBy: confirmation?.author ?? '',
    seats: seatsOf(amphora),
    seatLimit: amphora.loadBalancerId === null ? 0 : 1,
  };
}

function seatsOf(amphora: Amphora): Seat[] {
  if (amphora.loadBalancerId === null) return [];
  return [
    {
      loadBalancerId: amphora.loadBalancerId,
      state: 'SEAT_STATE_TAKEN',
      role: enumOf<AmphoraRole>('AMPHORA_ROLE_', amphora.role ?? 'UNSPECIFIED'),
      vrrpIp: amphora.vrrpIp ?? '',
      haIp: amphora.haIp ?? '',
      vrrpPortId: amphora.vrrpPortId ?? '',
      vrrpInterface: amphora.vrrpInterface ?? '',
      appliedRevision: amphora.appliedRevision,
      origin: amphora.choice?.origin ?? '',
      choiceReason: amphora.choice?.reason ?? '',
      reason: '',
      message: '',
    },
  ];
}
