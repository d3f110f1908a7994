import { createHash } from 'node:crypto';
import type { RefusedChange } from '@octavia/db';
import type { Fault, SeatedAmphora } from '@octavia/domain';
import { AmphoraUnavailable, ConfigurationRefused } from '@octavia/drivers';
import { ATTR } from '@octavia/service';
import { pushMetrics } from '../push-metrics.ts';
import { type Context, callOf, endpointOf } from '../world.ts';
import type { Plan, Rendered } from './plan-push.ts';

/** One amphora has no say any more, others have: what was refused so far may be taken. */
export class FewerAmphorae extends Error {}

/**
 * Asks the amphorae of a load balancer about one configuration after the other. What one of them refuses counts as refused; one that
 * cannot be reached, or refuses everything, has no say from then on.
 */
export class CheckedBy {
  readonly #by: 'check' | 'reload';
  readonly #loadBalancerId: string;
  readonly #suspects: number;
  readonly #context: Context;
  readonly #known = new Map<string, Fault | null>();
  readonly #lost = new Map<string, unknown>();
  /** What each amphora said the last time. */
  #answers: readonly { readonly id: string; readonly fault: Fault | null }[] = [];
  readonly #metrics = pushMetrics();
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

  /** Amphorae that could not be reached or refused everything, with why. */
  get lost(): ReadonlyMap<string, unknown> {
    return this.#lost;
  }

  /**
   * @returns null: all that can be reached take it
   * @throws FewerAmphorae; what the last one threw, when none can be reached; the signal's reason
   */
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
    const lostBefore = this.#lost.size;
    this.#answers = await Promise.all(asked.map(async ({ amphora, text }) => this.#askOne(amphora, text)));
    signal.throwIfAborted();
    if (this.#lost.size === texts.length) throw [...this.#lost.values()].at(-1);
    if (this.#lost.size > lostBefore) {
      this.#known.clear();
      throw new FewerAmphorae();
    }
    const refusal = this.#answers.find(({ fault }) => fault !== null)?.fault ?? null;
    this.#metrics.checks.add(1, { [ATTR.PUSH_CHECK_OUTCOME]: refusal ? 'refused' : 'passed' });
    this.#known.set(key, refusal);
    return refusal;
  }

  /**
   * After a refusal of what has no change in it: whoever refused it is out of order, where another one takes it.
   * @returns whether another one does
   */
  leaveOutBroken(): boolean {
    const broken = this.#answers.filter(({ fault }) => fault !== null);
    if (broken.length === this.#answers.length) return false;
    for (const { id, fault } of broken) {
      const details = { amphoraId: id };
      this.#lost.set(id, new AmphoraUnavailable(`Amphora ${id} refuses everything: ${fault?.message}`, details));
      this.#context.log.warn(
        { [ATTR.AMPHORA_ID]: id, reason: fault?.message },
        'amphora refuses everything, others do not',
      );
    }
    this.#known.clear();
    return true;
  }

  tellRefused(refused: readonly RefusedChange[]): void {
    for (const { fault } of refused) this.#metrics.refused.add(1, { [ATTR.REASON]: fault.reason });
  }

  async #askOne(amphora: SeatedAmphora, text: string): Promise<{ readonly id: string; readonly fault: Fault | null }> {
    const { id } = amphora;
    const { amphora: driver, log } = this.#context;
    const call = [endpointOf(amphora), this.#loadBalancerId, text, callOf(this.#context)] as const;
    try {
      await (this.#by === 'check' ? driver.checkHaproxy(...call) : driver.pushHaproxy(...call));
      return { id, fault: null };
    } catch (error) {
      if (error instanceof ConfigurationRefused) return { id, fault: { reason: error.reason, message: error.message } };
      this.#lost.set(id, error);
      log.warn({ [ATTR.AMPHORA_ID]: id, err: error }, 'amphora not reached, the others say what is refused');
      return { id, fault: null };
    }
  }
}
