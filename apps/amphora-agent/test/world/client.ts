import { Agent, request } from 'node:https';
import { checkServerIdentity } from 'node:tls';

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: unknown;
}

export interface ClientOptions {
  readonly host: string;
  readonly port: number;
  /** Name that the server certificate must have. */
  readonly amphoraId: string;
  readonly serverCa: string;
  /** Certificate and key; none: the client shows no certificate. */
  readonly clientPem?: string;
}

export type Call = (
  method: string,
  path: string,
  body?: string | Buffer | object,
  headers?: Readonly<Record<string, string>>,
) => Promise<Reply>;

/** A controller's side of the connection: mutual TLS, each call on a connection of its own. */
export function client({ host, port, amphoraId, serverCa, clientPem }: ClientOptions): Call {
  const agent = new Agent({
    keepAlive: false,
    ca: serverCa,
    cert: clientPem,
    key: clientPem,
    servername: '',
    checkServerIdentity: (_, certificate) => checkServerIdentity(amphoraId, certificate),
  });
  return (method, path, body, headers = {}) =>
    new Promise((resolve, reject) => {
      const call = request({ host, port, method, path, headers, agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const isJson = response.headers['content-type'] === 'application/json';
          const json: unknown = isJson ? JSON.parse(text) : undefined;
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
        });
      });
      call.on('error', reject);
      call.end(typeof body === 'object' && !Buffer.isBuffer(body) ? JSON.stringify(body) : body);
    });
}
