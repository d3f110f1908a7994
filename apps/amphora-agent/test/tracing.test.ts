import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createWorld, eventually } from './world/world.ts';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

describe('the trace of a change', () => {
  it('goes on in the agent: request, check and reload are spans of the caller, and the log has its id', async () => {
    const bodies: string[] = [];
    const collector = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        bodies.push(Buffer.concat(chunks).toString('latin1'));
        response.setHeader('Content-Type', 'application/json').end('{}');
      });
    });
    await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
    const { port } = collector.address() as AddressInfo;
    const w = await createWorld({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` } });
    try {
      await w.start();
      const headers = { traceparent: `00-${TRACE_ID}-${PARENT}-01` };
      await w.call('PUT', `/1.0/loadbalancer/${w.amphoraId}/${w.lb}/haproxy`, w.text(), headers);
      await w.call('PUT', `/1.0/loadbalancer/${w.lb}/start`, '', headers);
      await w.call('PUT', `/1.0/loadbalancer/${w.lb}/reload`, '', headers);
      await eventually('the spans have arrived', () => bodies.join('').includes('haproxy reload'));
      const sent = bodies.join('');
      for (const name of ['haproxy check', 'haproxy start', 'PUT /1.0/loadbalancer/:lb/:action'])
        expect(sent).toContain(name);
      const spans = bodies.flatMap((body) => JSON.parse(body).resourceSpans[0].scopeSpans[0].spans);
      const ours = spans.filter(({ traceId }) => traceId === TRACE_ID);
      const requests = ours.filter(({ parentSpanId }) => parentSpanId === PARENT);
      expect(requests).toHaveLength(3);
      const check = ours.find(({ name }) => name === 'haproxy check');
      expect(requests.map(({ spanId }) => spanId)).toContain(check.parentSpanId);
      expect(w.log()).toContain(`"trace_id":"${TRACE_ID}"`);
    } finally {
      await w.close();
      collector.closeAllConnections();
      collector.close();
    }
  });
});
