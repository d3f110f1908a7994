import type { Action } from '../grammar.ts';
import type { View } from '../output/format.ts';
import type { Session } from '../session.ts';
import { type FilterOptions, matches } from './filter.ts';
import { collectPages, type Resource } from './resource.ts';

interface ListOptions extends FilterOptions {
  readonly name?: string;
}

/**
 * The `list` of a resource.
 * @param parentOf finds the id of the load balancer or pool whose objects are meant; undefined: all
 */
export function listAction<T, Options extends ListOptions>(
  resource: Resource<T>,
  parentOf: (session: Session, args: readonly string[], options: Options) => Promise<string | undefined>,
  alsoMatches: (view: View, options: Options) => boolean = () => true,
): Action<Options> {
  return async (session, args, options) => {
    const parentId = await parentOf(session, args, options);
    const objects = await collectPages(session, resource, { name: options.name, parentId }, options.limit);
    const views = objects.map((object) => resource.view(object));
    const wanted = views.filter((view) => matches(view, options) && alsoMatches(view, options));
    await session.printList(wanted, resource.columns, resource.known);
  };
}
