/** A bucket's policy as `key=value`: what `policy show` prints and `policy set` takes. */
import { SynclineError } from "../../base/errors.ts";
import { DEFAULT_POLICY, encodePolicy, type Policy, type Units } from "../../format/commits/policy.ts";
import { LEAST_ALL_S, MOST_RETENTION_S, type Retention, retentionOf } from "../../format/commits/retention.ts";
import { ageText, parseAge } from "./retention-text.ts";
import { parseBytes } from "../terminal/text.ts";

/** All settings in display order. */
export function policySettings(policy: Policy): [key: string, value: string][] {
  return Object.entries(SETTINGS).map(([key, { show }]) => [key, show(policy)]);
}

/** Applies these settings to a policy in order. Throws `usage` for an invalid setting. */
export function changedPolicy(settings: readonly string[]): (policy: Policy) => Policy {
  const changes = settings.map(parseSetting);
  const change = (policy: Policy) => changes.reduce((now, each) => each(now), policy);
  checkPolicy(change(DEFAULT_POLICY));
  return change;
}

type Change = (policy: Policy) => Policy;

interface Setting {
  readonly show: (policy: Policy) => string;
  /** Undefined for an invalid value. */
  readonly set: (value: string) => Change | undefined;
  readonly wanted: string;
  /** For lists: adds or removes items. */
  readonly add?: (items: readonly string[]) => Change;
  readonly remove?: (items: readonly string[]) => Change;
}

const SETTINGS: Readonly<Record<string, Setting>> = {
  text: listSetting(
    ({ text }) => text,
    (policy, text) => ({ ...policy, text }),
  ),
  "text-bytes": numberSetting(
    ({ textBytes }) => textBytes,
    (policy, textBytes) => ({ ...policy, textBytes }),
    "a size such as 1M",
    parseBytes,
  ),
  logs: listSetting(
    ({ logs }) => logs,
    (policy, logs) => ({ ...policy, logs }),
  ),
  units: listSetting(
    ({ units }) => units.trees,
    (policy, trees) => ({ ...policy, units: { ...policy.units, trees } }),
  ),
  families: {
    show: ({ units }) =>
      units.families.map(({ globs, suffixes }) => `${globs.join(",")}:${suffixes.join(",")}`).join(";"),
    set: (value) => {
      const families = parseFamilies(value);
      return families && ((policy) => ({ ...policy, units: { ...policy.units, families } }));
    },
    wanted: "globs, a colon and suffixes, such as *.db,*.sqlite:-wal,-shm; separate several with ;",
  },
  "guard-percent": numberSetting(
    ({ guard }) => guard.percent,
    (policy, percent) => ({ ...policy, guard: { ...policy.guard, percent } }),
    "a number from 0 to 100",
    (value) => parseCount(value, 100),
  ),
  "guard-files": numberSetting(
    ({ guard }) => guard.files,
    (policy, files) => ({ ...policy, guard: { ...policy.guard, files } }),
    "a number",
    (value) => parseCount(value, Number.MAX_SAFE_INTEGER),
  ),
  "keep-all": ageSetting("all", LEAST_ALL_S),
  "keep-minutes": ageSetting("minutes", 0),
  "keep-hours": ageSetting("hours", 0),
  "keep-days": ageSetting("days", 0),
};

function parseSetting(text: string): Change {
  if (text === "default") return () => DEFAULT_POLICY;
  const match = /^([a-z-]+?)(\+=|-=|=)(.*)$/s.exec(text);
  const [, key = "", operator = "", value = ""] = match ?? [];
  const setting = Object.hasOwn(SETTINGS, key) ? SETTINGS[key] : undefined;
  if (setting === undefined) {
    throw new SynclineError("usage", `${JSON.stringify(text)} is not a policy setting.`, {
      hint: `Use default, or key=value with one of these keys: ${Object.keys(SETTINGS).join(", ")}.`,
    });
  }
  const change =
    operator === "=" ? setting.set(value) : (operator === "+=" ? setting.add : setting.remove)?.(itemsOf(value));
  if (change !== undefined) return change;
  throw new SynclineError("usage", `Cannot set ${JSON.stringify(text)}: ${key} must be ${setting.wanted}.`);
}

function listSetting(
  get: (policy: Policy) => readonly string[],
  put: (policy: Policy, items: string[]) => Policy,
): Setting {
  return {
    show: (policy) => get(policy).join(","),
    set: (value) => (policy) => put(policy, itemsOf(value)),
    wanted: "a comma-separated list",
    add: (items) => (policy) => put(policy, [...get(policy), ...items]),
    remove: (items) => (policy) =>
      put(
        policy,
        get(policy).filter((item) => !items.includes(item)),
      ),
  };
}

function numberSetting(
  get: (policy: Policy) => number | string,
  put: (policy: Policy, value: number) => Policy,
  wanted: string,
  parse: (text: string) => number | undefined,
): Setting {
  const set = (text: string): Change | undefined => {
    const value = parse(text);
    return value === undefined ? undefined : (policy) => put(policy, value);
  };
  return { show: (policy) => String(get(policy)), set, wanted };
}

/** The setting for the age up to which a retention rule keeps roots. */
function ageSetting(rule: keyof Retention, leastS: number): Setting {
  return numberSetting(
    (policy) => ageText(retentionOf(policy)[rule]),
    (policy, seconds) => ({ ...policy, retention: { ...retentionOf(policy), [rule]: seconds } }),
    `an age from ${ageText(leastS)} to ${ageText(MOST_RETENTION_S)}, such as 45m, 36h or 7d`,
    (value) => {
      const seconds = parseAge(value);
      return seconds === undefined || seconds < leastS ? undefined : seconds;
    },
  );
}

function parseFamilies(text: string): Units["families"] | undefined {
  const parts = text.split(";").filter((part) => part !== "");
  const families = parts.map((part) => part.split(":").map(itemsOf));
  const whole = families.every(({ length }) => length === 2) && families.flat().every((items) => items.length > 0);
  return whole ? families.map(([globs = [], suffixes = []]) => ({ globs, suffixes })) : undefined;
}

function itemsOf(text: string): string[] {
  return text.split(",").filter((item) => item !== "");
}

function parseCount(text: string, most: number): number | undefined {
  return /^\d{1,16}$/.test(text) && Number(text) <= most ? Number(text) : undefined;
}

/** Globs match file names in any directory; only a unit's may spell that out with two stars and a slash. */
function checkPolicy(policy: Policy): void {
  const { text, logs, units } = policy;
  const { trees, families } = units;
  const inFamilies = [families.flatMap(({ globs }) => globs), families.flatMap(({ suffixes }) => suffixes)];
  const names = [text, logs, trees.map((glob) => glob.replace(/^\*\*\//, "")), inFamilies.flat()].flat();
  const wrong = names.find((name) => name.includes("/"));
  if (wrong !== undefined) {
    throw new SynclineError("usage", `${JSON.stringify(wrong)} is not a glob for file names: it contains a slash.`, {
      hint: "A glob matches file names, in any folder.",
    });
  }
  try {
    encodePolicy(policy);
  } catch (error) {
    throw new SynclineError(
      "usage",
      `The policy is invalid: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
