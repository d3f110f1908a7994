import type { Server, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { HealthImplementation } from 'grpc-health-check';

type Watch = ServerWritableStream<unknown, unknown>;

/** grpc.health.v1, whose watches end when the server stops: they would hold up the drain to its limit. */
export class HealthService {
  readonly #implementation: HealthImplementation;
  readonly #watches = new Set<Watch>();

  constructor(implementation: HealthImplementation) {
    this.#implementation = implementation;
  }

  addTo(server: Server): void {
    const addService = (definition: unknown, { watch, ...others }: UntypedServiceImplementation): void => {
      const tracked = (call: Watch): void => {
        this.#watches.add(call);
        call.on('cancelled', () => this.#watches.delete(call));
        call.on('error', () => this.#watches.delete(call));
        (watch as (call: Watch) => void)(call);
      };
      server.addService(definition as Parameters<Server['addService']>[0], { ...others, watch: tracked } as never);
    };
    this.#implementation.addToServer({ addService } as never);
  }

  set(service: string, isServing: boolean): void {
    this.#implementation.setStatus(service, isServing ? 'SERVING' : 'NOT_SERVING');
  }

  endWatches(): void {
    for (const call of this.#watches) call.end();
    this.#watches.clear();
  }
}
