import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AmphoraServiceClient,
  type AmphoraStatus,
  Listener,
  ListenerServiceClient,
  LoadBalancer,
  LoadBalancerServiceClient,
  Member,
  MemberServiceClient,
  Pool,
  PoolServiceClient,
  SystemServiceClient,
  type Topology,
} from '@octavia/proto';
import { type RpcClientOptions, rpcClient } from '@octavia/service';

const CALLER = { projectId: 'bench', userId: 'bench', roles: ['admin'] };
/** Flows give up after 60 s. */
const SETTLE_LIMIT_MS = 90_000;
const CALL_LIMIT_MS = 30_000;
const options = { caller: CALLER, deadlineMs: CALL_LIMIT_MS };

/** What a list tells of an amphora. */
export interface AmphoraSeen {
  readonly id: string;
  /** Empty: a spare. */
  readonly loadBalancerId: string;
  readonly status: AmphoraStatus;
  /** In milliseconds since 1970, to the second; null: never. */
  readonly heardAt: number | null;
}

/** The calls that benchmarks make, straight over gRPC: what is measured is the controller, not the command line. */
export class Api {
  readonly address: string;
  readonly tls: RpcClientOptions;
  readonly #loadBalancers;
  readonly #listeners;
  readonly #pools;
  readonly #members;
  readonly #system;
  readonly #amphorae;

  constructor(home: string) {
    const connection = JSON.parse(readFileSync(join(home, 'octaviactl.json'), 'utf8'));
    this.address = connection.address;
    this.tls = {
      certFile: connection.cert_file,
      keyFile: connection.key_file,
      caFile: connection.ca_file,
      serverName: 'api-gateway',
    };
    this.#loadBalancers = rpcClient(LoadBalancerServiceClient, this.address, this.tls);
    this.#listeners = rpcClient(ListenerServiceClient, this.address, this.tls);
    this.#pools = rpcClient(PoolServiceClient, this.address, this.tls);
    this.#members = rpcClient(MemberServiceClient, this.address, this.tls);
    this.#system = rpcClient(SystemServiceClient, this.address, this.tls);
    this.#amphorae = rpcClient(AmphoraServiceClient, this.address, this.tls);
  }

  close(): void {
    const clients = [this.#loadBalancers, this.#listeners, this.#pools, this.#members, this.#system, this.#amphorae];
    for (const client of clients) client.close();
  }

  async createLoadBalancer(topology: Topology = 'TOPOLOGY_UNSPECIFIED'): Promise<{ id: string; vip: string }> {
    const loadBalancer = LoadBalancer.fromPartial({ topology });
    const { id, vipAddress } = await this.#loadBalancers.createLoadBalancer({ loadBalancer, requestId: '' }, options);
    return { id, vip: vipAddress };
  }

  async getLoadBalancer(id: string) {
    return this.#loadBalancers.getLoadBalancer({ id }, options);
  }

  /** Listener and pool of HTTP, without members. Returns the pool's id. */
  async addListener(loadBalancerId: string, port: number): Promise<string> {
    const listener = await this.#listeners.createListener(
      {
        listener: Listener.fromPartial({ loadBalancerId, protocol: 'PROTOCOL_HTTP', protocolPort: port }),
        requestId: '',
      },
      options,
    );
    const pool = await this.#pools.createPool(
      {
        pool: Pool.fromPartial({ protocol: 'PROTOCOL_HTTP', lbAlgorithm: 'LB_ALGORITHM_ROUND_ROBIN' }),
        listenerId: listener.id,
        requestId: '',
      },
      options,
    );
    return pool.id;
  }

  /** Where amphorae reach servers of this machine. */
  async hostAddress(): Promise<string> {
    const { hostAddress } = await this.#system.getSystemStatus({}, options);
    return hostAddress || '127.0.0.1';
  }

  async addMember(poolId: string, port: number, address = '127.0.0.1'): Promise<string> {
    const member = Member.fromPartial({ poolId, address, protocolPort: port });
    return (await this.#members.createMember({ member, requestId: '' }, options)).id;
  }

  async removeMember(id: string): Promise<void> {
    await this.#members.deleteMember({ id, etag: '', requestId: '' }, options);
  }

  /** Watches until the load balancer is ACTIVE. @throws Error when it ends in ERROR */
  async untilActive(id: string): Promise<void> {
    for await (const { provisioningStatus, statusDetail } of this.#watch(id)) {
      if (provisioningStatus === 'PROVISIONING_STATUS_ACTIVE') return;
      if (provisioningStatus === 'PROVISIONING_STATUS_ERROR') {
        throw new Error(`Load balancer ${id} is in ERROR: ${JSON.stringify(statusDetail)}`);
      }
    }
  }

  async deleteLoadBalancer(id: string): Promise<void> {
    await this.#loadBalancers.deleteLoadBalancer({ id, cascade: true, etag: '', requestId: '' }, options);
    for await (const _ of this.#watch(id)) {
      // Ends with DELETED.
    }
  }

  async amphorae(status: AmphoraStatus, loadBalancerId = ''): Promise<string[]> {
    const { amphorae } = await this.#amphorae.listAmphorae(
      { pageSize: 1000, pageToken: '', loadBalancerId, status },
      options,
    );
    return amphorae.map(({ id }) => id);
  }

  /** Those that serve, and the spares that are ready. */
  async allAmphorae(): Promise<AmphoraSeen[]> {
    const request = {
      pageSize: 1000,
      pageToken: '',
      loadBalancerId: '',
      status: 'AMPHORA_STATUS_UNSPECIFIED',
    } as const;
    const { amphorae } = await this.#amphorae.listAmphorae(request, options);
    return amphorae.map(({ id, loadBalancerId, status, lastHeartbeatAt }) => ({
      id,
      loadBalancerId,
      status,
      heardAt: lastHeartbeatAt?.getTime() ?? null,
    }));
  }

  #watch(id: string) {
    return this.#loadBalancers.watchLoadBalancer({ id }, { caller: CALLER, deadlineMs: SETTLE_LIMIT_MS });
  }
}
