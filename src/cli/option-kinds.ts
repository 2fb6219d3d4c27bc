/** The kinds of values that options have: how each is read, and how help and messages describe it. */
import { homedir } from "node:os";
import { resolve } from "node:path";
import { MAX_OWNER } from "../fuse/owners.ts";
import { parseBytes } from "./terminal/text.ts";

export interface OptionSpec<Value> {
  readonly short?: string;
  /** How help shows the value, such as "<dir>"; absent for a switch. */
  readonly value?: string;
  readonly help: string;
  /** The name after SYNCLINE_; by default the option's name. */
  readonly env?: string;
  /** Only the command line may set it, because it applies to one run. */
  readonly onlyFlag?: boolean;
  /** The default as help shows it. */
  readonly fallbackText?: string;
  /** Names the kind of value in error messages: "a number of seconds". */
  readonly wanted: string;
  /** Converts a value of the configuration file, whose folder is given. Absent: it is taken as it is. */
  readonly ofFile?: (text: string, folder: string) => string;
  /** Undefined for invalid text. */
  parse(text: string): Value | undefined;
}

type Extra = Omit<OptionSpec<unknown>, "help" | "parse" | "value" | "wanted">;

export function text(value: string, help: string, extra: Extra = {}): OptionSpec<string> {
  return { ...extra, value, help, wanted: "a text", parse: (given) => (given === "" ? undefined : given) };
}

/** One or several values, separated by blanks or commas. */
export function list(value: string, help: string, extra: Extra = {}): OptionSpec<readonly string[]> {
  const parse = (given: string) => given.split(/[\s,]+/).filter((item) => item !== "");
  return { ...extra, value, help, wanted: "a list", parse };
}

/** Absolute, since a background process has another working directory. */
export function path(value: string, help: string, extra: Extra = {}): OptionSpec<string> {
  return { ...text(value, help, extra), ofFile: pathIn, parse: (given) => (given === "" ? undefined : resolve(given)) };
}

/** A path in the configuration file: relative to its folder, or to the home. */
export function pathIn(given: string, folder: string): string {
  if (given === "") return given;
  return given.startsWith("~/") ? resolve(homedir(), given.slice(2)) : resolve(folder, given);
}

/** "1000:1000" */
export function isOwnerPair(given: string): boolean {
  return /^\d{1,10}:\d{1,10}$/.test(given) && given.split(":").every((id) => Number(id) <= MAX_OWNER);
}

export function toggle(help: string, extra: Extra = {}): OptionSpec<boolean> {
  return { ...extra, help, wanted: "yes or no", parse: (given) => SWITCHES.get(given.toLowerCase()) };
}

export function choice<const Value extends string>(
  values: readonly Value[],
  help: string,
  extra: Extra = {},
): OptionSpec<Value> {
  const parse = (given: string) => values.find((value) => value === given);
  return { ...extra, value: `<${values.join("|")}>`, help, wanted: `one of ${values.join(", ")}`, parse };
}

export function seconds(help: string, extra: Extra = {}): OptionSpec<number> {
  return {
    ...extra,
    value: "<seconds>",
    help,
    wanted: "a number of seconds",
    parse: (given) => positive(asSeconds(given) ?? 0),
  };
}

/** In milliseconds. */
export function duration(help: string, extra: Extra = {}): OptionSpec<number> {
  const parse = (given: string) => positive(parseMs(given) ?? 0);
  return { ...extra, value: "<duration>", help, wanted: 'a duration such as "90m", "12h" or "30d"', parse };
}

/** A number, or a duration: "2.5" or "2m". */
export function asSeconds(given: string): number | undefined {
  const ms = parseMs(/^\d+(\.\d+)?$/.test(given) ? `${given}s` : given);
  return ms === undefined ? undefined : ms / 1000;
}

function parseMs(given: string): number | undefined {
  const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(given.trim()) ?? [];
  const unitMs = UNIT_MS.get(unit);
  return unitMs === undefined ? undefined : Number(amount) * unitMs;
}

export function count(help: string, extra: Extra = {}): OptionSpec<number> {
  const parse = (given: string) => (/^\d+$/.test(given) ? positive(Number(given)) : undefined);
  return { ...extra, value: "<n>", help, wanted: "a whole number above 0", parse };
}

export function size(help: string, extra: Extra = {}): OptionSpec<number> {
  const parse = (given: string) => positive(parseBytes(given) ?? 0);
  return { ...extra, value: "<size>", help, wanted: 'a size such as "10 GiB"', parse };
}

const UNIT_MS = new Map([
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
  ["w", 604_800_000],
]);

const SWITCHES = new Map([
  ...["true", "1", "yes", "on"].map((word) => [word, true] as const),
  ...["false", "0", "no", "off"].map((word) => [word, false] as const),
]);

export function positive(value: number): number | undefined {
  return Number.isFinite(value) && value > 0 ? value : undefined;
}
