/**
 * Runs one part of a request and measures it: `timing` is its name in the Server-Timing header of the answer, `span` its name in the
 * trace.
 */
export type Step = <T>(timing: string, span: string, work: () => Promise<T>) => Promise<T>;
