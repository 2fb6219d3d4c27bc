/**
 * The one table of options. It yields flags, SYNCLINE_* names, configuration keys, help and docs. The flag takes precedence
 * over the environment, which takes precedence over the file.
 */
import { Option } from "commander";
import { SynclineError } from "../base/errors.ts";
import { DEFAULT_CACHE_BYTES, READ_TIMEOUT_MS } from "../base/limits.ts";
import type { ConfigValues } from "./config-file.ts";
import {
  choice,
  count,
  duration,
  isOwnerPair,
  list,
  path,
  asSeconds,
  pathIn,
  positive,
  seconds,
  size,
  text,
  toggle,
  type OptionSpec,
} from "./option-kinds.ts";
import { DEFAULT_PRICES } from "./prices.ts";
import { parseRates } from "./rates.ts";
import { parseBytes, printBytes } from "./terminal/text.ts";

/** The default address of masters, and of WebDAV without --listen. */
export const DEFAULT_LISTEN = "127.0.0.1:3600";
export const DEFAULT_WEBDAV_LISTEN = "127.0.0.1:8888";

export const OPTIONS = {
  state: path("<dir>", "folder for the states of all agents", { fallbackText: "$XDG_STATE_HOME/syncline" }),
  key: path("<file>", "wallet key, an Ethereum keystore", {
    env: "KEY_FILE",
    fallbackText: "$XDG_CONFIG_HOME/syncline/key.json",
  }),
  passphraseFile: path("<file>", "file that holds the key's passphrase"),
  machineName: text("<name>", "this machine's name in the history; - for none", { fallbackText: "the host name" }),
  json: toggle("print one JSON object, or one per event; errors as JSON on stderr"),
  verbose: toggle("print more detail", { short: "-v" }),
  background: toggle("run in the background; return once it is ready", { onlyFlag: true }),
  readOnly: toggle("reject every change", { onlyFlag: true }),
  noexec: toggle("run no programs from the mount", { onlyFlag: true }),
  at: text("<root|time>", "an old state: a root, or a time such as 2026-01-31, yesterday, '2 hours ago'", {
    onlyFlag: true,
  }),
  durability: choice(["local", "published"] as const, "what fsync and PUT wait for", { fallbackText: "local" }),
  owner: {
    value: "<owner>",
    help: "owners that a mount shows: stored, me, UID:GID, or @FILE with lines such as uid STORED SHOWN",
    fallbackText: "stored",
    wanted: "stored, me, UID:GID or @FILE",
    ofFile: (given: string, folder: string) => (given.startsWith("@") ? `@${pathIn(given.slice(1), folder)}` : given),
    parse: (given: string) => (/^(stored|me|@.+)$/s.test(given) || isOwnerPair(given) ? given : undefined),
  },
  acl: toggle("show ACLs in a mount, and have the kernel enforce them"),
  birthTimes: toggle("report birth times (statx), at one more request per file"),
  indexPrograms: list(
    "<names...>",
    "programs that may fetch only a few blocks, by their names in /proc/PID/comm; off for none",
    { fallbackText: "updatedb, tracker, baloo, thumbnailers and the like" },
  ),
  history: toggle("give each directory a hidden .history with its earlier states"),
  readTimeout: seconds("fail an uncached read after this long without the bucket", {
    fallbackText: String(READ_TIMEOUT_MS / 1000),
  }),
  cacheSize: {
    value: "<auto|size>",
    help: "limit for cached blocks plus unpublished contents; auto limits cached blocks only",
    fallbackText: `auto: ${printBytes(DEFAULT_CACHE_BYTES)}`,
    wanted: 'auto, or a size such as "10 GiB"',
    parse: (given: string) => (given === "auto" ? given : positive(parseBytes(given) ?? 0)),
  },
  drain: {
    value: "<seconds>",
    help: "how long an ending agent publishes what is pending",
    fallbackText: "30; for unmount, the agent's",
    wanted: "a number of seconds, or 0",
    parse: asSeconds,
  },
  gc: choice(["auto", "off"] as const, "whether the agent collects garbage", { fallbackText: "auto" }),
  timeout: seconds("give up after this long without an answer", {
    onlyFlag: true,
    fallbackText: "60; 5 for commands that only read",
  }),
  allowDeletes: text("<digest>", "approve the held deletions with this digest", { onlyFlag: true }),
  graph: toggle("draw the history as a graph", { onlyFlag: true }),
  count: count("show at most this many", { short: "-n", onlyFlag: true, fallbackText: "20" }),
  recursive: toggle("directories with everything in them", { short: "-r", onlyFlag: true }),
  repair: toggle("repair what can be repaired", { onlyFlag: true }),
  root: text("<commit>", "with --repair: the commit that becomes the lost root", { onlyFlag: true }),
  accept: toggle("accept a bucket that was replaced or rolled back, and remember it", { onlyFlag: true }),
  roots: choice(["replaced", "numbered"] as const, "how a bucket in S3 keeps its root", {
    onlyFlag: true,
    fallbackText: "what tests of the server show to be safe",
  }),
  force: toggle("even if its process still runs on this machine", { onlyFlag: true }),
  tlsCa: path("<file>", "certificates (PEM) to trust for masters and S3 servers, besides the system's"),
  origin: text("<url>", "the master that the token is for", { onlyFlag: true }),
  ttl: seconds("lifetime of the token", { fallbackText: "600" }),
  data: path("<dir>", "the master's folder; with --arbiter, of its cache and certificate", { onlyFlag: true }),
  arbiter: text("<url>", "the roots of several masters: postgres://user@host/database, or sqlite:FILE for one", {
    onlyFlag: true,
  }),
  store: text("<url>", "where several masters keep blocks, as s3://bucket/prefix?endpoint=… or file:///folder", {
    onlyFlag: true,
  }),
  put: toggle("enter packs in the arbiter's log and create roots, replacing none", { onlyFlag: true }),
  verify: toggle("read every copied pack back and compare it", { onlyFlag: true }),
  name: list("<name=cid...>", "bucket names by genesis; by commit: make this one the root", {
    env: "RESCUE_NAME",
    onlyFlag: true,
  }),
  listen: text("<host:port>", "address to listen on; port 0 picks a free port", {
    fallbackText: `${DEFAULT_LISTEN}; for webdav ${DEFAULT_WEBDAV_LISTEN}`,
  }),
  metricsListen: text("<host:port>", "serve /metrics at this address, to anyone who can reach it", { onlyFlag: true }),
  webdav: text("<host:port>", "also serve WebDAV at this address", { onlyFlag: true }),
  system: toggle("for the whole machine, in /etc/systemd/system (as root)", { onlyFlag: true }),
  sync: path("<dir>", "also keep this folder in sync", { onlyFlag: true }),
  host: list("<names...>", "names that clients use for this server, besides this machine's own"),
  tlsSelfSigned: toggle("serve https with a self-signed certificate, made once"),
  noAuth: toggle("let anyone on this machine in, without a password", { onlyFlag: true }),
  digest: toggle("also allow Digest, as Windows needs over plain http: the file is then as good as the password", {
    onlyFlag: true,
  }),
  allow: list("<wallet...>", "wallets to serve; without this option, none"),
  tlsCert: path("<file>", "certificate and chain in PEM: serve https"),
  tlsKey: path("<file>", "the certificate's private key in PEM"),
  insecure: toggle("allow plain http:// between machines: others can read and use tokens and passwords"),
  masters: list("<url...>", "all masters of the same buckets, such as https://host:port, for agents to learn"),
  publicBlocks: toggle("serve /ipfs/… without a bearer token to anyone who knows an address"),
  acceptRoots: toggle("accept the table of roots even if it is older than known, or lost", { onlyFlag: true }),
  unsafeNoCas: toggle("swap roots without comparing: writers lose work; for drills", { onlyFlag: true }),
  s3Prices: text("<table>", "US dollars for 1,000 put, list, get and delete requests and a GB-month of storage", {
    fallbackText: DEFAULT_PRICES,
  }),
  keep: choice(["kept", "copy", "both"] as const, "which version to keep", { onlyFlag: true }),
  allOlderThan: duration("all conflicts older than this", { onlyFlag: true }),
  for: duration("end the pause after this long", { onlyFlag: true, fallbackText: "until `syncline resume`" }),
  dryRun: toggle("show what would be done, and change nothing", { onlyFlag: true }),
  once: toggle("sync until both are the same, then exit", { onlyFlag: true }),
  watch: toggle("sync whenever either changes; the default", { onlyFlag: true }),
  limit: {
    value: "<rate>",
    help: "transfer at most this many bytes a second; by time of day: '08:00,512k 18:00,10M 23:00,off'",
    fallbackText: "no limit",
    wanted:
      'a rate of at least 1 KiB a second: write 1M for 1 MiB, or a timetable such as "08:00,512k 18:00,10M 23:00,off" with rising times',
    parse: parseRates,
  },
  special: toggle("also setuid and setgid bits, and extended attributes outside user.*"),
  seed: count("the number of the first history", { onlyFlag: true, fallbackText: "any" }),
  seconds: {
    value: "<seconds>",
    help: "start no new histories after this long",
    onlyFlag: true,
    fallbackText: "10",
    wanted: "a number of seconds, or 0 for one history",
    parse: asSeconds,
  },
  histories: count("play this many histories, instead of for --seconds", { onlyFlag: true }),
  jobs: count("histories to play at once", { onlyFlag: true, fallbackText: "1; all cores with --histories" }),
  canaries: toggle("plant known faults, and show how each is noticed", { onlyFlag: true }),
  scenarios: path("<file>", "merges to play; for the format, see the end of docs/design/merge.md", { onlyFlag: true }),
  lease: duration("how long to keep blocks that no root reaches", { fallbackText: "24h" }),
  quota: size("maximum bytes that each wallet may store", { fallbackText: "no limit" }),
  quotaApi: text("<url>", "storage API to ask before /v0/block accepts an upload"),
  quotaMode: choice(["open", "strict"] as const, "whether to accept uploads while that API does not answer", {
    fallbackText: "open",
  }),
  sessionKey: path("<file>", "also accept session tokens (JWT): a file with a public key in PEM, or a secret"),
} as const;

type ValueOf<Spec> = Spec extends OptionSpec<infer Value> ? Value : never;

export type OptionName = keyof typeof OPTIONS;
/** Values that were set; commands apply their own defaults. */
export type Options = { readonly [Name in OptionName]: ValueOf<(typeof OPTIONS)[Name]> | undefined };

/** Every command has these. */
export const COMMON_OPTIONS = ["state", "key", "passphraseFile", "machineName", "json", "verbose"] as const;

export function commanderOption(name: OptionName): Option {
  const spec: OptionSpec<unknown> = OPTIONS[name];
  const long = `--${kebab(name)}`;
  const flags = [spec.short, long].filter((flag) => flag !== undefined).join(", ");
  const facts = [`env: ${envName(name)}`];
  if (spec.fallbackText !== undefined) facts.push(`default: ${spec.fallbackText}`);
  return new Option(spec.value === undefined ? flags : `${flags} ${spec.value}`, `${spec.help} (${facts.join(", ")})`);
}

/** The value of each named option, from the first source that has it. `folder`: the file's. Throws `usage`, `config_invalid`. */
export function resolveOptions<Name extends OptionName>(
  names: readonly Name[],
  sources: { flags: Readonly<Record<string, unknown>>; env: NodeJS.ProcessEnv; file: ConfigValues; folder: string },
): Pick<Options, Name> {
  const resolved: Partial<Record<OptionName, unknown>> = {};
  for (const name of names) {
    const spec: OptionSpec<unknown> = OPTIONS[name];
    const flag = flagOf(sources.flags, name);
    const fromEnv = sources.env[envName(name)];
    const fromFile = spec.onlyFlag === true ? undefined : sources.file.get(kebab(name));
    if (flag !== undefined) resolved[name] = parseAs(spec, String(flag), `--${kebab(name)}`, "usage");
    else if (fromEnv !== undefined && fromEnv !== "") resolved[name] = parseAs(spec, fromEnv, envName(name), "usage");
    else if (fromFile !== undefined) {
      const given = spec.ofFile?.(String(fromFile), sources.folder) ?? String(fromFile);
      resolved[name] = parseAs(spec, given, `${kebab(name)} in config.toml`, "config_invalid");
    }
  }
  return resolved as Pick<Options, Name>;
}

/** What is wrong with a configuration key and its value; undefined if nothing. */
export function configProblem(key: string, value: unknown): string | undefined {
  const name = (Object.keys(OPTIONS) as OptionName[]).find((each) => kebab(each) === key);
  const spec: OptionSpec<unknown> | undefined = name && OPTIONS[name];
  if (spec === undefined) return `unknown option ${JSON.stringify(key)}`;
  if (spec.onlyFlag === true) return `${key} cannot be set in the file: give it as --${key}`;
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean")
    return `${key} must be a string, a number, true or false`;
  if (spec.parse(String(value)) === undefined) return `${key}: ${JSON.stringify(value)} is not ${spec.wanted}`;
  return undefined;
}

/** The keys that a configuration file may hold. */
export function configKeys(): ReadonlySet<string> {
  const names = Object.keys(OPTIONS) as OptionName[];
  return new Set(names.filter((name) => !("onlyFlag" in OPTIONS[name])).map(kebab));
}

export function envName(name: OptionName): string {
  const spec: OptionSpec<unknown> = OPTIONS[name];
  return `SYNCLINE_${spec.env ?? kebab(name).replaceAll("-", "_").toUpperCase()}`;
}

export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Commander takes "--no-auth" for the negation of "--auth". */
function flagOf(flags: Readonly<Record<string, unknown>>, name: OptionName): unknown {
  const [, opposite] = /^no([A-Z].*)$/.exec(name) ?? [];
  if (opposite === undefined) return flags[name];
  return flags[opposite.charAt(0).toLowerCase() + opposite.slice(1)] === false ? true : undefined;
}

function parseAs(spec: OptionSpec<unknown>, given: string, source: string, code: "usage" | "config_invalid"): unknown {
  const value = spec.parse(given);
  if (value === undefined) {
    throw new SynclineError(code, `${source}: ${JSON.stringify(given)} is not ${spec.wanted}.`);
  }
  return value;
}
