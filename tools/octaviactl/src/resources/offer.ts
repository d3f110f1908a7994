/** What `flavor`, `flavorprofile`, `availabilityzone` and `availabilityzoneprofile` have in common. */
import type { Action } from '../grammar.ts';
import type { View } from '../output/format.ts';
import type { Session } from '../session.ts';
import { change, type Values } from './change.ts';
import { collectPages, find, type Resource } from './resource.ts';

/** A kind of offer or profile: no status of its own, so nothing to wait for. */
export interface OfferResource<T extends { readonly id: string }> extends Resource<T> {
  create(session: Session, offer: Values<T>): Promise<T>;
  update(session: Session, old: T, values: Values<T>, updateMask: string[]): Promise<T>;
  remove(session: Session, old: T): Promise<unknown>;
}

export interface OfferListOptions {
  readonly name?: string;
  readonly limit?: number;
}

export function offerList<T extends { readonly id: string }, Options extends OfferListOptions>(
  resource: OfferResource<T>,
  matches: (session: Session, options: Options) => Promise<(view: View) => boolean>,
): Action<Options> {
  return async (session, _args, options) => {
    const isWanted = await matches(session, options);
    const found = await collectPages(session, resource, { name: options.name }, options.limit);
    const views = found.map((offer) => resource.view(offer)).filter(isWanted);
    await session.printList(views, resource.columns, resource.known);
  };
}

export function offerShow<T extends { readonly id: string }>(resource: OfferResource<T>): Action<object> {
  return async (session, [reference = '']) => {
    await session.printObject(resource.view(await find(session, resource, reference)));
  };
}

export function offerCreate<T extends { readonly id: string }, Options>(
  resource: OfferResource<T>,
  valuesOf: (session: Session, options: Options) => Promise<Values<T>>,
): Action<Options> {
  return async (session, _args, options) => {
    await session.printObject(resource.view(await resource.create(session, await valuesOf(session, options))));
  };
}

/** As `create`, of `set` and `unset`: what is undefined stays. */
export function offerSet<T extends { readonly id: string }, Options>(
  resource: OfferResource<T>,
  valuesOf: (options: Options) => Values<T>,
): Action<Options> {
  return async (session, [reference = ''], options) => {
    const { values, updateMask } = change(valuesOf(options));
    await resource.update(session, await find(session, resource, reference), values, updateMask);
  };
}

export function offerRemove<T extends { readonly id: string }>(resource: OfferResource<T>): Action<object> {
  return async (session, [reference = '']) => {
    await resource.remove(session, await find(session, resource, reference));
  };
}

/** Whether an offer, as it is shown, is enabled as asked for. */
export function isEnabledAs(view: View, enabled: boolean | undefined): boolean {
  return enabled === undefined || view.enabled === enabled;
}
