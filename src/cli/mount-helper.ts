/**
 * /usr/sbin/mount.syncline, which mount(8) calls for `mount -t syncline` and fstab: "mount.syncline SPEC DIR [-sfnv] [-N
 * namespace] [-o options] [-t type.subtype]" (mount(8), "External helpers").
 */
import { Writable } from "node:stream";
import { parseArgs } from "node:util";
import { SynclineError } from "../base/errors.ts";
import { type OptionFacts, optionsOf } from "./command-tree.ts";
import { commandsFor } from "./commands.ts";
import { runCommandLine } from "./program.ts";
import type { Runtime } from "./runtime.ts";
import { createOutput } from "./terminal/output.ts";

/** The first argument of such a call. */
export const MOUNT_HELPER = "mount.syncline";

/** Exit statuses of mount(8). */
type MountStatus = 0 | 1 | 32;
const USAGE = 1;
const FAILURE = 32;

export interface MountCall {
  /** The call as arguments of this program. */
  readonly args: readonly string[];
  readonly verbose: boolean;
  /** -f: mount nothing. */
  readonly fake: boolean;
}

/** Mounts; returns once the mount is up. Never throws. */
export async function runMountHelper(
  words: readonly string[],
  runtime: Runtime,
  version: string,
): Promise<MountStatus> {
  let call: MountCall;
  try {
    call = parseMountCall(words, await optionsOf("mount", runtime));
  } catch (error) {
    createOutput(runtime, { json: false, verbose: false }).error(error);
    return USAGE;
  }
  if (call.fake) return 0;
  // The agent is started with these arguments, and so is the next one if it dies.
  process.argv.splice(2, Number.POSITIVE_INFINITY, ...call.args);
  const own = { ...runtime, stdout: call.verbose ? runtime.stdout : nowhere(), keepsSession: true };
  const status = await runCommandLine(call.args, own, await commandsFor(call.args), version);
  if (status === 0) return 0;
  return status === 2 ? USAGE : FAILURE;
}

/** `known`: the options of `syncline mount`. Throws `usage`. */
export function parseMountCall(words: readonly string[], known: readonly OptionFacts[]): MountCall {
  const { values, positionals } = parseWords(words);
  const [spec, directory, ...more] = positionals;
  if (spec === undefined || directory === undefined || more.length > 0)
    throw new SynclineError("usage", "mount.syncline needs a bucket's address and a directory.", { hint: HINT });
  if (values.namespace !== undefined)
    throw new SynclineError("usage", "A mount in another mount namespace (-N) is not supported.", {
      hint: "Run mount in that namespace: nsenter --mount=… mount -t syncline URL DIR.",
    });
  const options = parseMountOptions((values.options ?? []).join(","), known, values.sloppy === true);
  return {
    args: ["mount", "--background", ...options, "--", spec, directory],
    verbose: values.verbose === true,
    fake: values.fake === true,
  };
}

const HINT = "mount(8) calls it: mount -t syncline URL DIR -o OPTIONS.";

function parseWords(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        sloppy: { type: "boolean", short: "s" },
        fake: { type: "boolean", short: "f" },
        nomtab: { type: "boolean", short: "n" },
        verbose: { type: "boolean", short: "v" },
        namespace: { type: "string", short: "N" },
        options: { type: "string", short: "o", multiple: true },
        type: { type: "string", short: "t" },
      },
    });
  } catch (cause) {
    const [what = ""] = cause instanceof Error ? cause.message.split(". ", 1) : [];
    throw new SynclineError("usage", `mount.syncline: ${what}`, { hint: HINT, cause });
  }
}

/**
 * "ro,cache-size=2GiB" as arguments of `syncline mount`. A later option replaces an earlier one. Quotes keep commas: host="a,b".
 * With `sloppy`, skips what is unknown. Throws `usage`.
 */
function parseMountOptions(text: string, known: readonly OptionFacts[], sloppy: boolean): string[] {
  const own = new Map(known.flatMap((each) => (UNFIT.has(each.long) ? [] : [[each.long, each] as const])));
  const chosen = new Map<string, string>();
  for (const option of splitOptions(text)) {
    const [, name = "", value] = /^([^=]*)(?:=(.*))?$/s.exec(option) ?? [];
    if ((value === undefined || name === "user") && Object.hasOwn(SWITCHES, name)) {
      for (const [long, isOn] of Object.entries(SWITCHES[name] ?? {}))
        if (isOn) chosen.set(long, long);
        else chosen.delete(long);
    } else if (!isIgnored(name, value)) {
      const facts = own.get(`--${name}`);
      if (facts !== undefined) chosen.set(facts.long, argumentOf(facts, name, value));
      else if (!sloppy) throw unknownOption(name, [...own.keys()]);
    }
  }
  return [...chosen.values()];
}

/** Options that do not suit such a mount, or that mount(8) sets itself. */
const UNFIT: ReadonlySet<string> = new Set(["--json", "--verbose", "--background", "--accept"]);

/** The switches that mount(8)'s own options turn on and off. user and users imply noexec. */
const SWITCHES: Readonly<Record<string, Readonly<Record<string, boolean>>>> = {
  ro: { "--read-only": true },
  rw: { "--read-only": false },
  noexec: { "--noexec": true },
  exec: { "--noexec": false },
  user: { "--noexec": true },
  users: { "--noexec": true },
};

/** Options for mount(8) and systemd themselves, or about what cannot be chosen: nosuid, nodev, and how atimes are kept. */
const IGNORED: ReadonlySet<string> = new Set(
  (
    "defaults auto noauto nofail _netdev owner group suid nosuid dev nodev async loud silent atime noatime diratime " +
    "nodiratime relatime norelatime strictatime nostrictatime lazytime nolazytime"
  ).split(" "),
);

function isIgnored(name: string, value: string | undefined): boolean {
  if (value === undefined) return IGNORED.has(name) || name === "" || /^x-/i.test(name);
  return name === "comment" || /^x-/i.test(name);
}

function argumentOf({ long, value: wanted }: OptionFacts, name: string, value: string | undefined): string {
  if (wanted === undefined && value !== undefined)
    throw new SynclineError("usage", `The mount option ${name} takes no value.`);
  if (wanted !== undefined && value === undefined)
    throw new SynclineError("usage", `The mount option ${name} needs a value: ${name}=${wanted.toUpperCase()}.`);
  return value === undefined ? long : `${long}=${value}`;
}

function unknownOption(name: string, known: readonly string[]): SynclineError {
  const all = new Set([...known.map((long) => long.slice(2)), "ro", "noexec", "user", "users"]);
  return new SynclineError("usage", `The mount option ${JSON.stringify(name)} is unknown.`, {
    hint: `Known options: ${[...all].toSorted().join(", ")}. Options of mount(8) that have no effect here are ignored.`,
  });
}

/** Splits at commas outside double quotes, and drops the quotes. */
function splitOptions(text: string): string[] {
  const parts = text.match(/(?:"[^"]*"?|[^",])+/g) ?? [];
  return parts.map((part) => part.replaceAll('"', ""));
}

function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}
