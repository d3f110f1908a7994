import { AsyncLocalStorage } from 'node:async_hooks';
import { writeSync } from 'node:fs';
import { DomainError } from '@octavia/domain';
import type { Drivers } from '@octavia/drivers';
import { Closing } from '../../src/engine/flow.ts';
import type { AnyWorkerFlow, Context, World } from '../../src/world.ts';

/** The transaction that ends a flow, as if it were its last step. */
export const END = '(end)';

/** Where a flow is. `point` is one of `before`, `call …`, `effect …`, `commit`, `after`, `saving`. */
export interface Point {
  readonly flow: string;
  readonly step: string;
  readonly direction: 'do' | 'undo';
  readonly point: string;
}

/** What happens at a point, once. `hold`: the process waits there until it is told to go on. */
export interface Trap extends Point {
  readonly act: 'kill' | 'stop' | 'hold' | 'fail';
}

/** A failure that no retry heals. */
export class Broken extends DomainError {
  readonly kind = 'state';
  readonly reason = 'BROKEN_ON_PURPOSE';
}

const STOPS_WITHIN_MS = 500;

/**
 * Sets traps into flows and drivers, from outside: neither knows. Between two statements of a step there are as many points as it has
 * effects: each call of a driver, before it is made and after it was heard outside but not here, and each transaction, before it commits.
 */
export class Traps {
  readonly #place = new AsyncLocalStorage<Omit<Point, 'point'>>();
  readonly #tellFd: number;
  readonly #seen = new Map<string, Point>();
  #armed: Trap[] = [];
  #goOn = Promise.withResolvers<void>();

  /** @param tellFd a file descriptor that hears of each trap in a line of JSON, written before the trap shuts */
  constructor(tellFd: number) {
    this.#tellFd = tellFd;
  }

  /** Forgets the points that were passed. */
  arm(traps: readonly Trap[]): void {
    this.#armed = [...traps];
    this.#seen.clear();
    this.#goOn = Promise.withResolvers();
  }

  goOn(): void {
    this.#goOn.resolve();
  }

  /** Every point that was passed, in order. */
  get seen(): readonly Point[] {
    return [...this.#seen.values()];
  }

  flows(definitions: readonly AnyWorkerFlow[]): AnyWorkerFlow[] {
    return definitions.map((flow) => ({
      ...flow,
      steps: flow.steps.map((step) => {
        const { do: work, undo } = step;
        const place = { flow: flow.name, step: step.name } as const;
        return {
          ...step,
          do: (state: never, context: Context) =>
            this.#do({ ...place, direction: 'do' }, context, (c) => work(state, c)),
          ...(undo && {
            undo: (state: never, context: Context) =>
              this.#within({ ...place, direction: 'undo' }, context, (inner) => undo(state, inner)),
          }),
        };
      }),
      settle: (tx, end, world: World) =>
        this.#place.run({ flow: flow.name, step: END, direction: 'do' }, async () => {
          await this.#at('before');
          const push = (await flow.settle?.(tx, end, world)) ?? null;
          await this.#at('saving');
          return push;
        }),
    }));
  }

  drivers(drivers: Omit<Drivers, 'breakers' | 'close'>): Omit<Drivers, 'breakers' | 'close'> {
    return {
      compute: this.#driver('compute', drivers.compute),
      network: this.#driver('network', drivers.network),
      amphora: this.#driver('amphora', drivers.amphora),
      certificates: this.#driver('certificates', drivers.certificates),
    };
  }

  async #do(
    place: Omit<Point, 'point'>,
    context: Context,
    work: (context: Context) => Promise<unknown>,
  ): Promise<Closing<object> | object | undefined> {
    const result = await this.#within(place, context, work);
    if (!(result instanceof Closing)) return result as object | undefined;
    return new Closing((tx) =>
      this.#place.run(place, async () => {
        const output = await result.write(tx);
        await this.#at('saving');
        return output;
      }),
    );
  }

  #within<T>(place: Omit<Point, 'point'>, context: Context, work: (context: Context) => Promise<T>): Promise<T> {
    return this.#place.run(place, async () => {
      await this.#at('before');
      const result = await work({
        ...context,
        transaction: (statements) =>
          context.transaction(async (tx) => {
            const written = await statements(tx);
            await this.#at('commit');
            return written;
          }),
      });
      await this.#at('after');
      return result;
    });
  }

  #driver<T extends object>(kind: string, driver: T): T {
    return new Proxy(driver, {
      get: (target, key) => {
        const value = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          await this.#at(`call ${kind}.${String(key)}`);
          const answer = await value.apply(target, args);
          await this.#at(`effect ${kind}.${String(key)}`);
          return answer;
        };
      },
    });
  }

  async #at(point: string): Promise<void> {
    const place = this.#place.getStore();
    if (!place) return;
    const here = { ...place, point };
    const key = keyOf(here);
    this.#seen.set(key, here);
    const trap = this.#armed.find((armed) => keyOf(armed) === key);
    if (!trap) return;
    this.#armed = this.#armed.filter((armed) => armed !== trap);
    // Of the traps that only lead to another one nobody needs to hear.
    if (trap.act === 'fail') throw new Broken(`${place.step} is broken at ${point}, on purpose.`);
    writeSync(this.#tellFd, `${JSON.stringify(here)}\n`);
    if (trap.act === 'kill') process.kill(process.pid, 'SIGKILL');
    if (trap.act === 'stop') {
      process.kill(process.pid, 'SIGSTOP');
      // It may take a moment until all threads have stopped. Nothing else runs meanwhile, and no event is heard before it goes on.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STOPS_WITHIN_MS);
    }
    if (trap.act === 'hold') await this.#goOn.promise;
  }
}

export function keyOf({ flow, step, direction, point }: Point): string {
  return `${flow} ${step} ${direction} ${point}`;
}
