import { get } from './http.ts';
import { eventually } from './world.ts';

/** About 100 requests a second, each on a connection of its own. An answer other than `expected` is a failure. */
export function runLoad(host: string, port: number, expected: string) {
  const pending: Promise<void>[] = [];
  const failures: string[] = [];
  const timer = setInterval(() => {
    const request = get(host, port).then(
      (body) => void (body === expected || failures.push(body)),
      (error) => void failures.push(String(error)),
    );
    pending.push(request);
  }, 10);
  return {
    async stop() {
      await eventually('enough requests were sent', () => pending.length > 60);
      clearInterval(timer);
      await Promise.all(pending);
      return { done: pending.length, failures };
    },
  };
}
