import { createHash } from 'node:crypto';
import type { RefusedChange } from '@octavia/db';
import type { Amphora, Fault } from '@octavia/domain';
import { ConfigurationRefused } from '@octavia/drivers';
import { ATTR, METRIC, meter } from '@octavia/service';
import { type Context, callOf, endpointOf } from '../world.ts';
import type { Plan, Rendered } from './plan-push.ts';

/**
 * Asks the amphorae of a load balancer about one configuration after the other. What one of them refuses counts as refused; one that
 * cannot be reached has no say from then on.
 */
export class CheckedBy {
  readonly #by: 'check' | 'reload';
  readonly #loadBalancerId: string;
  readonly #suspects: number;
  readonly #context: Context;
  readonly #known = new Map<string, Fault | null>();
  readonly #lost = new Map<string, unknown>();
  readonly #checks = meter().createCounter(METRIC.PUSH_CHECKS, {
    unit: '{check}',
    description: 'Configurations that amphorae were asked about to find refused changes',
  });
  readonly #refused = meter().createCounter(METRIC.PUSH_REFUSED, {
    unit: '{change}',
    description: 'Changes that the data plane refused',
  });
  #count = 0;

  constructor(by: 'check' | 'reload', { loadBalancerId }: Plan, suspects: number, context: Context) {
    this.#by = by;
    this.#loadBalancerId = loadBalancerId;
    this.#suspects = suspects;
    this.#context = context;
  }

  /** Configurations that were asked about. */
  get count(): number {
    return this.#count;
  }

  /** @returns null: all that can be reached take it. @throws what the last one threw, when none can be reached; the signal's reason */
  async ask(texts: Rendered['texts']): Promise<Fault | null> {
    const { signal } = this.#context;
    signal.throwIfAborted();
    // Changes that are not rendered, such as names, make no difference.
    const key = texts.map(({ text }) => createHash('md5').update(text).digest('hex')).join();
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#count++;
    const rounds = Math.ceil(Math.log2(this.#suspects + 1)) + 2;
    await this.#context.waitingFor(
      `the amphorae to say which of ${this.#suspects} changes they refuse: check ${this.#count}, about ${rounds} for each refused change`,
    );
    const asked = texts.filter(({ amphora }) => !this.#lost.has(amphora.id));
    const answers = await Promise.all(asked.map(({ amphora, text }) => this.#askOne(amphora, text)));
    signal.throwIfAborted();
    if (this.#lost.size === texts.length) throw [...this.#lost.values()].at(-1);
    const refusal = answers.find((answer) => answer !== null) ?? null;
    this.#checks.add(1, { [ATTR.PUSH_CHECK_OUTCOME]: refusal ? 'refused' : 'passed' });
    this.#known.set(key, refusal);
    return refusal;
  }

  tellRefused(refused: readonly RefusedChange[]): void {
    for (const { fault } of refused) this.#refused.add(1, { [ATTR.REASON]: fault.reason });
  }

  async #askOne(amphora: Amphora, text: string): Promise<Fault | null> {
    const { amphora: driver, log } = this.#context;
    const call = [endpointOf(amphora), this.#loadBalancerId, text, callOf(this.#context)] as const;
    try {
      await (this.#by === 'check' ? driver.checkHaproxy(...call) : driver.pushHaproxy(...call));
      return null;
    } catch (error) {
      if (error instanceof ConfigurationRefused) return { reason: error.reason, message: error.message };
      this.#lost.set(amphora.id, error);
      log.warn({ [ATTR.AMPHORA_ID]: amphora.id, err: error }, 'amphora not reached, the others say what is refused');
      return null;
    }
  }
}
