/** Times in HTTP's format: in whole seconds. */

/** The time, rounded down to a second. */
export function httpDate(ns: bigint): string {
  const second = secondOf(ns);
  // Files of one folder often have the same time, and formatting it takes a microsecond.
  if (second !== last.second) last = { second, text: new Date(Number(second) * 1000).toUTCString() };
  return last.text;
}

/** Unix time in seconds, rounded down. */
export function secondOf(ns: bigint): bigint {
  const second = ns / NS;
  return second * NS > ns ? second - 1n : second;
}

const NS = 1_000_000_000n;

let last = { second: 0n, text: new Date(0).toUTCString() };

/**
 * Unix time in seconds, from any of the three forms (RFC 9110, section 5.6.7), all of which are GMT. Undefined: it is not
 * such a date, and counts as not sent.
 */
export function parseHttpDate(text: string): number | undefined {
  const isGmt = IMF_FIXDATE.test(text) || RFC_850.test(text);
  if (!isGmt && !ASCTIME.test(text)) return undefined;
  const ms = Date.parse(isGmt ? text : `${text} GMT`);
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000);
}

const MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
const TIME = String.raw`\d\d:\d\d:\d\d`;
const IMF_FIXDATE = new RegExp(String.raw`^[A-Z][a-z]{2}, \d\d ${MONTH} \d{4} ${TIME} GMT$`);
const RFC_850 = new RegExp(String.raw`^[A-Z][a-z]{5,8}, \d\d-${MONTH}-\d\d ${TIME} GMT$`);
const ASCTIME = new RegExp(String.raw`^[A-Z][a-z]{2} ${MONTH} [ \d]\d ${TIME} \d{4}$`);
