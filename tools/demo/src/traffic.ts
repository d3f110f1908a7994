import { get as httpGet } from 'node:http';

/** Where clients of the load balancer connect to. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

/** One request. Times are those of the machine's clock, in milliseconds since 1970, as the database's are. */
export interface Answer {
  readonly sentAt: number;
  readonly doneAt: number;
  /** Name of the web server that answered; null: the request failed. */
  readonly by: string | null;
}

/** How many requests each web server answered, and how many failed. */
export interface Spread {
  readonly answered: Readonly<Record<string, number>>;
  readonly failed: number;
}

/** An answer that takes longer is none. Milliseconds. */
const ANSWER_LIMIT_MS = 2_000;
const AT_ONCE = 10;

/** One request over a connection of its own. Never throws. */
export function ask({ host, port }: Target): Promise<Answer> {
  const sentAt = Date.now();
  return new Promise((done) => {
    const end = (by: string | null): void => done({ sentAt, doneAt: Date.now(), by });
    const request = httpGet({ host, port, agent: false, timeout: ANSWER_LIMIT_MS }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (data: string) => {
        body += data;
      });
      response.on('end', () => end(response.statusCode === 200 ? body.trim() : null));
      response.on('error', () => end(null));
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', () => end(null));
  });
}

/** Sends `count` requests, some at a time. */
export async function askMany(target: Target, count: number, signal: AbortSignal): Promise<Answer[]> {
  const answers: Answer[] = [];
  let sent = 0;
  const client = async (): Promise<void> => {
    while (sent < count && !signal.aborted) {
      sent++;
      answers.push(await ask(target));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, client));
  signal.throwIfAborted();
  return answers;
}

export function spreadOf(answers: readonly Answer[], names: readonly string[]): Spread {
  const answered = Object.fromEntries(names.map((name) => [name, 0]));
  let failed = 0;
  for (const { by } of answers) {
    if (by === null) failed++;
    else answered[by] = (answered[by] ?? 0) + 1;
  }
  return { answered, failed };
}

/** Asks at a steady pace, whatever became of the requests before. */
export class Prober {
  readonly everyMs = 10;
  readonly #target: Target;
  readonly #answers: Answer[] = [];
  readonly #open = new Set<Promise<unknown>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(target: Target) {
    this.#target = target;
  }

  start(): this {
    this.#timer = setInterval(() => {
      const asked = ask(this.#target).then((answer) => {
        this.#answers.push(answer);
        this.#open.delete(asked);
      });
      this.#open.add(asked);
    }, this.everyMs);
    return this;
  }

  /** What was answered, or failed, by now. */
  get answers(): readonly Answer[] {
    return this.#answers;
  }

  /** Ends, waits for what is under way, and returns all, in the order in which it was sent. */
  async stop(): Promise<Answer[]> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
    return this.#answers.toSorted((one, other) => one.sentAt - other.sentAt);
  }
}
