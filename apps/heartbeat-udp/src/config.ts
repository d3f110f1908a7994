import {
  duration,
  grpcServerSettings,
  hostPort,
  hostPorts,
  integer,
  processSettings,
  secretFile,
  settings,
} from '@octavia/service';

/** Every setting of heartbeat-udp. Bad ones stop the start, and all of them are reported at once. */
export const readConfig = settings({
  process: processSettings,
  socket: {
    bind: hostPort('HEARTBEAT_BIND', {
      default: '127.0.0.1:5555',
      doc: 'Where heartbeats arrive (UDP). Amphorae are told this address, or one that leads to it.',
    }),
    receiveBuffer: integer('HEARTBEAT_RECEIVE_BUFFER', {
      default: 0,
      min: 0,
      max: 1_073_741_824,
      unit: 'bytes',
      doc: 'What the system may hold for us (SO_RCVBUF), capped by net.core.rmem_max. 0: its own default.',
    }),
  },
  keys: {
    current: secretFile('HEARTBEAT_KEY_FILE', { doc: 'The key that all amphorae share and sign heartbeats with.' }),
    previous: secretFile('HEARTBEAT_PREVIOUS_KEY_FILE', {
      optional: true,
      doc: 'A second key that is accepted too, while one replaces the other.',
    }),
  },
  health: {
    addresses: hostPorts('HEALTH_ADDRESS', {
      doc: 'gRPC servers of health, with commas. Any of them tells who owns which shard.',
    }),
  },
  batchMs: duration('HEARTBEAT_BATCH', {
    default: '50ms',
    min: '1ms',
    max: '1s',
    doc: 'How long a heartbeat may wait for others before it is sent on.',
  }),
  waiting: {
    entries: integer('HEARTBEAT_WAITING_AMPHORAE', {
      default: 200_000,
      min: 1000,
      max: 10_000_000,
      doc: 'Amphorae whose newest heartbeat is kept while nobody takes it. Beyond, the oldest are dropped.',
    }),
    bytes: integer('HEARTBEAT_WAITING_BYTES', {
      default: 268_435_456,
      min: 16_777_216,
      max: 17_179_869_184,
      unit: 'bytes',
      doc: 'The same limit as memory.',
    }),
  },
  knownAmphorae: integer('HEARTBEAT_KNOWN_AMPHORAE', {
    default: 2_000_000,
    min: 1000,
    max: 100_000_000,
    doc: 'Amphorae that are remembered, to know replays, and whose status need not be sent again. About 250 bytes each.',
  }),
  grpc: grpcServerSettings,
});
