import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { formatHostPort, type HostPort, type Logger, type Part } from '@octavia/service';

export interface UdpSocketOptions {
  readonly bind: HostPort;
  /** Bytes that the system may hold for us (SO_RCVBUF), or 0 for its own default. The system caps it at net.core.rmem_max. */
  readonly receiveBuffer: number;
  readonly log: Logger;
}

/** Listens for datagrams. */
export class UdpSocket implements Part {
  readonly name = 'udp socket';
  readonly #options: UdpSocketOptions;
  readonly #receive: (datagram: Buffer) => void;
  #socket: Socket | undefined;

  constructor(options: UdpSocketOptions, receive: (datagram: Buffer) => void) {
    this.#options = options;
    this.#receive = receive;
  }

  /** Port that it listens on, once it has started. */
  get port(): number {
    if (!this.#socket) throw new Error('The socket has not started, so it has no port.');
    return this.#socket.address().port;
  }

  /** @throws Error when the address is taken */
  async start(): Promise<void> {
    const { bind, receiveBuffer, log } = this.#options;
    const socket = createSocket({
      type: isIPv6(bind.host) ? 'udp6' : 'udp4',
      ...(receiveBuffer > 0 ? { recvBufferSize: receiveBuffer } : {}),
    });
    socket.on('message', this.#receive);
    socket.bind({ address: bind.host, port: bind.port, exclusive: true });
    await once(socket, 'listening').catch((error: Error) => {
      socket.close();
      throw new Error(`Cannot listen on ${formatHostPort(bind)} (UDP): ${error.message}`, { cause: error });
    });
    this.#socket = socket;
    const granted = socket.getRecvBufferSize();
    // Linux doubles what was asked for, to have room for its own book-keeping.
    if (granted < receiveBuffer)
      log.warn({ asked: receiveBuffer, granted }, 'raise net.core.rmem_max: less was granted');
    log.info(
      { address: formatHostPort({ host: bind.host, port: this.port }), buffer: granted },
      'listening for heartbeats',
    );
  }

  async stop(): Promise<void> {
    const socket = this.#socket;
    if (!socket) return;
    socket.close();
    await once(socket, 'close');
  }
}
