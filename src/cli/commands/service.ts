/** `syncline service`: mounts, synced folders and WebDAV servers as systemd units, of a user or of the machine. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { Command, CommanderError } from "commander";
import { makeFolders } from "../../runtime/make-folders.ts";
import { orElse, unlessSync } from "../../base/unless.ts";
import { NODE_FLAGS } from "../../runtime/memory.ts";
import { SynclineError } from "../../base/errors.ts";
import { homeFolder } from "../../agent/state/state-dir.ts";
import { supervisorPath } from "../../fuse/supervisor.ts";
import { addCommand, readOptions, type Call, type Program } from "../command.ts";
import { commandsFor } from "../commands.ts";
import { configFolder } from "../config-file.ts";
import { passphrasePathOf } from "../key-file.ts";
import type { Runtime } from "../runtime.ts";
import { drainMsOf } from "./agent-limits.ts";
import { registerMountHelper } from "./service-mount-helper.ts";
import { UNIT_MARK, unitText } from "./systemd-unit.ts";
import { printText } from "../terminal/text.ts";

type ServiceCall = Call<"system">;

export function register(program: Program): void {
  addCommand(program, {
    name: "service install",
    arguments: [
      ["<name>", "the service's name: letters, digits, - and _"],
      ["<command...>", "mount, sync or webdav with its arguments, after --"],
    ],
    summary: "write a systemd unit that runs a mount, a synced folder or a WebDAV server",
    options: ["system", "dryRun"],
    examples: [
      "syncline service install work -- sync file:///srv/bucket ~/work",
      "syncline service install notes --dry-run -- mount https://master.example:3600/notes ~/notes",
    ],
    exits: [4, 5],
    run: install,
  });
  addCommand(program, {
    name: "service uninstall",
    arguments: [["<name>", "the name given to service install"]],
    summary: "remove a unit written by service install",
    options: ["system", "dryRun"],
    examples: ["syncline service uninstall work"],
    exits: [4],
    run: uninstall,
  });
  addCommand(program, {
    name: "service status",
    summary: "list the units written by service install, and whether they run",
    options: ["system"],
    examples: ["syncline service status"],
    run: status,
  });
  registerMountHelper(program);
}

async function install(call: ServiceCall & Call<"dryRun">): Promise<void> {
  const { args, options, output, runtime } = call;
  const [name = "", ...words] = args;
  const system = options.system === true;
  const given = await checkCommand(runtime, words);
  checkKey(call, given);
  checkAwsKey(runtime, words);
  const workingDirectory = process.cwd();
  checkWorkingDirectory(workingDirectory);
  const main = process.argv[1];
  const { drain } = await readOptions(runtime, ["drain"], given);
  const unit = unitText({
    words,
    program: [process.execPath, ...NODE_FLAGS, main === undefined ? "" : realpathSync(main)],
    supervisor: words[0] === "mount" ? builtSupervisor() : "",
    workingDirectory,
    environment: keptEnvironment(call),
    system,
    drainMs: drainMsOf({ drain }),
  });
  const path = unitPath(call, name);
  const before = existsSync(path) ? readFileSync(path, "utf8") : undefined;
  if (before !== undefined && before !== unit) {
    throw new SynclineError("path_exists", `A different unit already exists at ${printText(path)}.`, {
      hint: `Remove it first: syncline service uninstall ${name}. Or choose another name.`,
    });
  }
  const next = nextSteps(name, system);
  if (options.dryRun === true) {
    output.result({ unit: path, text: unit, written: false, next }, `${printText(path)} would contain:\n${unit}`);
    return;
  }
  makeFolders(dirname(path));
  if (before === undefined) writeFileSync(path, unit, { mode: 0o644 });
  output.result({ unit: path, text: unit, written: before === undefined, next }, `Wrote ${printText(path)}. Now run:`);
  for (const step of next) output.notice(`  ${step}`);
  if (runtime.environmentKey !== undefined)
    output.notice("The service does not receive SYNCLINE_KEY. It uses its user's key file.");
}

async function uninstall(call: ServiceCall & Call<"dryRun">): Promise<void> {
  const { args, options, output } = call;
  const [name = ""] = args;
  const path = unitPath(call, name);
  if (!existsSync(path)) {
    throw new SynclineError("no_such_path", `There is no unit ${printText(path)}.`, {
      hint: "`syncline service status` lists the existing units.",
    });
  }
  if (!isOurs(path)) {
    throw new SynclineError("precondition_failed", `${printText(path)} was not written by service install.`, {
      hint: "If you want to remove it, delete the file by hand.",
    });
  }
  const manager = managerText(options.system === true);
  if (options.dryRun === true) {
    output.result({ unit: path, removed: false }, `${printText(path)} would be removed.`);
    return;
  }
  rmSync(path);
  const next = [`${manager} disable --now syncline-${name}.service`, `${manager} daemon-reload`];
  output.result({ unit: path, removed: true, next }, `Removed ${printText(path)}. If it is running, stop it:`);
  for (const step of next) output.notice(`  ${step}`);
}

async function status(call: ServiceCall): Promise<void> {
  const { output, options } = call;
  const folder = unitFolder(call);
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const units = names.toSorted().flatMap((file) => {
    const [, name] = /^syncline-([\w-]+)\.service$/.exec(file) ?? [];
    if (name === undefined || !isOurs(join(folder, file))) return [];
    return [{ name, unit: join(folder, file), active: activeState(file, options.system === true) }];
  });
  const lines = units.map(({ name, unit, active }) => `${name}  ${active ?? "unknown"}  ${printText(unit)}`);
  output.result({ services: units }, lines.join("\n") || "No services.");
}

/** Parsed options of a command line. */
type Given = Readonly<Record<string, unknown>>;

/** Throws `usage` if a service cannot run this command line. */
async function checkCommand(runtime: Runtime, words: readonly string[]): Promise<Given> {
  const [first = ""] = words;
  if (!["mount", "sync", "webdav"].includes(first) || words[1] === "password")
    throw new SynclineError("usage", "A service can run only mount, sync or webdav.", {
      hint: "For example: syncline service install work -- sync URL DIR.",
    });
  const root = new Command("syncline").exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {} });
  for (const each of await commandsFor(words)) each({ root, runtime, status: 0 });
  const command = root.commands.find((each) => each.name() === first);
  command?.exitOverride().action(() => {});
  try {
    await root.parseAsync(words, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) throw new SynclineError("usage", "A service cannot run a command that only prints help.");
    throw new SynclineError("usage", error.message.replace(/^error: /, ""), { hint: `See syncline ${first} --help.` });
  }
  const given = command?.opts() ?? {};
  for (const [option, why] of UNFIT)
    if (given[option] === true) throw new SynclineError("usage", `A service cannot use ${why}.`);
  return given;
}

/** Throws `fuse_unavailable`. */
function builtSupervisor(): string {
  try {
    return supervisorPath();
  } catch (cause) {
    throw new SynclineError("fuse_unavailable", "The program that mounts is not built.", {
      hint: "Build it: npm run build:native (needs g++, make and python3).",
      cause,
    });
  }
}

const UNFIT: readonly (readonly [string, string])[] = [
  ["accept", "--accept: every start would accept whatever bucket is at the address"],
  ["background", "--background: systemd starts it and waits for it"],
  ["once", "--once: it would end once both sides agree"],
  ["dryRun", "--dry-run after --: put it before --"],
];

/** A service has no one to type a passphrase. Throws `key_locked`. */
function checkKey({ options, runtime }: ServiceCall, given: Given): void {
  const own = typeof given["key"] === "string" ? given["key"] : undefined;
  const path = own ?? options.key ?? join(configFolder(runtime.env), "key.json");
  const passphraseFile = given["passphraseFile"] ?? options.passphraseFile;
  if (!existsSync(path) || passphraseFile !== undefined || existsSync(passphrasePathOf(path))) return;
  throw new SynclineError("key_locked", `A service cannot ask for the passphrase of ${printText(path)}.`, {
    hint: "Put the passphrase in a file that only you can read: --passphrase-file FILE or SYNCLINE_PASSPHRASE_FILE.",
  });
}

/** A unit holds no keys: those of a service are in a profile, or come from its machine. Throws `bad_token`. */
function checkAwsKey({ env }: Runtime, words: readonly string[]): void {
  const isS3 = words.some((word) => /^s3:\/\//i.test(word) && !/[?&]auth=wallet\b/.test(word));
  if (!isS3 || !env["AWS_ACCESS_KEY_ID"] || env["AWS_PROFILE"]) return;
  throw new SynclineError("bad_token", "A service does not receive AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.", {
    hint: "Put the key into ~/.aws/credentials of the service's user, and unset both variables. Or set AWS_PROFILE.",
  });
}

/**
 * WorkingDirectory= is not quoted: systemd drops a trailing blank, and takes a trailing backslash for a continued line.
 * Throws `usage`.
 */
function checkWorkingDirectory(path: string): void {
  if (!/\p{Cc}|[\s\\]$/u.test(path)) return;
  throw new SynclineError(
    "usage",
    `A service cannot run in ${printText(path)}: a systemd unit cannot name this folder.`,
    { hint: "Change to another folder, and use absolute paths." },
  );
}

/** Locations of states and keys, and options from the environment; no keys, tokens, or anything unfit for a service. */
function keptEnvironment({ options, runtime }: ServiceCall): ReadonlyMap<string, string> {
  const kept = Object.entries(runtime.env).filter(([name]) => {
    return (KEPT.test(name) || name.startsWith("SYNCLINE_")) && !NOT_KEPT.has(name);
  });
  const { state, key, passphraseFile } = options;
  const handedDown = { SYNCLINE_STATE: state, SYNCLINE_KEY_FILE: key, SYNCLINE_PASSPHRASE_FILE: passphraseFile };
  const all = new Map(kept.map(([name, value]) => [name, value ?? ""]));
  for (const [name, value] of Object.entries(handedDown)) if (value !== undefined) all.set(name, value);
  // systemd sets no HOME for system services, but keys and states are looked up below it.
  if (options.system === true) all.set("HOME", homeFolder());
  return all;
}

const KEPT =
  /^(XDG_(STATE|CONFIG|CACHE)_HOME|AWS_(PROFILE|REGION|DEFAULT_REGION|CONFIG_FILE|SHARED_CREDENTIALS_FILE))$/;

const NOT_KEPT: ReadonlySet<string> = new Set(
  ["ACCEPT", "KEY", "TOKEN", "BACKGROUND", "ONCE", "DRY_RUN", "JSON", "ALLOW_DELETES"].map(
    (name) => `SYNCLINE_${name}`,
  ),
);

/** Throws `usage`, `not_supported`. */
function unitPath(call: ServiceCall, name: string): string {
  if (!/^[\w-]{1,64}$/.test(name))
    throw new SynclineError("usage", "A service name has 1 to 64 characters: letters, digits, - and _.");
  return join(unitFolder(call), `syncline-${name}.service`);
}

function unitFolder({ options, runtime }: ServiceCall): string {
  if (process.platform !== "linux") throw new SynclineError("not_supported", "Services need systemd, on Linux.");
  return options.system === true ? "/etc/systemd/system" : join(dirname(configFolder(runtime.env)), "systemd", "user");
}

function nextSteps(name: string, system: boolean): string[] {
  const manager = managerText(system);
  const steps = [`${manager} daemon-reload`, `${manager} enable --now syncline-${name}.service`];
  // Without this, a user's services end with the last session.
  return system ? steps : [...steps, `loginctl enable-linger ${userName()}`];
}

/** The user's name, or number if there is no name, as in containers. loginctl takes both. */
function userName(): string {
  return orElse(String(process.getuid?.()), () => userInfo().username);
}

function managerText(system: boolean): string {
  return system ? "systemctl" : "systemctl --user";
}

/** "active", "failed" and so on; null if systemd does not answer. */
function activeState(file: string, system: boolean): string | null {
  const args = [...(system ? [] : ["--user"]), "is-active", file];
  const { stdout } = spawnSync("systemctl", args, { encoding: "utf8", timeout: 10_000 });
  return stdout?.trim() || null;
}

function isOurs(path: string): boolean {
  // A folder, or a dangling link.
  return unlessSync(["EISDIR", "ENOENT"], () => readFileSync(path, "utf8").startsWith(UNIT_MARK), false);
}
