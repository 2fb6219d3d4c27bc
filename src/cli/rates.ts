/** `--limit`: one rate, or a timetable as rclone's `--bwlimit` takes it: "08:00,512k 18:00,10M 23:00,off". */
import type { Rates, TimedRate } from "../base/rate-limit.ts";
import { parseBytes } from "./terminal/text.ts";

/** Undefined for anything else. Times must rise. */
export function parseRates(text: string): Rates | undefined {
  const always = parseRate(text.trim());
  if (always !== undefined) return [{ fromMinute: 0, ...always }];
  const rates: TimedRate[] = [];
  for (const part of text.trim().split(/\s+/)) {
    const [, hour = "", minute = "", given = ""] = /^(\d{1,2}):(\d{2}),(.+)$/.exec(part) ?? [];
    const rate = parseRate(given);
    const fromMinute = Number(hour) * 60 + Number(minute);
    if (rate === undefined || Number(hour) > 23 || Number(minute) > 59) return undefined;
    if (fromMinute <= (rates.at(-1)?.fromMinute ?? -1)) return undefined;
    rates.push({ fromMinute, ...rate });
  }
  return rates;
}

/** "512k", "2 MiB/s" or "off". Below the least rate nothing would get done: whoever writes "1" means "1M". */
function parseRate(text: string): Pick<TimedRate, "bytesPerS"> | undefined {
  if (text.toLowerCase() === "off") return { bytesPerS: undefined };
  const bytes = parseBytes(text.replace(/\/s$/i, ""));
  return bytes === undefined || bytes < LEAST_BYTES_PER_S ? undefined : { bytesPerS: bytes };
}

const LEAST_BYTES_PER_S = 1024;
