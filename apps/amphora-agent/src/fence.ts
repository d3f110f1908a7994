import { RequestError } from './errors.ts';
import { readJson, replaceFile } from './files.ts';

/** Flows whose epoch is remembered. A load balancer has one flow at a time; a hundred reach back hours. */
const MAX_FLOWS = 100;

/**
 * Refuses calls of a worker that lost its flow to another one: such a worker may have been stopped in the middle and wake up
 * much later. Each call carries `<flow id>:<epoch>`; the highest epoch of a flow is kept on disk and lower ones are refused.
 */
export class FenceBook {
  readonly #file: string;
  /** Flow id to highest epoch, the one that was written last at the end. */
  #epochs: Map<string, number>;

  constructor(file: string) {
    this.#file = file;
    this.#epochs = new Map(entriesOf(readJson(file)));
  }

  /** Admits a changing call, or throws 409 when its epoch is stale and 400 when the header cannot be read. */
  admit(header: string): void {
    const [, flow = '', digits = ''] = /^([A-Za-z0-9-]{1,64}):(\d{1,15})$/.exec(header) ?? [];
    if (flow === '') throw new RequestError(400, 'Invalid request', 'X-Octavia-Fence must be <flow id>:<epoch>');
    const epoch = Number(digits);
    const highest = this.#epochs.get(flow);
    if (highest !== undefined && epoch < highest)
      throw new RequestError(
        409,
        'Stale fence',
        `Flow ${flow} is at epoch ${highest}; epoch ${epoch} lost it and must stop`,
      );
    if (epoch !== highest) this.#remember(flow, epoch);
  }

  #remember(flow: string, epoch: number): void {
    const epochs = new Map(this.#epochs);
    epochs.delete(flow);
    epochs.set(flow, epoch);
    const kept = [...epochs].slice(-MAX_FLOWS);
    // On disk first: a fence that is forgotten in a crash would let the old worker in.
    replaceFile(this.#file, JSON.stringify(kept));
    this.#epochs = new Map(kept);
  }
}

function entriesOf(value: unknown): [string, number][] {
  if (!Array.isArray(value)) return [];
  return value.filter(
    (entry) => Array.isArray(entry) && typeof entry[0] === 'string' && Number.isSafeInteger(entry[1]),
  );
}
