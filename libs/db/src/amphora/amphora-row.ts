import type {
  Amphora,
  AmphoraClass,
  AmphoraFacts,
  AmphoraOrigin,
  AmphoraRole,
  AmphoraStatus,
  Fault,
  Machine,
  Seat,
  SeatedAmphora,
  SeatState,
} from '@octavia/domain';

/** Columns of `amphora AS a`. host() leaves the prefix length of an inet out. */
export const MACHINE = `a.id, a.status, a.compute_flavor, a.image_tag, a.zone, a.topology, a.compute_driver, a.compute_id,
  a.compute_host, a.image_id, host(a.lb_network_ip) AS lb_network_ip, a.agent_port, a.facts, a.cert_expires_at, a.seat_limit,
  a.seats_taken, a.fault_reason, a.fault_message, a.created_at, a.updated_at`;

/** Columns of `seat AS s`, beside those. */
export const SEAT = `s.load_balancer_id, s.state, s.role, host(s.vrrp_ip) AS vrrp_ip, host(s.ha_ip) AS ha_ip, s.vrrp_port_id,
  s.vrrp_interface, s.applied_revision, s.origin, s.choice_reason, s.fault_reason AS seat_fault_reason,
  s.fault_message AS seat_fault_message`;

interface MachineRow {
  id: string;
  status: AmphoraStatus;
  compute_flavor: string;
  image_tag: string;
  zone: string;
  topology: AmphoraClass['topology'];
  compute_driver: string;
  compute_id: string | null;
  compute_host: string | null;
  image_id: string | null;
  lb_network_ip: string | null;
  agent_port: number;
  facts: AmphoraFacts | null;
  cert_expires_at: Date | null;
  seat_limit: number;
  seats_taken: number;
  fault_reason: string | null;
  fault_message: string | null;
  created_at: Date;
  updated_at: Date | null;
}

interface SeatColumns {
  load_balancer_id: string;
  state: SeatState;
  role: AmphoraRole;
  vrrp_ip: string | null;
  ha_ip: string | null;
  vrrp_port_id: string | null;
  vrrp_interface: string | null;
  applied_revision: number;
  origin: AmphoraOrigin | null;
  choice_reason: string | null;
  seat_fault_reason: string | null;
  seat_fault_message: string | null;
}

/** An amphora beside one of its seats. */
export type SeatedRow = MachineRow & SeatColumns;
/** The same; without seat the columns of one are null. */
export type MaybeSeatedRow = MachineRow & (SeatColumns | { load_balancer_id: null });

/** One load balancer's view. */
export function toSeated(row: SeatedRow): SeatedAmphora {
  const { state, fault, ...seat } = toSeat(row);
  const machine = toMachine(row);
  return {
    ...machine,
    ...seat,
    status: state === 'LEAVING' && machine.status === 'ALLOCATED' ? 'PENDING_DELETE' : machine.status,
    fault: fault ?? machine.fault,
    isShared: row.seats_taken > 1,
  };
}

/** Gathers rows, which are sorted by amphora, one for each seat. */
export function toAmphorae(rows: readonly MaybeSeatedRow[]): Amphora[] {
  const byId = Map.groupBy(rows, ({ id }) => id);
  return [...byId.values()].flatMap((own) => {
    const [first] = own;
    if (!first) return [];
    const seats = own.flatMap((row) => (row.load_balancer_id === null ? [] : [toSeat(row)]));
    return [{ ...toMachine(first), seats }];
  });
}

function toMachine(row: MachineRow): Machine {
  return {
    id: row.id,
    status: row.status,
    class: {
      computeFlavor: row.compute_flavor,
      imageTag: row.image_tag,
      zone: row.zone,
      topology: row.topology,
    },
    computeDriver: row.compute_driver,
    computeId: row.compute_id,
    computeHost: row.compute_host,
    imageId: row.image_id,
    lbNetworkIp: row.lb_network_ip,
    agentPort: row.agent_port,
    facts: row.facts,
    certExpiresAt: row.cert_expires_at,
    seatLimit: row.seat_limit,
    fault: faultOf(row.fault_reason, row.fault_message),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function toSeat(row: SeatColumns): Seat {
  return {
    loadBalancerId: row.load_balancer_id,
    state: row.state,
    role: row.role,
    vrrpIp: row.vrrp_ip,
    haIp: row.ha_ip,
    vrrpPortId: row.vrrp_port_id,
    vrrpInterface: row.vrrp_interface,
    appliedRevision: row.applied_revision,
    choice:
      row.origin === null || row.choice_reason === null ? null : { origin: row.origin, reason: row.choice_reason },
    fault: faultOf(row.seat_fault_reason, row.seat_fault_message),
  };
}

function faultOf(reason: string | null, message: string | null): Fault | null {
  return reason === null || message === null ? null : { reason, message };
}
