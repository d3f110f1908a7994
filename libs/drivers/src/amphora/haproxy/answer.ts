import { z } from 'zod';
import type { CallContext } from '../../call-context.ts';
import { AmphoraError, AmphoraUnavailable, ConfigurationRefused, StaleFence } from '../../errors.ts';
import type { AmphoraEndpoint } from '../amphora-driver.ts';

/** An answer of an agent, as it came. */
export interface AgentAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly etag: string | null;
  readonly serverTiming: string;
  readonly text: string;
  /** The body where it is JSON; undefined where it is not. */
  readonly json: unknown;
}

/** The three shapes of an agent's errors, and `reason`, which only our agent may give. */
const errorSchema = z.object({
  message: z.string().optional(),
  details: z.string().optional(),
  error: z.string().optional(),
  reason: z.string().optional(),
});

/** Characters of an agent's words that are shown: HAProxy may complain about every line of a long configuration. */
const MAX_SHOWN_CHARACTERS = 4000;

/** What the agent said went wrong; empty words where it said nothing that can be understood. */
export function complaintOf(answer: AgentAnswer): { readonly words: string; readonly reason: string | null } {
  const { data } = errorSchema.safeParse(answer.json);
  const words = [data?.error, data?.message, data?.details].filter(Boolean).join(': ').trim();
  return { words: words.slice(0, MAX_SHOWN_CHARACTERS), reason: data?.reason ?? null };
}

/** Whether a repetition may help: the agent is not ready, or does not see the port yet. Source: amphora REST client of Octavia. */
export function isNotReady(answer: AgentAnswer): boolean {
  if (answer.status !== 404) return false;
  return answer.json === undefined || complaintOf(answer).words.includes('No suitable network interface found');
}

/** The agent of another flow holder refused us. Source: our agent's words for it. */
function isStale(answer: AgentAnswer): boolean {
  return answer.status === 409 && /stale.fence/i.test(`${complaintOf(answer).words} ${complaintOf(answer).reason}`);
}

/** HAProxy was not let bind an address: no repetition changes that, another configuration does. Words: HAProxy's, then our agent's. */
function isBindFailure(answer: AgentAnswer): boolean {
  const { words, reason } = complaintOf(answer);
  return reason === 'BIND_FAILED' || /cannot bind|address already in use|\baddress \S+ port \d+:/i.test(words);
}

/** Turns an answer that is no success into the error that it stands for. @param what such as `PUT haproxy` */
export function failureOf(
  answer: AgentAnswer,
  what: string,
  kind: 'upload' | 'run' | 'other',
  amphora: AmphoraEndpoint,
  context: CallContext | undefined,
): Error {
  const { amphoraId } = amphora;
  const { words } = complaintOf(answer);
  const status = String(answer.status);
  const details = { amphoraId, status, what };
  if (isStale(answer) && context?.fence) {
    const { flowId, epoch } = context.fence;
    return new StaleFence(flowId, epoch, Number(/at epoch (\d+)/.exec(words)?.[1] ?? epoch + 1));
  }
  if (isNotReady(answer)) {
    return new AmphoraUnavailable(
      `The agent of amphora ${amphoraId} is not ready for ${what}: ${words || 'no agent answers there yet'}.`,
      details,
    );
  }
  const isRefusal = (kind === 'upload' && answer.status === 400) || (kind === 'run' && isBindFailure(answer));
  if (isRefusal && words) return new ConfigurationRefused(words, details, { isAtReload: kind === 'run' });
  // From 500 on it is the amphora that fails, such as on a full disk: what was asked for is right, and a later try may succeed.
  const isAnAgents = words !== '' && answer.status >= 400 && answer.status < 500;
  if (!isAnAgents) {
    const said = words || `an answer that is not an agent's (${answer.contentType || 'no content type'})`;
    return new AmphoraUnavailable(`Amphora ${amphoraId} answered ${what} with ${status}: ${said}.`, details);
  }
  return new AmphoraError(`The agent of amphora ${amphoraId} answered ${what} with ${status}: ${words}`, details);
}
