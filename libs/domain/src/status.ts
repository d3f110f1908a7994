/** How far the infrastructure is with what a caller asked for. Source: Octavia's provisioning_status. */
export const PROVISIONING_STATUSES = [
  'ACTIVE',
  'PENDING_CREATE',
  'PENDING_UPDATE',
  'PENDING_DELETE',
  'DELETED',
  'ERROR',
] as const;
export type ProvisioningStatus = (typeof PROVISIONING_STATUSES)[number];

/** What the data plane says about itself. Source: Octavia's operating_status. */
export const OPERATING_STATUSES = ['ONLINE', 'OFFLINE', 'DEGRADED', 'ERROR', 'NO_MONITOR', 'DRAINING'] as const;
export type OperatingStatus = (typeof OPERATING_STATUSES)[number];

export const AMPHORA_STATUSES = [
  'BOOTING',
  'READY',
  'ALLOCATED',
  'PENDING_DELETE',
  'DELETED',
  'ERROR',
  'PRESERVED',
] as const;
export type AmphoraStatus = (typeof AMPHORA_STATUSES)[number];

/** Why something is in ERROR: `reason` for programs (UPPER_SNAKE_CASE, stable), `message` for a person. */
export interface Fault {
  readonly reason: string;
  readonly message: string;
}
