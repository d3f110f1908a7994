import { formatHostPort, type HostPort, type RpcClient, rpcClient, type TlsFiles } from '@octavia/service';
import { service } from 'grpc-health-check';

interface HealthReply {
  readonly status: string;
}

/** grpc.health.v1 as the part that we ask for. */
interface HealthDefinition {
  readonly check: {
    readonly path: string;
    readonly requestStream: false;
    readonly responseStream: false;
    readonly requestSerialize: (value: never) => Buffer;
    readonly requestDeserialize: (bytes: Buffer) => { service: string };
    readonly responseSerialize: (value: never) => Buffer;
    readonly responseDeserialize: (bytes: Buffer) => HealthReply;
  };
  readonly [method: string]: HealthDefinition['check'];
}

const HEALTH = { service: { check: service.Check } as unknown as HealthDefinition };

/** Asks our services by grpc.health.v1 how they are, over connections that are kept. */
export class HealthChecks {
  readonly #tls: TlsFiles;
  readonly #clients = new Map<string, RpcClient<HealthDefinition>>();

  constructor(tls: TlsFiles) {
    this.#tls = tls;
  }

  /** SERVING, NOT_SERVING, or UNREACHABLE when there is no answer within the limit. */
  async check(address: HostPort, limitMs: number): Promise<string> {
    const key = formatHostPort(address);
    const client = this.#clients.get(key) ?? rpcClient(HEALTH, address, this.#tls);
    this.#clients.set(key, client);
    try {
      const { status } = await client.check({ service: '' }, { deadlineMs: limitMs });
      return String(status);
    } catch {
      return 'UNREACHABLE';
    }
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }
}
