import { DEFAULT_DEADLINE_MS } from '@octavia/flows';
import {
  duration,
  grpcClientSettings,
  grpcServerSettings,
  hostPort,
  integer,
  list,
  oneOf,
  processSettings,
  secretFile,
  settings,
} from '@octavia/service';
import { canonicalAddress } from './check/address.ts';

/** Source: Octavia's quota range. */
const MAX_QUOTA = 2_000_000_000;

const quota = (name: string) =>
  integer(name, {
    default: -1,
    min: -1,
    max: MAX_QUOTA,
    doc: 'Limit of a project that has none of its own; -1: none.',
  });

/** Every setting of the gateway. Bad ones stop the start, and all of them are reported at once. */
export const readConfig = settings(
  {
    database: {
      url: secretFile('DATABASE_URL_FILE', {
        orVariable: 'DATABASE_URL',
        doc: 'File with the connection string of PostgreSQL 14 or later.',
      }),
      poolSize: integer('DATABASE_POOL_SIZE', {
        default: 16,
        min: 1,
        max: 200,
        doc: 'Connections to PostgreSQL at most.',
      }),
    },
    process: processSettings,
    grpc: grpcServerSettings,
    client: grpcClientSettings,
    services: {
      worker: hostPort('WORKER_ADDRESS', { doc: 'gRPC server of the worker, asked for subnets and drivers.' }),
      health: hostPort('HEALTH_ADDRESS', { doc: 'gRPC server of health, for the state of the system.' }),
      housekeeping: hostPort('HOUSEKEEPING_ADDRESS', {
        doc: 'gRPC server of housekeeping, for the state of the system.',
      }),
      heartbeatUdp: hostPort('HEARTBEAT_UDP_ADDRESS', {
        doc: 'gRPC server of heartbeat-udp, for the state of the system.',
      }),
    },
    policy: {
      sparesWanted: integer('SPARE_AMPHORA_POOL_SIZE', {
        default: 0,
        min: 0,
        max: 10_000,
        doc: 'Spare amphorae that housekeeping keeps; shown in the state of the system.',
      }),
      heartbeatTimeoutMs: duration('HEARTBEAT_TIMEOUT', {
        default: '60s',
        min: '300ms',
        max: '1h',
        doc: 'Silence after which health replaces an amphora; from then on the state of the system counts it as silent.',
      }),
      flowDeadlineMs: duration('FLOW_DEADLINE', {
        default: `${DEFAULT_DEADLINE_MS / 1000}s`,
        min: '1s',
        max: '2h',
        doc: 'After this long a flow gives up and its object ends in ERROR. More for compute services that boot machines.',
      }),
      topology: oneOf('LOADBALANCER_TOPOLOGY', ['SINGLE', 'ACTIVE_STANDBY'], {
        default: 'SINGLE',
        doc: 'How many amphorae a new load balancer gets whose request and flavor do not say: one, or a VRRP pair.',
      }),
      reservedIps: list('RESERVED_IPS', {
        default: ['169.254.169.254'],
        allowed: 'IP addresses separated by commas',
        doc: 'Addresses that no member may have.',
      }),
      quotas: {
        load_balancer: quota('DEFAULT_LOAD_BALANCER_QUOTA'),
        listener: quota('DEFAULT_LISTENER_QUOTA'),
        pool: quota('DEFAULT_POOL_QUOTA'),
        member: quota('DEFAULT_MEMBER_QUOTA'),
        health_monitor: quota('DEFAULT_HEALTH_MONITOR_QUOTA'),
      },
    },
  },
  ({ policy }) => [
    ...policy.reservedIps
      .filter((address) => canonicalAddress(address) === null)
      .map((address) => ({ name: 'RESERVED_IPS', problem: `has the entry ${address}, which is not an IP address` })),
  ],
);
