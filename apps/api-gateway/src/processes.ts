import {
  type Process,
  type ProcessLogLevel,
  ProcessServiceClient,
  type SetProcessLogLevelRequest,
} from '@octavia/proto';
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

interface Clients {
  readonly health: RpcClient<HealthDefinition>;
  readonly process: RpcClient<typeof ProcessServiceClient.service>;
}

/** What a process of ours says of itself. */
export interface ProcessState {
  /** SERVING, NOT_SERVING, or UNREACHABLE when there is no answer in time. */
  readonly state: string;
  /** Null: it does not answer, or is of a release that does not tell. */
  readonly process: Process | null;
}

/** Asks our other processes how they are and what they are, over connections that are kept. */
export class Processes {
  readonly #tls: TlsFiles;
  readonly #clients = new Map<string, Clients>();

  constructor(tls: TlsFiles) {
    this.#tls = tls;
  }

  /** Never fails: what does not answer is what an operator wants to see. */
  async ask(address: HostPort, limitMs: number): Promise<ProcessState> {
    const { health, process } = this.#clientsOf(address);
    const [state, described] = await Promise.all([
      health.check({ service: '' }, { deadlineMs: limitMs }).then(
        ({ status }) => String(status),
        () => 'UNREACHABLE',
      ),
      process.getProcess({}, { deadlineMs: limitMs }).catch(() => null),
    ]);
    return { state, process: described };
  }

  /** @throws RemoteError as the process answers, or UNAVAILABLE */
  setLogLevel(address: HostPort, request: SetProcessLogLevelRequest): Promise<ProcessLogLevel> {
    return this.#clientsOf(address).process.setProcessLogLevel(request);
  }

  close(): void {
    for (const { health, process } of this.#clients.values()) {
      health.close();
      process.close();
    }
    this.#clients.clear();
  }

  #clientsOf(address: HostPort): Clients {
    const key = formatHostPort(address);
    const clients = this.#clients.get(key) ?? {
      health: rpcClient(HEALTH, address, this.#tls),
      process: rpcClient(ProcessServiceClient, address, this.#tls),
    };
    this.#clients.set(key, clients);
    return clients;
  }
}
