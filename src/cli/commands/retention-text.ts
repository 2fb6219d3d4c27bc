/** Retention as people enter and read it: ages such as 15m and 90d, and the rule in words. */
import { MOST_RETENTION_S, type Retention } from "../../format/commits/retention.ts";
import { printCount } from "../terminal/text.ts";

/** "45s", "15m", "36h", "90d" or "0" in seconds. Undefined for anything else, or beyond retention's maximum. */
export function parseAge(text: string): number | undefined {
  if (text === "0") return 0;
  const [, count = "", unit = ""] = /^(\d{1,10})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * (UNITS.find(([letter]) => letter === unit)?.[1] ?? Number.NaN);
  return seconds <= MOST_RETENTION_S ? seconds : undefined;
}

/** An age for `parseAge`, in the largest unit that divides it. */
export function ageText(seconds: number): string {
  const unit = UNITS.find(([, length]) => seconds > 0 && seconds % length === 0);
  return unit === undefined ? "0" : `${seconds / unit[1]}${unit[0]}`;
}

/** "15 minutes", "24 hours", "90 days". */
export function printAge(seconds: number): string {
  const [, length, name] = UNITS.find(([, each]) => seconds % each === 0 && seconds > each) ?? SECONDS;
  return printCount(seconds / length, name);
}

/** "all up to 15 minutes, the last of each minute up to 24 hours, …": which roots are retained, by their age. */
export function retentionText({ all, minutes, hours, days }: Retention): string {
  const rules = [
    { each: "minute", seconds: minutes },
    { each: "hour", seconds: hours },
    { each: "day", seconds: days },
  ].filter(({ seconds }) => seconds > 0);
  const parts = rules.map(({ each, seconds }) => `the last of each ${each} up to ${printAge(seconds)}`);
  return [`all up to ${printAge(all)}`, ...parts].join(", ");
}

const SECONDS = ["s", 1, "second"] as const;
/** Largest first: letter, number of seconds, name. */
const UNITS = [["d", 86_400, "day"], ["h", 3_600, "hour"], ["m", 60, "minute"], SECONDS] as const;
