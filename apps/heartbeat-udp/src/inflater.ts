import { constants, createInflate, deflateSync, inflateSync } from 'node:zlib';

/** Bytes that a heartbeat may inflate to: over 20 times what 20 listeners with 500 members need. */
export const LARGEST_BODY = 1_048_576;

/** What zlib's stream object has inside. Not documented, so it is tried before it is used. */
interface Handle {
  onerror: (message: string, code: number) => void;
  reset(): void;
  close(): void;
  writeSync(flush: number, input: Buffer, from: number, length: number, output: Buffer, to: number, room: number): void;
}

/**
 * Inflates zlib streams one after the other into one buffer. It keeps the handle that `inflateSync` would make and throw away for
 * each datagram, which is two thirds of its time; where Node no longer has that handle, it uses `inflateSync`.
 */
export class Inflater {
  readonly #output = Buffer.allocUnsafeSlow(LARGEST_BODY + 1);
  #stream: Stream | null = null;

  constructor(reusesHandle = true) {
    if (!reusesHandle) return;
    this.#stream = Stream.open();
    if (!this.#works()) this.#stream = null;
  }

  /** Whether the quick way is in use. */
  get reusesHandle(): boolean {
    return this.#stream !== null;
  }

  /**
   * Returns the inflated bytes, which stay valid until the next call. Bytes after the end of the stream are ignored.
   */
  inflate(input: Buffer): Buffer | 'bad_inflate' | 'too_large' {
    if (!this.#stream) return inflateSlowly(input);
    const length = this.#stream.inflate(input, this.#output);
    if (length < 0) {
      // A handle that has reported an error keeps it: the next datagram gets a new one.
      this.#stream.close();
      this.#stream = Stream.open();
      return 'bad_inflate';
    }
    return length > LARGEST_BODY ? 'too_large' : this.#output.subarray(0, length);
  }

  #works(): boolean {
    try {
      const sample = Buffer.from('{"a": "sample, a sample"}'.repeat(9));
      const stream = deflateSync(sample);
      for (let round = 0; round < 2; round++) {
        const result = this.inflate(stream);
        if (typeof result === 'string' || !result.equals(sample)) return false;
        if (this.inflate(stream.subarray(0, -3)) !== 'bad_inflate' || this.inflate(sample) !== 'bad_inflate')
          return false;
      }
      return this.inflate(deflateSync(Buffer.alloc(LARGEST_BODY + 2))) === 'too_large';
    } catch {
      return false;
    }
  }
}

class Stream {
  readonly #handle: Handle;
  /** Bytes left in the output and in the input after a write. */
  readonly #state: Uint32Array;
  #hasFailed = false;

  private constructor(handle: Handle, state: Uint32Array) {
    this.#handle = handle;
    this.#state = state;
    handle.onerror = () => {
      this.#hasFailed = true;
    };
  }

  /** Null where Node has no such handle. */
  static open(): Stream | null {
    const { _handle: handle, _writeState: state } = createInflate() as unknown as Partial<{
      _handle: Handle;
      _writeState: Uint32Array;
    }>;
    return handle && state instanceof Uint32Array ? new Stream(handle, state) : null;
  }

  /** Returns how many bytes came out, or -1: it is no whole zlib stream. */
  inflate(input: Buffer, output: Buffer): number {
    this.#handle.reset();
    this.#handle.writeSync(constants.Z_FINISH, input, 0, input.length, output, 0, output.length);
    const [roomLeft = 0] = this.#state;
    return this.#hasFailed ? -1 : output.length - roomLeft;
  }

  close(): void {
    this.#handle.close();
  }
}

function inflateSlowly(input: Buffer): Buffer | 'bad_inflate' | 'too_large' {
  try {
    return inflateSync(input, { maxOutputLength: LARGEST_BODY });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too_large' : 'bad_inflate';
  }
}
