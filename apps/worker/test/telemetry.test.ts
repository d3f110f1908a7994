import { withSpan } from '@octavia/service';
import { recordSpans, type SpanRecorder } from '@octavia/service/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestWorld } from './world.ts';

let spans: SpanRecorder;
let world: TestWorld;
beforeEach(async () => {
  spans = recordSpans();
  world = await TestWorld.open();
  await world.work();
});
afterEach(async () => {
  await world.close();
  await spans.stop();
});

describe('the trace of a flow', () => {
  it('is that of the request which asked, with a span for each step', async () => {
    const id = await withSpan('the request', {}, () => world.create());
    await world.settled(id);
    const request = spans.named('the request')?.spanContext();
    await world.until('the end of the span', async () => spans.named('flow load_balancer.create') !== undefined);
    const flow = spans.named('flow load_balancer.create');
    expect(flow?.spanContext().traceId).toBe(request?.traceId);
    expect(flow?.parentSpanContext?.spanId).toBe(request?.spanId);
    const steps = spans.spans().filter((span) => span.parentSpanContext?.spanId === flow?.spanContext().spanId);
    expect(steps.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'step allocate_amphorae',
        'step build_amphorae',
        'step plug_vip',
        'step push_configuration',
      ]),
    );
    const queue = spans.named('queue load_balancer.create');
    expect(queue?.parentSpanContext?.spanId).toBe(request?.spanId);
    expect(steps[0]?.attributes).toMatchObject({ 'octavia.load_balancer.id': id, 'octavia.flow.attempt': 1 });
  });

  it('links a push to the other requests that are folded into it', async () => {
    const id = await world.create();
    await world.settled(id);
    world.amphora.control.delayNext('pushHaproxy', 300);
    await withSpan('first', {}, () => world.addListener(id, 80));
    await world.until('the push', async () => (await world.flows.open(world.db.reader, id))[0]?.step !== null);
    await withSpan('second', {}, () => world.addListener(id, 81));
    await withSpan('third', {}, () => world.addListener(id, 82));
    await world.settled(id);
    const traceOf = (name: string) => spans.named(name)?.spanContext().traceId;
    const flowSpan = () =>
      spans
        .spans()
        .find(
          ({ name, links }) =>
            name === 'flow load_balancer.update' && links.some(({ context }) => context.traceId === traceOf('third')),
        );
    await world.until('the linked span', async () => flowSpan() !== undefined);
  });
});
