/** A controller at the wire, in memory, and the real command line as a child process. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js';
import {
  AmphoraServiceService,
  AvailabilityZoneProfileServiceService,
  AvailabilityZoneServiceService,
  BadRequest,
  ErrorInfo,
  EventServiceService,
  FlavorProfileServiceService,
  FlavorServiceService,
  FlowServiceService,
  HealthMonitor,
  HealthMonitorServiceService,
  Listener,
  ListenerServiceService,
  LoadBalancer,
  LoadBalancerServiceService,
  Member,
  MemberServiceService,
  OrphanServiceService,
  Pool,
  PoolServiceService,
  ProviderServiceService,
  ProvisioningStatus,
  RevisionServiceService,
  RpcStatus,
  StatusDetail,
  SystemServiceService,
  type WatchLoadBalancerRequest,
} from '@octavia/proto';
import { makeCertificates, type Pems } from './certificates.ts';

export const PACKAGE = resolve(import.meta.dirname, '..');
export const BIN = join(PACKAGE, 'bin/octaviactl.mjs');

/** One call that the server got. */
export interface Call {
  readonly method: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into requests of many types.
  readonly request: any;
  readonly metadata: Record<string, string>;
}

/** What a handler throws to answer with a rich error. */
export class Refusal extends Error {
  readonly code: status;
  readonly reason: string;
  readonly fields: { field: string; description: string; reason: string }[];
  constructor(code: status, reason: string, message: string, fields: Refusal['fields'] = []) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.fields = fields;
  }
}

type Stored = LoadBalancer | Listener | Pool | Member | HealthMonitor;
// biome-ignore lint/suspicious/noExplicitAny: handlers of many methods in one table.
type Handler = (request: any) => unknown;

/** What `run` gives. */
export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export class World {
  readonly folder = mkdtempSync(join(tmpdir(), 'octaviactl-'));
  readonly calls: Call[] = [];
  readonly objects = new Map<string, Stored>();
  readonly configFile = join(this.folder, 'octaviactl.json');
  /** Replaces the answer to one method; returning undefined leaves the usual one. */
  readonly overrides = new Map<string, Handler>();
  readonly #watchers = new Map<string, Set<ServerWritableStream<WatchLoadBalancerRequest, LoadBalancer>>>();
  readonly #children = new Set<ChildProcess>();
  #server: Server;
  readonly #pems: Pems;
  port = 0;

  static async start(): Promise<World> {
    execFileSync(process.execPath, [join(PACKAGE, 'build.mjs')]);
    const world = new World(await makeCertificates());
    await world.listen();
    return world;
  }

  private constructor(pems: Pems) {
    this.#pems = pems;
    this.#server = new Server();
    writeFileSync(join(this.folder, 'ca.pem'), pems.ca);
    writeFileSync(join(this.folder, 'cert.pem'), pems.client.cert);
    writeFileSync(join(this.folder, 'key.pem'), pems.client.key);
  }

  /** Listens: on a free port at first, on the same one again after `halt`. */
  async listen(): Promise<void> {
    const { ca, server } = this.#pems;
    const credentials = ServerCredentials.createSsl(
      Buffer.from(ca),
      [{ cert_chain: Buffer.from(server.cert), private_key: Buffer.from(server.key) }],
      true,
    );
    this.#server = new Server();
    for (const definition of [
      LoadBalancerServiceService,
      ListenerServiceService,
      PoolServiceService,
      MemberServiceService,
      HealthMonitorServiceService,
      FlavorServiceService,
      FlavorProfileServiceService,
      AvailabilityZoneServiceService,
      AvailabilityZoneProfileServiceService,
      ProviderServiceService,
      AmphoraServiceService,
      FlowServiceService,
      EventServiceService,
      RevisionServiceService,
      SystemServiceService,
      OrphanServiceService,
    ]) {
      this.#serve(definition as ServiceDefinition);
    }
    this.port = await new Promise((done, fail) => {
      this.#server.bindAsync(`127.0.0.1:${this.port}`, credentials, (error, port) =>
        error ? fail(error) : done(port),
      );
    });
    this.writeConfig(this.configFile);
  }

  /** Ends the server as a crash does. */
  halt(): void {
    this.#server.forceShutdown();
  }

  stop(): void {
    for (const child of this.#children) child.kill('SIGKILL'); // Those of a test that ran out of time.
    this.halt();
    rmSync(this.folder, { recursive: true, force: true });
  }

  writeConfig(path: string, address = `127.0.0.1:${this.port}`): void {
    const file = (name: string) => join(this.folder, name);
    const identity = { project_id: 'project-a', user_id: 'operator', roles: ['load-balancer_admin'] };
    writeFileSync(
      path,
      JSON.stringify({
        address,
        ca_file: file('ca.pem'),
        cert_file: path === this.configFile ? 'cert.pem' : file('cert.pem'),
        key_file: file('key.pem'),
        ...identity,
      }),
    );
  }

  /** Runs the command line. `during` is called with each new piece of standard error. */
  run(
    line: string | string[],
    options: {
      env?: Record<string, string>;
      cwd?: string;
      node?: string;
      during?: (err: string, child: { kill(signal: NodeJS.Signals): boolean }) => void;
    } = {},
  ): Promise<Outcome> {
    const args = typeof line === 'string' ? line.split(' ').filter(Boolean) : line;
    const child = spawn(options.node ?? process.execPath, [BIN, ...args], {
      cwd: options.cwd ?? this.folder,
      env: { PATH: process.env.PATH, OCTAVIACTL_CONFIG: this.configFile, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.add(child);
    let out = '';
    let err = '';
    child.stdout.on('data', (piece) => {
      out += piece;
    });
    child.stderr.on('data', (piece) => {
      err += piece;
      options.during?.(err, child);
    });
    return new Promise((done) =>
      child.on('close', (code) => {
        this.#children.delete(child);
        done({ code, out, err });
      }),
    );
  }

  /** Runs with `-f json` and gives what was printed; fails when the command did. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever was printed.
  async json(line: string): Promise<any> {
    const { code, out, err } = await this.run(`${line} -f json`);
    if (code !== 0) throw new Error(`${line} ended with ${code}: ${err}`);
    return JSON.parse(out);
  }

  /** The request of the newest call of a method. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into requests of many types.
  request(method: string): any {
    return this.calls.findLast((call) => call.method === method)?.request;
  }

  put<T extends Stored>(object: T): T {
    this.objects.set(object.id, object);
    this.tell(object.id);
    return object;
  }

  /** Changes an object and tells whoever watches its load balancer. */
  change(id: string, values: Partial<LoadBalancer>): void {
    const object = this.objects.get(id);
    if (object) this.put({ ...object, ...values } as Stored);
  }

  forget(id: string): void {
    const object = this.objects.get(id);
    this.objects.delete(id);
    if (object) this.#tellLoadBalancer(loadBalancerOf(object));
  }

  tell(id: string): void {
    const object = this.objects.get(id);
    if (object) this.#tellLoadBalancer(loadBalancerOf(object));
  }

  #tellLoadBalancer(id: string): void {
    const lb = this.objects.get(id) as LoadBalancer | undefined;
    for (const watcher of this.#watchers.get(id) ?? []) {
      if (lb) watcher.write(lb);
      else watcher.end();
    }
  }

  #serve(definition: ServiceDefinition): void {
    const handlers: Record<string, unknown> = {};
    for (const [name, { responseStream }] of Object.entries(definition)) {
      handlers[name] = responseStream
        ? (call: ServerWritableStream<WatchLoadBalancerRequest, LoadBalancer>) => this.#stream(name, call)
        : // biome-ignore lint/suspicious/noExplicitAny: one handler for all unary methods.
          (call: any, answer: (error: unknown, reply?: unknown) => void) => {
            this.#note(name, call.request, call.metadata);
            try {
              answer(null, this.overrides.get(name)?.(call.request) ?? this.#answer(name, call.request));
            } catch (error) {
              answer(rich(error as Refusal));
            }
          };
    }
    this.#server.addService(definition, handlers as never);
  }

  #note(method: string, request: unknown, metadata: Metadata): void {
    this.calls.push({ method, request, metadata: metadata.getMap() as Record<string, string> });
  }

  /** The items that an override gives, then the end or what it throws at last; without one, the watch of a load balancer. */
  #stream(name: string, call: ServerWritableStream<WatchLoadBalancerRequest, LoadBalancer>): void {
    const override = this.overrides.get(name);
    if (!override) {
      this.#watch(call);
      return;
    }
    this.#note(name, call.request, call.metadata);
    try {
      for (const item of override(call.request) as Iterable<LoadBalancer>) call.write(item);
      call.end();
    } catch (error) {
      call.emit('error', rich(error as Refusal));
    }
  }

  #watch(call: ServerWritableStream<WatchLoadBalancerRequest, LoadBalancer>): void {
    this.#note('watchLoadBalancer', call.request, call.metadata);
    const { id } = call.request;
    const watchers = this.#watchers.get(id) ?? new Set();
    this.#watchers.set(id, watchers.add(call));
    call.on('cancelled', () => watchers.delete(call));
    call.on('error', () => watchers.delete(call));
    this.#tellLoadBalancer(id);
  }

  // biome-ignore lint/suspicious/noExplicitAny: one rule for all methods of the contract.
  #answer(name: string, request: any): unknown {
    const [, verb = '', noun = ''] = /^(create|get|list|update|delete|failover)(.+?)$/.exec(name) ?? [];
    const kind = KINDS.find(({ plural, singular }) => noun === plural || noun === singular);
    if (!kind) return refuseUnimplemented(name);
    if (verb === 'list') return { [lower(kind.plural)]: this.#matching(kind, request), nextPageToken: '' };
    const field = lower(kind.singular);
    if (verb === 'create') return this.put(kind.create(request[field]));
    const id = request.id ?? request[field]?.id;
    const object = this.objects.get(id);
    if (!object) throw new Refusal(status.NOT_FOUND, 'NOT_FOUND', `There is no ${field} ${id}.`);
    if (verb === 'get') return object;
    const pending = verb === 'delete' ? ProvisioningStatus.PENDING_DELETE : ProvisioningStatus.PENDING_UPDATE;
    return this.put({ ...object, provisioningStatus: pending } as Stored);
  }

  // biome-ignore lint/suspicious/noExplicitAny: requests of many types.
  #matching(kind: (typeof KINDS)[number], request: any): Stored[] {
    return [...this.objects.values()].filter(
      (object) =>
        kindOf(object) === kind.singular &&
        (!request.name || object.name === request.name) &&
        (!request.projectId || object.projectId === request.projectId) &&
        (!request.loadBalancerId || loadBalancerOf(object) === request.loadBalancerId) &&
        (!request.poolId || ('poolId' in object && object.poolId === request.poolId)),
    );
  }
}

const made = () => ({
  id: randomUUID(),
  projectId: 'project-a',
  provisioningStatus: ProvisioningStatus.PENDING_CREATE,
  createdAt: new Date('2026-11-20T10:00:00.250Z'),
  etag: 'etag-1',
});

const KINDS = [
  {
    singular: 'LoadBalancer',
    plural: 'LoadBalancers',
    create: (wanted: LoadBalancer): Stored => ({
      ...wanted,
      ...made(),
      vipAddress: wanted.vipAddress || '127.0.1.7',
      provider: 'amphora',
    }),
  },
  { singular: 'Listener', plural: 'Listeners', create: (wanted: Listener): Stored => ({ ...wanted, ...made() }) },
  { singular: 'Pool', plural: 'Pools', create: (wanted: Pool): Stored => ({ ...wanted, ...made() }) },
  { singular: 'Member', plural: 'Members', create: (wanted: Member): Stored => ({ ...wanted, ...made() }) },
  {
    singular: 'HealthMonitor',
    plural: 'HealthMonitors',
    create: (wanted: HealthMonitor): Stored => ({ ...wanted, ...made() }),
  },
];

function kindOf(object: Stored): string {
  if ('vipAddress' in object) return 'LoadBalancer';
  if ('address' in object) return 'Member';
  if ('lbAlgorithm' in object) return 'Pool';
  return 'insertHeaders' in object ? 'Listener' : 'HealthMonitor';
}

function loadBalancerOf(object: Stored): string {
  return 'loadBalancerId' in object ? object.loadBalancerId : object.id;
}

function lower(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function refuseUnimplemented(name: string): never {
  throw new Refusal(status.UNIMPLEMENTED, 'UNIMPLEMENTED', `${name} is not implemented.`);
}

/** As our services answer: google.rpc.Status in the trailer. */
function rich({ code, reason, message, fields }: Refusal): unknown {
  const info = ErrorInfo.encode(ErrorInfo.create({ reason, domain: 'octavia' })).finish();
  const details = [{ typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value: Buffer.from(info) }];
  if (fields.length > 0) {
    const bad = BadRequest.encode(BadRequest.create({ fieldViolations: fields })).finish();
    details.push({ typeUrl: 'type.googleapis.com/google.rpc.BadRequest', value: Buffer.from(bad) });
  }
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(RpcStatus.encode({ code, message, details }).finish()));
  return { code, details: message, metadata };
}

/** A load balancer that is in place. */
export function activeLoadBalancer(values: Partial<LoadBalancer> = {}): LoadBalancer {
  return LoadBalancer.create({
    ...made(),
    name: 'web',
    vipAddress: '127.0.1.7',
    provider: 'amphora',
    provisioningStatus: 'PROVISIONING_STATUS_ACTIVE',
    operatingStatus: 'OPERATING_STATUS_ONLINE',
    ...values,
  });
}

/** A listener, pool, member and health monitor of a load balancer, in place. */
export function childrenOf(lb: LoadBalancer): {
  listener: Listener;
  pool: Pool;
  member: Member;
  monitor: HealthMonitor;
} {
  const common = () => ({
    ...made(),
    loadBalancerId: lb.id,
    provisioningStatus: 'PROVISIONING_STATUS_ACTIVE' as const,
    operatingStatus: 'OPERATING_STATUS_ONLINE' as const,
  });
  const pool = Pool.create({
    ...common(),
    name: 'p',
    protocol: 'PROTOCOL_HTTP',
    lbAlgorithm: 'LB_ALGORITHM_ROUND_ROBIN',
  });
  return {
    pool,
    listener: Listener.create({
      ...common(),
      name: 'http',
      protocol: 'PROTOCOL_HTTP',
      protocolPort: 8080,
      defaultPoolId: pool.id,
    }),
    member: Member.create({ ...common(), name: 'blue', poolId: pool.id, address: '127.0.0.1', protocolPort: 9001 }),
    monitor: HealthMonitor.create({
      ...common(),
      name: 'check',
      poolId: pool.id,
      type: 'HEALTH_MONITOR_TYPE_TLS_HELLO',
    }),
  };
}

/** A detail of a status. */
export function detail(values: Partial<StatusDetail>): StatusDetail {
  return StatusDetail.create(values);
}
