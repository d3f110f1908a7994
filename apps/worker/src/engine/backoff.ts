/** Delay before the second try, in milliseconds, and the longest one. */
const FIRST_MS = 100;
const LONGEST_MS = 5_000;

/**
 * Delay before the next try: doubled each time, and a random half of it taken off, so that those who failed together do not come
 * back together. @param attempt tries so far, from 1 @param random from 0 to 1
 */
export function retryDelayMs(attempt: number, random: number): number {
  const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 16));
  return Math.round(full * (1 - random / 2));
}
