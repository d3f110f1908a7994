/** One run of one command: its connection, its request id, and where its results go. */
import { randomUUID } from 'node:crypto';
import type { ClientReadableStream } from '@grpc/grpc-js';
import { cloneFolder } from './clone.ts';
import { findConnectionFile, type Surroundings } from './connection/config-file.ts';
import { Connection, type Method } from './connection/connection.ts';
import type { GlobalOptions } from './globals.ts';
import { changeWasSent } from './interrupt.ts';
import { formatList, formatObject, type View } from './output/format.ts';

export class Session {
  /** Names this command in logs, and makes its change safe to repeat. */
  readonly requestId = randomUUID();
  readonly globals: GlobalOptions;
  #connection: Connection | undefined;
  #address: string | undefined;

  constructor(globals: GlobalOptions) {
    this.globals = globals;
  }

  /** host:port of the controller, once it is known. */
  get address(): string | undefined {
    return this.#address;
  }

  /** Calls the controller. Connects first; a connection file that is not there yet is looked for again by the next. */
  call<Request, Reply>(method: Method<Request, Reply>, request: Request): Promise<Reply> {
    return this.#connected().call(method, request);
  }

  /** As `call`, for a method that changes something: being interrupted from here on does not undo it. */
  change<Request, Reply>(method: Method<Request, Reply>, request: Request): Promise<Reply> {
    const connection = this.#connected();
    changeWasSent();
    return connection.call(method, request);
  }

  /** Opens a stream of replies. The caller cancels it. */
  stream<Request, Reply>(method: Method<Request, Reply>, request: Request): ClientReadableStream<Reply> {
    return this.#connected().stream(method, request);
  }

  /** Writes one object. */
  async printObject(view: View): Promise<void> {
    process.stdout.write(await formatObject(view, this.globals));
  }

  /** Writes several objects, with these columns unless the person chose others. */
  async printList(views: readonly View[], columns: readonly string[], known: readonly string[]): Promise<void> {
    process.stdout.write(await formatList(views, columns, known, this.globals));
  }

  close(): void {
    this.#connection?.close();
  }

  #connected(): Connection {
    if (this.#connection) return this.#connection;
    const surroundings: Surroundings = { env: process.env, cwd: process.cwd(), clone: cloneFolder() };
    const file = findConnectionFile(this.globals.config, surroundings);
    this.#address = file.address;
    this.#connection = new Connection(file, {
      projectId: this.globals.project ?? file.projectId,
      userId: this.globals.user ?? file.userId,
      roles: this.globals.role ?? file.roles,
      requestId: this.requestId,
    });
    return this.#connection;
  }
}
