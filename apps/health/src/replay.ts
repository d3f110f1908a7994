/**
 * Which heartbeats are news. Datagrams are signed but may be recorded and sent again, come late, come twice, or come over
 * several listeners; none of this may keep a dead amphora alive for ever, nor count traffic twice.
 *
 * The rule. Each *run* of an agent (its `boot`, where it tells one) has a highest sequence number and a window of 32 below it.
 * Above the highest: fresh. In the window and not seen: late, so its traffic counts but it proves no life. Anything else was
 * seen: replayed, it counts for nothing. So a datagram is believed once, and a recording is used up.
 *
 * Runs are kept apart, so a recording of an earlier run cannot make us refuse the run of now. A new boot is a new run. An agent
 * that tells no boot starts a new run when two numbers near 0 come in growing order where both had been used: one recorded
 * datagram is never enough. Because such restarts, and boots, can be replayed as well, an amphora has a limited number of them
 * while this process lives; what comes later is not believed, so the amphora falls silent and is replaced, which heals it.
 */
export type Verdict = 'fresh' | 'late' | 'replayed';

/** Numbers below the highest that are remembered one by one: more than listeners can be apart. */
const WINDOW = 32;
/** Highest number with which a restart may be noticed, so a minute or more of losses at its start is no harm. */
const RESTART_SEQ = 64;
/** Boots of one amphora that are remembered. */
export const MAX_BOOTS = 64;
/** Restarts of an agent that tells no boot. */
export const MAX_RESTARTS = 16;

interface Run {
  highest: number;
  /** Bit i: `highest - i` was seen. */
  seen: number;
}

interface Sender {
  readonly runs: Map<string, Run>;
  /** Of an agent without boot: the number near 0 that may be the start of a new run; -1: none. */
  candidate: number;
  restarts: number;
}

/** What is remembered of the senders, by number of the amphora. Kept small: most amphorae have one run. */
export class ReplayGuard {
  readonly #senders: (Sender | undefined)[] = [];

  judge(index: number, boot: string, seq: number): Verdict {
    let sender = this.#senders[index];
    if (!sender) {
      sender = { runs: new Map(), candidate: -1, restarts: 0 };
      this.#senders[index] = sender;
    }
    const run = sender.runs.get(boot);
    if (!run) return this.#newRun(sender, boot, seq);
    const verdict = place(run, seq);
    if (verdict === 'replayed' && boot === '') return restart(sender, run, seq);
    return verdict;
  }

  forget(index: number): void {
    this.#senders[index] = undefined;
  }

  #newRun(sender: Sender, boot: string, seq: number): Verdict {
    // An amphora that has told its boot goes on telling it: without it, this was recorded before.
    if (sender.runs.size >= MAX_BOOTS || (boot === '' && sender.runs.size > 0)) return 'replayed';
    sender.runs.set(boot, { highest: seq, seen: 1 });
    return 'fresh';
  }
}

/** Puts a number into the run. */
function place(run: Run, seq: number): Verdict {
  const ahead = seq - run.highest;
  if (ahead > 0) {
    run.highest = seq;
    run.seen = ahead >= WINDOW ? 1 : ((run.seen << ahead) | 1) >>> 0;
    return 'fresh';
  }
  if (-ahead >= WINDOW) return 'replayed';
  const bit = (1 << -ahead) >>> 0;
  if ((run.seen & bit) !== 0) return 'replayed';
  run.seen = (run.seen | bit) >>> 0;
  return 'late';
}

/** Decides whether a number that was used before begins a new run of an agent that tells no boot. */
function restart(sender: Sender, run: Run, seq: number): Verdict {
  if (seq > RESTART_SEQ || sender.restarts >= MAX_RESTARTS) return 'replayed';
  const { candidate } = sender;
  if (candidate < 0 || seq <= candidate) {
    sender.candidate = seq;
    return 'replayed';
  }
  sender.candidate = -1;
  sender.restarts += 1;
  run.highest = seq;
  run.seen = 1;
  return 'fresh';
}
