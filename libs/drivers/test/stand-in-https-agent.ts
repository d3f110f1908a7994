import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AmphoraEndpoint } from '../src/amphora/amphora-driver.ts';
import { issueAgentCertificate, makeAuthority } from '../src/certificates/issue.ts';

interface Answer {
  readonly status: number;
  readonly content_type: string;
  readonly body: unknown;
}
/** Answers of a real agent. */
export const ANSWERS: Readonly<Record<string, Answer>> = JSON.parse(
  readFileSync(new URL('./fixtures/agent-answers.json', import.meta.url), 'utf8'),
);

/** What the stand-in does instead of answering as it would; `after`: it does its work first. */
export type Trouble =
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'text'; readonly status: number; readonly text: string; readonly contentType?: string }
  | { readonly kind: 'raw'; readonly bytes: string }
  | { readonly kind: 'hang' }
  | { readonly kind: 'cut'; readonly after?: boolean };

export interface Seen {
  readonly request: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** An HTTPS server that answers as Octavia's agent does, with certificates of its own CA, and can be told to misbehave. */
export async function startStandInAgent(
  amphoraId: string,
  options: { readonly certificateFor?: string; readonly validityMs?: number } = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'agent-'));
  const ca = await makeAuthority('test CA');
  const caPem = ca.certificate.toString('pem');
  const server = await issueAgentCertificate(
    ca,
    options.certificateFor ?? amphoraId,
    'EC',
    options.validityMs ?? DAY_MS,
  );
  const client = await issueAgentCertificate(ca, 'controller', 'EC', DAY_MS);
  const files = { clientCertFile: join(folder, 'client.pem'), serverCaFile: join(folder, 'ca.pem') };
  await writeFile(files.clientCertFile, client.certificate + client.privateKey);
  await writeFile(files.serverCaFile, caPem);

  const agent = new StandInAgent();
  const tls = {
    cert: server.certificate,
    key: server.privateKey,
    ca: caPem,
    requestCert: true,
    rejectUnauthorized: true,
  };
  const https = createServer(tls, (request, response) => void agent.handle(request, response));
  const connections = { made: 0 };
  https.on('secureConnection', () => {
    connections.made++;
  });
  await new Promise<void>((resolve) => https.listen(0, '127.0.0.1', resolve));
  const { port } = https.address() as AddressInfo;
  const endpoint: AmphoraEndpoint = { amphoraId, lbNetworkIp: '127.0.0.1', agentPort: port };
  return {
    agent,
    endpoint,
    files,
    ca,
    connections,
    certificate: server.certificate,
    /** The agent shows another certificate to new connections. */
    renew: async () => {
      const renewed = await issueAgentCertificate(ca, amphoraId, 'EC', DAY_MS);
      https.setSecureContext({ ...tls, cert: renewed.certificate, key: renewed.privateKey });
      return renewed.certificate;
    },
    /** Replaces our own certificate by one of another CA, which the agent refuses. */
    spoilClientCertificate: async () => {
      const other = await issueAgentCertificate(await makeAuthority('other CA'), 'controller', 'EC', DAY_MS);
      await writeFile(files.clientCertFile, other.certificate + other.privateKey);
    },
    stop: async () => {
      https.closeAllConnections();
      await new Promise((resolve) => https.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

class StandInAgent {
  readonly seen: Seen[] = [];
  readonly troubles: Trouble[] = [];
  readonly #files = new Map<string, string>();
  #inFlight = 0;
  #mostInFlight = 0;
  #isPlugged = false;
  #vrrpIp = '';
  #runsKeepalived = false;

  /** Most requests that were under way at once. */
  get mostInFlight(): number {
    return this.#mostInFlight;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#mostInFlight = Math.max(this.#mostInFlight, ++this.#inFlight);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    this.seen.push({ request: `${request.method} ${request.url}`, headers: request.headers, body });
    await new Promise((resolve) => setImmediate(resolve)); // So that a second request could be seen.
    this.#inFlight--;
    const trouble = this.troubles.shift();
    if (trouble?.kind === 'hang') return;
    if (trouble?.kind === 'cut') {
      if (trouble.after) this.#answer(`${request.method} ${request.url}`, body);
      request.socket.destroy();
      return;
    }
    if (trouble?.kind === 'raw') {
      request.socket.end(trouble.bytes);
      return;
    }
    if (trouble?.kind === 'text') {
      response.writeHead(trouble.status, { 'content-type': trouble.contentType ?? 'text/html' }).end(trouble.text);
      return;
    }
    send(response, trouble?.answer ?? this.#answer(`${request.method} ${request.url}`, body));
  }

  #answer(request: string, body: string): Answer & { readonly etag?: string } {
    const [method = '', path = ''] = request.split(' ');
    if (path === '/1.0/info' || path === '/1.0/details') return answerOf(path.slice(5));
    if (path.startsWith('/1.0/plug/vip/')) return this.#plug(body);
    if (path.startsWith('/1.0/interface/')) {
      return answerOf(path.endsWith(`/${this.#vrrpIp}`) ? 'interface' : 'interfaceNotFound');
    }
    if (path.startsWith('/1.0/vrrp/')) return this.#vrrp(path.slice('/1.0/vrrp/'.length), body);
    const certificate = /^\/1\.0\/loadbalancer\/[^/]+\/certificates\/[^/]+$/.test(path);
    if (certificate && method === 'PUT') return this.#keep(path, body, 'certificateStored');
    if (certificate) return this.#certificate(path);
    const [, lb = '', action = ''] = /^\/1\.0\/loadbalancer\/([^/]+)\/(\w+)$/.exec(path) ?? [];
    const upload = /^\/1\.0\/loadbalancer\/[^/]+\/([^/]+)\/haproxy$/.exec(path)?.[1];
    if (upload) return body.includes('nonsense') ? answerOf('refused') : this.#keep(upload, body, 'uploaded');
    if (action === 'haproxy') return this.#configuration(lb);
    if (action === 'reload') return answerOf(this.#files.has(lb) ? 'reloaded' : 'noLoadBalancer');
    if (action === 'stop') return answerOf(this.#files.has(lb) ? 'stopped' : 'noLoadBalancer');
    if (path.startsWith('/1.0/listeners/')) {
      this.#files.delete(path.slice('/1.0/listeners/'.length));
      return answerOf('deleted');
    }
    if (path === '/1.0/certificate') return answerOf('agentCertificate');
    if (path === '/1.0/config') return answerOf('agentConfig');
    return answerOf('unknownPath');
  }

  #plug(body: string): Answer {
    this.#vrrpIp = (JSON.parse(body) as { vrrp_ip: string }).vrrp_ip;
    const name = this.#isPlugged ? 'alreadyPlugged' : 'plugged';
    this.#isPlugged = true;
    return answerOf(name);
  }

  #vrrp(action: string, body: string): Answer {
    if (action === 'upload') return this.#keep('vrrp', body, 'vrrpUploaded');
    const runs = action === 'start' ? this.#files.has('vrrp') : this.#runsKeepalived;
    if (action !== 'stop' && !runs) return answerOf('vrrpFailed');
    this.#runsKeepalived = action !== 'stop';
    return answerOf({ start: 'vrrpStarted', reload: 'vrrpReloaded' }[action] ?? 'vrrpStopped');
  }

  #keep(key: string, body: string, name: string): Answer & { etag: string } {
    this.#files.set(key, body);
    return { ...answerOf(name), etag: md5(body) };
  }

  #certificate(path: string): Answer {
    const kept = this.#files.get(path);
    if (kept === undefined) return answerOf('noCertificate');
    return { status: 200, content_type: 'application/json', body: { md5sum: md5(kept) } };
  }

  #configuration(lb: string): Answer & { etag?: string } {
    const kept = this.#files.get(lb);
    if (kept === undefined) return answerOf('noConfiguration');
    return { status: 200, content_type: 'text/plain; charset=UTF-8', body: kept, etag: md5(kept) };
  }
}

function answerOf(name: string): Answer {
  const answer = ANSWERS[name];
  if (!answer) throw new Error(`The fixtures have no answer ${name}.`);
  return answer;
}

function send(
  response: ServerResponse,
  { status, content_type, body, etag }: Answer & { readonly etag?: string },
): void {
  response.writeHead(status, {
    'content-type': content_type,
    'server-timing': 'check;dur=12.5, reload;desc="x";dur=100',
    ...(etag ? { etag: `"${etag}"` } : {}),
  });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

function md5(text: string): string {
  return createHash('md5').update(text).digest('hex');
}
