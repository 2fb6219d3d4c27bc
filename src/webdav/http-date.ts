/** Times as HTTP writes them: in whole seconds. */

/** The second that a time lies in. */
export function httpDate(ns: bigint): string {
  return new Date(Number(ns / 1_000_000_000n) * 1000).toUTCString();
}
