import { duration, hostPort, integer, list } from '../settings/fields.ts';
import { file } from '../settings/files.ts';

const tls = {
  certFile: file('TLS_CERT_FILE', {
    doc: 'Certificate of this service (PEM), with its chain. Read again when it changes.',
  }),
  keyFile: file('TLS_KEY_FILE', { doc: 'Private key of this service (PEM, mode 0600). Read again when it changes.' }),
  caFile: file('TLS_CA_FILE', {
    doc: 'Certificates of the authorities that we trust (PEM), two while one replaces the other.',
  }),
};

/** Settings of a gRPC server: `settings({ grpc: grpcServerSettings })`. */
export const grpcServerSettings = {
  bind: hostPort('GRPC_BIND', { doc: 'Where the gRPC server listens. Port 0 lets the system choose.' }),
  tls,
  allowedClients: list('GRPC_ALLOWED_CLIENTS', {
    min: 1,
    allowed: 'common names of client certificates separated by commas, or * for every certificate of our authority',
    doc: 'Who may call. The health check is open to every certificate of our authority.',
  }),
  drainMs: duration('GRPC_DRAIN', {
    default: '5s',
    max: '5m',
    doc: 'How long calls in progress may take to end when the service stops.',
  }),
  maxMessageBytes: integer('GRPC_MAX_MESSAGE_BYTES', {
    default: 4_194_304,
    min: 1_024,
    max: 67_108_864,
    unit: 'bytes',
    doc: 'Largest message that is sent or taken.',
  }),
} as const;

/** Settings of gRPC clients: `settings({ client: grpcClientSettings })`. */
export const grpcClientSettings = { tls } as const;
