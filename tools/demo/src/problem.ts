/** Something did not happen as promised, or cannot be shown here. The message is for whoever watches. */
export class Problem extends Error {}

/** @throws Problem with `otherwise` unless it is so */
export function promise(isSo: boolean, otherwise: string): void {
  if (!isSo) throw new Problem(otherwise);
}
