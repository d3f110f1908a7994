/** Program: an echo over mutual TLS on a free port, which it tells its parent. Arguments: certificate, key, authority. */
import { readFileSync } from 'node:fs';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { echoMethod } from './echo-method.ts';

const [certificate = '', key = '', authority = ''] = process.argv.slice(2).map((file) => readFileSync(file));
const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(certificate) };
const server = new Server();
server.addService(
  { echo: echoMethod },
  {
    echo: (call: { request: Buffer }, done: (error: null, reply: Buffer) => void) => done(null, call.request),
  },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createSsl(Buffer.from(authority), [pair], true), (error, port) => {
  if (error) throw error;
  process.send?.(port);
});
process.once('disconnect', () => process.exit(0));
