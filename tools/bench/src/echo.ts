/** The least that a gRPC server can do: the baseline of calls that read from a database. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { rpcClient } from '@octavia/service';
import type { Api } from './api.ts';
import { echoMethod } from './echo-method.ts';

/** About what a load balancer has, in bytes. */
const PAYLOAD = Buffer.alloc(330, 1);

/** An echo server in a process of its own, with the installation's certificates, and a client of it. */
export async function startEcho({ tls }: Api): Promise<{ call(): Promise<unknown>; stop(): Promise<void> }> {
  const child = fork(new URL('./echo-server.js', import.meta.url), [tls.certFile, tls.keyFile, tls.caFile]);
  const [port] = await once(child, 'message');
  const client = rpcClient({ service: { echo: echoMethod } }, `127.0.0.1:${port}`, {
    ...tls,
    serverName: 'octaviactl',
  });
  return {
    call: () => client.echo(PAYLOAD, { deadlineMs: 10_000 }),
    async stop() {
      client.close();
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}
