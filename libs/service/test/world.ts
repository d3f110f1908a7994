import {
  type Drivers,
  type GetSubnetRequest,
  HeartbeatServiceClient,
  HeartbeatServiceService,
  LookupServiceClient,
  LookupServiceService,
  type ShardMap,
  type Subnet,
  type WatchShardMapRequest,
} from '@octavia/proto';
import { pino } from 'pino';
import {
  type CallContext,
  GrpcServer,
  type GrpcServerOptions,
  type RpcClient,
  type RpcClientOptions,
  rpcClient,
  type StreamContext,
  serverStream,
  unary,
} from '../src/index.ts';
import { type TestPki, testPki } from '../src/testing/index.ts';

/** What a test makes the server do. Without it: an empty reply. */
export interface Behaviour {
  getSubnet?(request: GetSubnetRequest, context: CallContext): Promise<Subnet> | Subnet;
  getDrivers?(context: CallContext): Promise<Drivers> | Drivers;
  watch?(context: StreamContext<ShardMap>): Promise<void>;
}

export interface World {
  readonly pki: TestPki;
  readonly server: GrpcServer;
  /** Lines that the server has logged. */
  readonly lines: Record<string, unknown>[];
  lookup(commonName?: string, options?: Partial<RpcClientOptions>): Promise<RpcClient<typeof LookupServiceService>>;
  heartbeats(): Promise<RpcClient<typeof HeartbeatServiceService>>;
  stop(): Promise<void>;
}

export const emptySubnet: Subnet = { id: '', networkId: '', cidr: '' };

/** A server with two services on loopback, over real mutual TLS, and clients of it. */
export async function startWorld(behaviour: Behaviour = {}, options: Partial<GrpcServerOptions> = {}): Promise<World> {
  const pki = await testPki();
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => lines.push(JSON.parse(line)) });
  const tls = await pki.cert('server');
  const bind = { host: '127.0.0.1', port: 0 };
  const server = new GrpcServer({ bind, tls, allowedClients: ['client'], drainMs: 2000, log, ...options })
    .add(LookupServiceService, {
      getSubnet: unary((request, context) => behaviour.getSubnet?.(request, context) ?? emptySubnet),
      getDrivers: unary((_, context) => behaviour.getDrivers?.(context) ?? { names: {} }),
    })
    .add(HeartbeatServiceService, {
      watchShardMap: serverStream<WatchShardMapRequest, ShardMap>(async (_, context) => behaviour.watch?.(context)),
    });
  await server.start();
  const clients: { close(): void }[] = [];
  const open = <C extends { close(): void }>(client: C): C => {
    clients.push(client);
    return client;
  };
  return {
    pki,
    server,
    lines,
    lookup: async (commonName = 'client', more = {}) =>
      open(rpcClient(LookupServiceClient, server.address, { ...(await pki.cert(commonName)), ...more })),
    heartbeats: async () => open(rpcClient(HeartbeatServiceClient, server.address, await pki.cert('client'))),
    async stop() {
      for (const client of clients) client.close();
      await server.stop();
      pki.remove();
    },
  };
}

/** Waits until something is so, at most 10 s. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 10_000;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error('it did not come to be so within 10 s');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
