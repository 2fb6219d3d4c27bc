/** A modification time that a client sets, clamped to the range that a mount shows (docs/reference/filesystem.md). */

const MAX_NS = 2n ** 63n - 1n;

/** From Unix time in seconds, as rclone and Nextcloud clients send it. Undefined: it is no such time. */
export function mtimeOfSeconds(text: string): bigint | undefined {
  const [, sign, seconds, fraction = ""] = /^(-?)(\d{1,11})(?:\.(\d{1,9}))?$/.exec(text) ?? [];
  if (seconds === undefined) return undefined;
  const ns = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
  return clamped(sign === "-" ? -ns : ns);
}

/** From a date, as Windows sends it. Undefined: it is no date. */
export function mtimeOfDate(text: string): bigint | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : clamped(BigInt(ms) * 1_000_000n);
}

function clamped(ns: bigint): bigint {
  if (BigInt.asIntN(64, ns) === ns) return ns;
  return ns < 0n ? -MAX_NS - 1n : MAX_NS;
}
