import type { FenceConfirmation } from '@octavia/db';
import type { Amphora, SeatState as DomainSeatState, Seat } from '@octavia/domain';
import type { AmphoraRole, AmphoraStatus, Amphora as Message, Seat as SeatMessage, SeatState } from '@octavia/proto';
import { enumOf } from './enums.ts';

/** Which seats are told first. */
const ORDER: readonly DomainSeatState[] = ['TAKEN', 'LEAVING', 'LEFT'];

export function writeAmphora(
  amphora: Amphora,
  lastHeartbeatAt: Date | undefined,
  confirmation?: FenceConfirmation,
): Message {
  const seats = [...amphora.seats].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state)).map(writeSeat);
  // Callers that know of one load balancer on an amphora get the first.
  const [one] = seats;
  return {
    id: amphora.id,
    loadBalancerId: one?.loadBalancerId ?? '',
    status: enumOf<AmphoraStatus>('AMPHORA_STATUS_', amphora.status),
    role: one?.role ?? 'AMPHORA_ROLE_UNSPECIFIED',
    computeId: amphora.computeId ?? '',
    lbNetworkIp: amphora.lbNetworkIp ?? '',
    agentPort: amphora.agentPort,
    vrrpIp: one?.vrrpIp ?? '',
    haIp: one?.haIp ?? '',
    vrrpInterface: one?.vrrpInterface ?? '',
    cachedZone: amphora.class.zone,
    imageId: amphora.imageId ?? '',
    computeFlavor: amphora.class.computeFlavor,
    haproxyVersion: amphora.facts?.haproxyVersion ?? '',
    certExpiresAt: amphora.certExpiresAt ?? undefined,
    appliedRevision: one?.appliedRevision ?? 0,
    lastHeartbeatAt,
    reason: amphora.fault?.reason ?? '',
    message: amphora.fault?.message ?? '',
    createdAt: amphora.createdAt,
    updatedAt: amphora.updatedAt ?? undefined,
    origin: one?.origin ?? '',
    choiceReason: one?.choiceReason ?? '',
    imageTag: amphora.class.imageTag,
    computeHost: amphora.computeHost ?? '',
    fenceConfirmedAt: confirmation?.confirmedAt,
    fenceConfirmedBy: confirmation?.author ?? '',
    seats,
    // What a spare has is no more than a default.
    seatLimit: one ? amphora.seatLimit : 0,
  };
}

function writeSeat(seat: Seat): SeatMessage {
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
