const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether `text` is a UUID in lower case with dashes: the only form of an id that may become part of a path. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}
