/** Moments as people write them: a date, a local time, "2 hours ago", "yesterday", or RFC 3339. */

/**
 * The end of the moment that the text names, in milliseconds since 1970: a day, minute or second includes all of it. Times
 * without a zone are local. Undefined if the text names no moment.
 */
export function endOfMoment(text: string, nowMs: number): number | undefined {
  const words = text.trim().toLowerCase();
  if (words === "now") return nowMs + 1;
  if (words === "today") return startOfDay(nowMs, 1);
  if (words === "yesterday") return startOfDay(nowMs, 0);
  return agoMs(words, nowMs) ?? timeMs(text.trim());
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MS_OF: ReadonlyMap<string, number> = new Map([
  ["second", SECOND],
  ["minute", MINUTE],
  ["hour", HOUR],
  ["day", DAY],
  ["week", 7 * DAY],
  ["month", 30 * DAY],
  ["year", 365 * DAY],
]);

function agoMs(words: string, nowMs: number): number | undefined {
  const [, number = "", unit = ""] = /^(\d{1,6}|an?) +([a-z]+?)s? +ago$/.exec(words) ?? [];
  const ms = MS_OF.get(unit);
  return ms === undefined ? undefined : nowMs - (number.startsWith("a") ? 1 : Number(number)) * ms + 1;
}

/** Local midnight, `days` days after that of `nowMs`. */
function startOfDay(nowMs: number, days: number): number {
  const now = new Date(nowMs);
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + days).getTime();
}

/** https://www.rfc-editor.org/rfc/rfc3339 section 5.6; time, seconds and zone are optional. */
const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?)?\s*([Zz]|[+-]\d\d:\d\d)?$/;

function timeMs(text: string): number | undefined {
  const [all, year, month, day, hour, minute, second, fraction, zone] = TIME.exec(text) ?? [];
  if (all === undefined || (hour === undefined && zone !== undefined)) return undefined;
  const date = [Number(year), Number(month) - 1, Number(day)] as const;
  const clock = [Number(hour ?? 0), Number(minute ?? 0), Number(second ?? 0)] as const;
  const asUtc = new Date(Date.UTC(...date, ...clock));
  // Dates like 30 February or 25 o'clock would silently become another time.
  const isThere = asUtc.getUTCMonth() === date[1] && asUtc.getUTCDate() === date[2] && asUtc.getUTCHours() === clock[0];
  if (!isThere || clock[1] > 59 || clock[2] > 59) return undefined;
  if (hour === undefined) return new Date(date[0], date[1], date[2] + 1).getTime();
  const beyond = fraction === undefined ? 0 : Math.floor(Number(fraction) * SECOND);
  const base = zone === undefined ? new Date(...date, ...clock).getTime() : asUtc.getTime() - zoneMs(zone);
  return base + beyond + (fraction !== undefined ? 1 : second !== undefined ? SECOND : MINUTE);
}

function zoneMs(zone: string): number {
  if (/^z$/i.test(zone)) return 0;
  const [hours = 0, minutes = 0] = zone.slice(1).split(":").map(Number);
  return (zone.startsWith("-") ? -1 : 1) * (hours * HOUR + minutes * MINUTE);
}
