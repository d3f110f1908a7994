/**
 * A value of a generated enum as the domain's word: without the prefix; null for the unspecified one.
 * @param prefix of the enum's values, such as `PROTOCOL_`
 */
export function wordOf<T extends string>(prefix: string, value: string): T | null {
  const word = value.slice(prefix.length);
  return word === 'UNSPECIFIED' ? null : (word as T);
}

/** The domain's word as a value of the generated enum. */
export function enumOf<P extends string>(prefix: string, word: string): P {
  return `${prefix}${word}` as P;
}
