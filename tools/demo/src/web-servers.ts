import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A web server on 127.0.0.1 that answers with its name. */
export class WebServer {
  readonly name: string;
  #server: Server | null = null;
  #port = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** 0 before its first start. */
  get port(): number {
    return this.#port;
  }

  /** Serves; a second time on the port that it had before. */
  async start(): Promise<void> {
    const server = createServer((_, response) => response.end(`${this.name}\n`));
    await new Promise<void>((done, fail) => {
      server.once('error', fail);
      server.listen(this.#port, '127.0.0.1', done);
    });
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Gone as after a crash: its connections break. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (!server) return;
    await new Promise((done) => {
      server.close(done);
      server.closeAllConnections();
    });
  }
}
