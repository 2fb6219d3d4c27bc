/** Names of moments in `.history`: UTC in ISO 8601, as `syncline log` prints them, or any beginning of such a name. */

/** The name of a root's time: "2026-11-20T10:00:03.123Z". */
export function timeName(timeNs: bigint): string {
  return new Date(Number(timeNs / NS_A_MS)).toISOString();
}

export interface NamedTime {
  /** The first nanosecond after the moment, which may be a whole year, a minute or a millisecond. */
  readonly endNs: bigint;
  /** Whether it names one millisecond, as `timeName` does. */
  readonly isExact: boolean;
}

/** Undefined if the name is not a moment. */
export function namedTime(name: string): NamedTime | undefined {
  const [, ...given] = NAME.exec(name) ?? [];
  const parts = given.filter((part) => part !== undefined);
  if (parts.length === 0) return undefined;
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = parts.slice(0, 6).map(Number);
  const fraction = parts[6] ?? "";
  const ms = Number(fraction.padEnd(3, "0"));
  const start = Date.UTC(year, month - 1, day, hour, minute, second, ms);
  // Date.UTC would take 30 February for 2 March.
  if (year < 1000 || !new Date(start).toISOString().startsWith(name.replace(/Z$/, ""))) return undefined;
  const end =
    parts.length === 7
      ? start + 10 ** (3 - fraction.length)
      : endOf([year, month - 1, day, hour, minute, second], parts.length);
  return { endNs: BigInt(end) * NS_A_MS, isExact: fraction.length === 3 };
}

type Fields = [year: number, month: number, day: number, hour: number, minute: number, second: number];

function endOf(fields: Fields, given: number): number {
  const at = given - 1;
  fields[at] = (fields[at] ?? 0) + 1;
  return Date.UTC(...fields);
}

const NS_A_MS = 1_000_000n;
const NAME = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?)?)?)?)?Z?$/;
