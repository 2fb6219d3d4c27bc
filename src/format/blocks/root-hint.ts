/**
 * Numbered roots: the object `roots/<number>` is a root as `root` is elsewhere, and `root` hints at a number. The hint is two
 * lines of text, each ended by a newline:
 *
 * ```
 * syncline numbered roots 1
 * <a number that exists, or 0 before the first; the newest may be higher>
 * ```
 */

export const ROOTS_FOLDER = "roots/";

const HEAD = "syncline numbered roots 1";
const DIGITS = 16;
const NAME = /^roots\/(\d{16})$/;

/** Names sort as their numbers do. */
export function numberedRootName(number: number): string {
  return `${ROOTS_FOLDER}${String(number).padStart(DIGITS, "0")}`;
}

/** The number in such a name; undefined: it is another object's. */
export function numberOfRoot(name: string): number | undefined {
  const number = Number(NAME.exec(name)?.[1]);
  return Number.isSafeInteger(number) ? number : undefined;
}

export function encodeRootHint(number: number): Uint8Array {
  return Buffer.from(`${HEAD}\n${number}\n`, "latin1");
}

/** Undefined: it is no hint, but perhaps a root. */
export function decodeRootHint(bytes: Uint8Array): number | undefined {
  const text = Buffer.from(bytes.subarray(0, HEAD.length + DIGITS + 3)).toString("latin1");
  const [head, count, end, ...more] = text.split("\n");
  if (head !== HEAD || count === undefined || end !== "" || more.length > 0 || !/^(0|[1-9][0-9]*)$/.test(count))
    return undefined;
  const number = Number(count);
  return Number.isSafeInteger(number) && bytes.length === text.length ? number : undefined;
}
