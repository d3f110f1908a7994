/** Milliseconds on a clock that never jumps. Its zero means nothing: only differences do. */
export type Clock = () => number;

export const monotonic: Clock = () => performance.now();
