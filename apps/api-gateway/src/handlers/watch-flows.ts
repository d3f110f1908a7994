import { FLOW_CHANNEL, type FlowRecord, Flows } from '@octavia/db';
import { Flow as Message, type WatchFlowsRequest } from '@octavia/proto';
import type { StreamContext } from '@octavia/service';
import { requireAdmin } from '../authorize.ts';
import { Violations } from '../check/violations.ts';
import type { Parts } from '../parts.ts';
import { writeFlow } from '../translate/flow.ts';
import { WakeUp } from '../wake-up.ts';

/** Steps of a flow tell nobody when they begin: look this often, in milliseconds. */
const POLL_MS = 500;
/** A flow that ended is looked for this long, in milliseconds: the transaction that ended it may commit late. */
const ENDED_MS = 60_000;

const flows = new Flows();

/** Sends each flow that is open, and each whenever it differs from what was sent. */
export async function watchFlows(
  { db }: Parts,
  request: WatchFlowsRequest,
  { caller, signal, send }: StreamContext<Message>,
): Promise<void> {
  requireAdmin(caller, 'Watching flows');
  const check = new Violations();
  const id = check.optionalUuid('id', request.id);
  const filter = {
    loadBalancerId: check.optionalUuid('load_balancer_id', request.loadBalancerId),
    amphoraId: check.optionalUuid('amphora_id', request.amphoraId),
  };
  check.finish();
  const wakeUp = new WakeUp(signal);
  const unlisten = await db.notifications.listen(FLOW_CHANNEL, () => wakeUp.ring());
  const sent = new Sent();
  try {
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      wakeUp.reset();
      if (id !== null) {
        const flow = await flows.get(db.reader, id);
        await sent.sendIfNew(writeFlow(flow, await flows.steps(db.reader, id)), send);
        if (flow.finishedAt) return;
      } else {
        const found = await flows.recent(db.reader, filter, ENDED_MS);
        // What ended before anybody watched is no news.
        if (isFirst) sent.skip(found.filter(({ finishedAt }) => finishedAt).map((flow) => writeFlow(flow)));
        for (const flow of found) await sent.sendIfNew(writeFlow(flow), send);
        sent.keepOnly(found);
      }
      await wakeUp.wait(POLL_MS);
    }
  } finally {
    unlisten();
  }
}

/** What was sent last of each flow. */
class Sent {
  #last = new Map<string, Buffer>();

  async sendIfNew(flow: Message, send: (flow: Message) => Promise<void>): Promise<void> {
    const encoded = encode(flow);
    if (this.#last.get(flow.id)?.equals(encoded)) return;
    await send(flow);
    this.#last.set(flow.id, encoded);
  }

  skip(flows: readonly Message[]): void {
    for (const flow of flows) this.#last.set(flow.id, encode(flow));
  }

  /** Forgets the others, so that a long watch stays small. */
  keepOnly(flows: readonly FlowRecord[]): void {
    const ids = new Set(flows.map(({ id }) => id));
    this.#last = new Map([...this.#last].filter(([id]) => ids.has(id)));
  }
}

function encode(flow: Message): Buffer {
  return Buffer.from(Message.encode(flow).finish());
}
