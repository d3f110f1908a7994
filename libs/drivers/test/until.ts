import { setTimeout as delay } from 'node:timers/promises';

/** Waits until the condition gives a value, and returns it. @throws after `deadlineMs` */
export async function until<T>(
  what: string,
  condition: () => Promise<T | null | false> | T | null | false,
  deadlineMs = 10_000,
) {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value !== null && value !== false) return value as T;
    if (performance.now() > end) throw new Error(`Waited ${deadlineMs} ms in vain until ${what}.`);
    await delay(5);
  }
}
