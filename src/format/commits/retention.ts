/**
 * How long a bucket retains past roots (docs/design/retention.md): a setting that commits carry and inherit
 * (docs/reference/formats.md, Features). All of the youngest roots stay, then the last one of each minute, hour and day.
 */
import { asCount, asMap, misfit } from "../blocks/cbor-shape.ts";
import type { CborValue } from "../blocks/dag-cbor.ts";

/** Each rule applies up to this age, in seconds. 0: the rule keeps no root. */
export interface Retention {
  readonly all: number;
  readonly minutes: number;
  readonly hours: number;
  readonly days: number;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The retention of commits that set none. */
export const DEFAULT_RETENTION: Retention = { all: 15 * MINUTE, minutes: DAY, hours: 7 * DAY, days: 90 * DAY };

/** Writers announce their base root after five minutes: all younger roots stay. */
export const LEAST_ALL_S = 15 * MINUTE;
/** A hundred years. */
export const MOST_RETENTION_S = 36_500 * DAY;

/** Whether `a` could keep a root that `b` would not. */
export function retainsMore(a: Retention, b: Retention): boolean {
  return RETENTION_KEYS.some((key) => a[key] > b[key]);
}

/** The retention of a commit's body. */
export function retentionOf({ retention }: { readonly retention?: Retention | undefined }): Retention {
  return retention ?? DEFAULT_RETENTION;
}

export function isSameRetention(a: Retention, b: Retention): boolean {
  return RETENTION_KEYS.every((key) => a[key] === b[key]);
}

export function retentionToCbor({ all, minutes, hours, days }: Retention): CborValue {
  return { all, minutes, hours, days };
}

/** Throws `format_invalid`. */
export function retentionFromCbor(value: CborValue | undefined): Retention {
  const map = asMap(value, "retention", RETENTION_KEYS);
  const seconds = (key: keyof Retention) => asCount(map[key], `retention.${key}`, MOST_RETENTION_S);
  const retention = {
    all: seconds("all"),
    minutes: seconds("minutes"),
    hours: seconds("hours"),
    days: seconds("days"),
  };
  if (retention.all < LEAST_ALL_S) throw misfit("retention.all", `is less than ${LEAST_ALL_S} seconds`);
  return retention;
}

const RETENTION_KEYS = ["all", "minutes", "hours", "days"] as const;
