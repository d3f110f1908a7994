/**
 * The queue as a small pure state machine: what `FlowQueue` and `Flows` promise, without PostgreSQL. Time is a counter: a flow is
 * due or not, a lease has run out or not.
 */
export interface ModelFlow {
  readonly id: string;
  readonly key: string;
  readonly name: string;
  readonly priority: number;
  state: 'QUEUED' | 'RUNNING' | 'ENDED';
  isDue: boolean;
  /** When it became due: orders flows of one priority. */
  tick: number;
  isHalfDone: boolean;
  hasExpired: boolean;
  stop: string | null;
  epoch: number;
}

export interface ModelLoadBalancer {
  desired: number;
  settled: number;
}

const SETTLING = ['load_balancer.create', 'load_balancer.update', 'load_balancer.failover'];

export class QueueModel {
  readonly flows: ModelFlow[] = [];
  readonly loadBalancers = new Map<string, ModelLoadBalancer>();
  #tick = 0;

  open(key: string): ModelFlow[] {
    return this.flows.filter((flow) => flow.key === key && flow.state !== 'ENDED');
  }

  /** The flow that has the turn: the half-done one, else the one that runs. */
  #holder(key: string): ModelFlow | undefined {
    const open = this.open(key);
    return open.find(({ isHalfDone }) => isHalfDone) ?? open.find(({ state }) => state === 'RUNNING');
  }

  start(id: string, key: string, name: string, priority: number, stopsOthers: boolean): void {
    const holder = stopsOthers ? this.#holder(key) : undefined;
    this.#insert(id, key, name, priority);
    if (holder) this.stop(holder, name === 'load_balancer.delete' ? 'DELETE' : 'FAILOVER');
  }

  #insert(id: string, key: string, name: string, priority: number): void {
    this.flows.push({
      id,
      key,
      name,
      priority,
      state: 'QUEUED',
      isDue: true,
      tick: ++this.#tick,
      isHalfDone: false,
      hasExpired: false,
      stop: null,
      epoch: 0,
    });
  }

  stop(flow: ModelFlow, reason: string): void {
    if (flow.stop !== 'FAILOVER') flow.stop = reason;
    this.wake(flow);
  }

  wake(flow: ModelFlow): void {
    if (flow.isDue) return;
    flow.isDue = true;
    flow.tick = ++this.#tick;
  }

  /** Whether a push has to be queued; wakes the one that waits. */
  ensurePush(key: string, id: () => string): void {
    const settling = this.open(key).filter(({ name }) => SETTLING.includes(name));
    const waiting = settling.find(({ name, state }) => name === 'load_balancer.update' && state === 'QUEUED');
    if (waiting) this.wake(waiting);
    else if (settling.length === 0) this.#insert(id(), key, 'load_balancer.update', 20);
  }

  /** The flow that the next claim has to give. */
  next(onlyUrgent: boolean): ModelFlow | undefined {
    const isUrgent = (flow: ModelFlow): boolean => flow.priority <= 0 || flow.stop === 'FAILOVER';
    const order = (flow: ModelFlow): number[] => [
      isUrgent(flow) ? 0 : 1,
      flow.isHalfDone || flow.state === 'RUNNING' ? 0 : 1,
      flow.priority,
      flow.tick,
    ];
    return this.flows
      .filter((flow) => {
        if (onlyUrgent && !isUrgent(flow)) return false;
        if (flow.state === 'RUNNING') return flow.hasExpired;
        if (flow.state !== 'QUEUED' || !flow.isDue) return false;
        const others = this.open(flow.key).filter((other) => other !== flow);
        return !others.some((other) => other.state === 'RUNNING' || other.isHalfDone);
      })
      .sort((a, b) => compare(order(a), order(b)))[0];
  }

  claimed(flow: ModelFlow): void {
    flow.state = 'RUNNING';
    flow.hasExpired = false;
    flow.epoch++;
  }

  retry(flow: ModelFlow, isDelayed: boolean): void {
    flow.state = 'QUEUED';
    flow.isDue = !isDelayed || flow.stop !== null;
    flow.tick = flow.isDue ? ++this.#tick : Number.MAX_SAFE_INTEGER;
  }
}

function compare(a: number[], b: number[]): number {
  for (const [i, value] of a.entries()) {
    const difference = value - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
