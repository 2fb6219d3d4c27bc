/** Times as HTTP writes them: in whole seconds. */

/** The second that a time lies in. */
export function httpDate(ns: bigint): string {
  const second = ns / 1_000_000_000n;
  // Files of one folder often have one time, and writing it out takes a microsecond.
  if (second !== last.second) last = { second, text: new Date(Number(second) * 1000).toUTCString() };
  return last.text;
}

let last = { second: 0n, text: new Date(0).toUTCString() };
