/** A modification time that a client sets, clamped to the range that a mount shows (docs/reference/filesystem.md). */
import { heldInRange } from "../../base/nanoseconds.ts";

/** From Unix time in seconds, as rclone and Nextcloud clients send it. Undefined: it is no such time. */
export function mtimeOfSeconds(text: string): bigint | undefined {
  const [, sign, seconds, fraction = ""] = /^(-?)(\d{1,30})(?:\.(\d{1,9}))?$/.exec(text) ?? [];
  if (seconds === undefined) return undefined;
  const ns = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
  return heldInRange(sign === "-" ? -ns : ns);
}

/** From a date, as Windows sends it. Undefined: it is no date. */
export function mtimeOfDate(text: string): bigint | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : heldInRange(BigInt(ms) * 1_000_000n);
}
