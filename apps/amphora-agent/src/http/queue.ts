import { RequestError } from '../errors.ts';

/** The controller never sends two calls to one amphora at once; more than a few waiting ones are a fault. */
const MAX_WAITING = 32;

/** Runs one piece of work at a time, in the order of arrival, as Octavia's agent with its single worker does. */
export class WorkQueue {
  #last: Promise<unknown> = Promise.resolve();
  #length = 0;

  /** @throws RequestError 503 when too many wait */
  run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#length > MAX_WAITING)
      return Promise.reject(new RequestError(503, 'Too many requests', `More than ${MAX_WAITING} requests wait`));
    this.#length += 1;
    const done = this.#last.then(work).finally(() => {
      this.#length -= 1;
    });
    this.#last = done.catch(() => undefined);
    return done;
  }
}
