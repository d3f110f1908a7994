import { connect, createServer, type Server, type Socket } from 'node:net';

/** Stands between one process and the database, so that the connection of that one alone can be cut. */
export class CutProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param url connection string of the database */
  static async open(url: string): Promise<CutProxy> {
    const { hostname, port } = new URL(url);
    const server = createServer();
    const proxy = new CutProxy(server);
    server.on('connection', (near) => proxy.#join(near, connect(Number(port), hostname)));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return proxy;
  }

  /** The same connection string, through here. */
  through(url: string): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('The proxy does not listen.');
    return Object.assign(new URL(url), { hostname: '127.0.0.1', port: String(address.port) }).href;
  }

  /** Ends every connection, and lets none through until `mend`. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #join(near: Socket, far: Socket): void {
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => {});
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
    if (this.#isCut) near.destroy();
  }
}
