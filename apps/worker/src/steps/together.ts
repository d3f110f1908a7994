import type { Context } from '../world.ts';

/**
 * Runs `work` for all items at the same time. When one fails the others are cut off, unless `isPatient`, and awaited: nothing goes on
 * behind a step that has ended. Throws what failed first.
 */
export async function together<Item, Result>(
  items: readonly Item[],
  context: Context,
  work: (item: Item, context: Context) => Promise<Result>,
  { isPatient = false }: { readonly isPatient?: boolean } = {},
): Promise<Result[]> {
  const [only] = items;
  if (items.length === 1) return [await work(only as Item, context)];
  const failed = new AbortController();
  const limited = isPatient ? context : { ...context, signal: AbortSignal.any([context.signal, failed.signal]) };
  const outcomes = await Promise.all(
    items.map(async (item): Promise<{ result: Result } | null> => {
      try {
        return { result: await work(item, limited) };
      } catch (error) {
        failed.abort(error);
        return null;
      }
    }),
  );
  if (failed.signal.aborted) throw failed.signal.reason;
  return outcomes.flatMap((outcome) => (outcome ? [outcome.result] : []));
}
