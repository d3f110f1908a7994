import type { FenceConfirmation } from '@octavia/db';
import type { Amphora, Seat as DomainSeat } from '@octavia/domain';
import type { AmphoraRole, AmphoraStatus, Amphora as Message, Seat, SeatState } from '@octavia/proto';
import { enumOf } from './enums.ts';

export function writeAmphora(
  amphora: Amphora,
  lastHeartbeatAt: Date | undefined,
  confirmation?: FenceConfirmation,
): Message {
  const [first] = amphora.seats;
  return {
    id: amphora.id,
    loadBalancerId: first?.loadBalancerId ?? '',
    status: enumOf<AmphoraStatus>('AMPHORA_STATUS_', amphora.status),
    role: enumOf<AmphoraRole>('AMPHORA_ROLE_', first?.role ?? 'UNSPECIFIED'),
    computeId: amphora.computeId ?? '',
    lbNetworkIp: amphora.lbNetworkIp ?? '',
    agentPort: amphora.agentPort,
    vrrpIp: first?.vrrpIp ?? '',
    haIp: first?.haIp ?? '',
    vrrpInterface: first?.vrrpInterface ?? '',
    cachedZone: amphora.class.zone,
    imageId: amphora.imageId ?? '',
    computeFlavor: amphora.class.computeFlavor,
    haproxyVersion: amphora.facts?.haproxyVersion ?? '',
    certExpiresAt: amphora.certExpiresAt ?? undefined,
    appliedRevision: first?.appliedRevision ?? 0,
    lastHeartbeatAt,
    reason: amphora.fault?.reason ?? '',
    message: amphora.fault?.message ?? '',
    createdAt: amphora.createdAt,
    updatedAt: amphora.updatedAt ?? undefined,
    origin: first?.choice?.origin ?? '',
    choiceReason: first?.choice?.reason ?? '',
    imageTag: amphora.class.imageTag,
    computeHost: amphora.computeHost ?? '',
    fenceConfirmedAt: confirmation?.confirmedAt,
    fenceConfirmedBy: confirmation?.author ?? '',
    seats: amphora.seats.map(writeSeat),
    seatLimit: amphora.seatLimit,
  };
}

function writeSeat(seat: DomainSeat): Seat {
  return {
    loadBalancerId: seat.loadBalancerId,
    state: enumOf<SeatState>('SEAT_STATE_', seat.state),
    role: enumOf<AmphoraRole>('AMPHORA_ROLE_', seat.role),
    vrrpIp: seat.vrrpIp ?? '',
    haIp: seat.haIp ?? '',
    vrrpPortId: seat.vrrpPortId ?? '',
    vrrpInterface: seat.vrrpInterface ?? '',
    appliedRevision: seat.appliedRevision,
    origin: seat.choice?.origin ?? '',
    choiceReason: seat.choice?.reason ?? '',
    reason: seat.fault?.reason ?? '',
    message: seat.fault?.message ?? '',
  };
}
