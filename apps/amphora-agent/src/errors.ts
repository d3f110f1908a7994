/** The agent cannot start; `exitCode` says whose fault it is (64 command line, 70 machine, 78 configuration; sysexits.h). */
export class AgentStartError extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode: number, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/**
 * A refusal that the caller gets as `{"message", "details"}`. Use only statuses that the controller treats as failures:
 * 400, 401, 403, 404, 405, 409, 500, 503. It counts any other one as success.
 */
export class RequestError extends Error {
  readonly status: number;
  readonly details: string | undefined;
  constructor(status: number, message: string, details?: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.details = details;
  }
  get body(): object {
    return { message: this.message, ...(this.details === undefined ? {} : { details: this.details }) };
  }
}

/** A refusal in the shape of the web framework of Octavia's agent: `{"error", "http_code"}`. */
export class FrameworkError extends RequestError {
  readonly text: string;
  constructor(status: number, text: string) {
    super(status, text);
    this.text = text;
  }
  override get body(): object {
    return { error: `${this.status} ${REASONS[this.status] ?? 'Error'}: ${this.text}`, http_code: this.status };
  }
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  500: 'Internal Server Error',
};

/** The error number's name (`ENOSPC`), or an empty text. */
export function codeOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return '';
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
