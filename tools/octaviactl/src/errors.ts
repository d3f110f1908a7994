/** How a command ends. Documented in `octaviactl --help`. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  cannotConnect: 4,
  interrupted: 130,
} as const;

/** One thing that is wrong with one option or argument. */
export interface BadField {
  /** What the person typed it as, such as `--protocol-port`, or the contract's field where no option matches. */
  readonly option: string;
  readonly message: string;
  readonly reason: string;
}

interface CliErrorOptions {
  readonly exitCode?: number;
  /** UPPER_SNAKE_CASE and stable, for programs. */
  readonly reason: string;
  /** What to do next. */
  readonly hint?: string;
  readonly fields?: readonly BadField[];
  /** What a program may want: ids, trace id, the last state. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** A failure that is told to the person: one message, a reason in brackets, what to do next. */
export class CliError extends Error {
  readonly exitCode: number;
  readonly reason: string;
  readonly hint: string | undefined;
  readonly fields: readonly BadField[];
  readonly details: Readonly<Record<string, unknown>>;
  constructor(message: string, options: CliErrorOptions) {
    super(message);
    this.name = 'CliError';
    this.exitCode = options.exitCode ?? EXIT.failed;
    this.reason = options.reason;
    this.hint = options.hint;
    this.fields = options.fields ?? [];
    this.details = options.details ?? {};
  }
}

/** A command line that makes no sense, found before anything was sent. */
export function usageError(message: string, hint?: string): CliError {
  return new CliError(message, { exitCode: EXIT.usage, reason: 'USAGE', hint });
}
