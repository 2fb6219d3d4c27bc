/**
 * Where an agent keeps its own data: `$XDG_STATE_HOME/syncline/<hash of URL and mount point>/`, mode 0700
 * (docs/reference/configuration.md).
 *
 * A state has one agent at a time: the system releases its lock however the process dies.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { makeFolders } from "../../runtime/make-folders.ts";
import { SynclineError } from "../../base/errors.ts";
import { describeError, type Log } from "../../base/log.ts";
import { orElse } from "../../base/unless.ts";
import { blake3 } from "../../crypto/hash.ts";
import type { UnmountReport } from "../reports.ts";
import { takeProcessLock } from "../../objects/process-lock.ts";
import { overwriteStateFile, writeStateFile } from "./state-file.ts";

/** What identifies a state. Kept in its `agent.json`, so that `status` can list all states. */
export interface StateFacts {
  /** The bucket's address, with its pin if any; the pin does not identify the state. */
  readonly address: string;
  /**
   * The absolute mount point; without a mount, WEBDAV_PLACE and its address; "" for slots of commands that need neither.
   */
  readonly mount: string;
  /** `mount` is a synced folder. A mount at the same path has another state. */
  readonly door?: "sync";
  /** For a folder synced by an agent with other doors: that agent's state, which answers for both. */
  readonly agent?: string;
  /** Shows an old state (`--at`), apart from the state that holds pending changes. */
  readonly old?: boolean;
  /** Its agent was told to refuse changes: commands that are given a path below it do the same. */
  readonly readOnly?: boolean;
  /** True from mounting until all is published and unmounted. If an agent was killed, its state may hold changes. */
  readonly open?: boolean;
  /** What its last agent could not publish, and why. */
  readonly left?: Left;
}

export interface Left {
  readonly files: number;
  readonly bytes: number;
  readonly why: string | null;
}

/** The mount point of an agent that only serves WebDAV: this prefix and its listen address. */
export const WEBDAV_PLACE = "webdav://";

export interface StateDir extends Disposable {
  readonly path: string;
  readonly facts: StateFacts;
  /**
   * Lists it among the mounts from now on. Called once mounted, so that a failed try leaves no trace. If the disk is full, an
   * earlier entry stays, and the log says so. Throws the system's error if there is none.
   */
  list(log: Log): void;
}

/** The folder that holds all states of this user. */
export function stateRoot(env: NodeJS.ProcessEnv, override?: string): string {
  if (override !== undefined) return resolve(override);
  return join(xdgFolder(env, "STATE", ".local", "state"), "syncline");
}

/**
 * A base folder of this user, by default below the home. A relative value would name another folder in each process, and is
 * ignored (XDG Base Directory Specification 0.8). Throws as `homeFolder`.
 */
export function xdgFolder(env: NodeJS.ProcessEnv, what: "STATE" | "CONFIG" | "CACHE", ...below: string[]): string {
  const named = env[`XDG_${what}_HOME`];
  return named !== undefined && isAbsolute(named) ? named : join(homeFolder(), ...below);
}

/** Other folders of states that this user named (`--state`), if they still exist. */
export function otherStateRoots(env: NodeJS.ProcessEnv): string[] {
  const root = stateRoot(env);
  return readRoots(root).filter((other) => other !== root && existsSync(other));
}

/** Adds a folder to `otherStateRoots`. Best effort: if it fails, `--state` must be given again. */
export function rememberStateRoot(env: NodeJS.ProcessEnv, root: string): void {
  const own = stateRoot(env);
  if (root === own || readRoots(own).includes(root)) return;
  try {
    makeStateFolder(own);
    const known = otherStateRoots(env).slice(0, MAX_ROOTS - 1);
    writeStateFile(join(own, ROOTS), Buffer.from(JSON.stringify([root, ...known])));
  } catch {}
}

function readRoots(root: string): string[] {
  return orElse([], () => {
    const roots: unknown = JSON.parse(readFileSync(join(root, ROOTS), "utf8"));
    return Array.isArray(roots) ? roots.filter((each) => typeof each === "string") : [];
  });
}

const ROOTS = "other-states.json";
const MAX_ROOTS = 64;

/** This user's home, absolute even if HOME is empty. Throws `config_invalid` if there is none. */
export function homeFolder(): string {
  try {
    return homedir() || userInfo().homedir;
  } catch (cause) {
    throw new SynclineError("config_invalid", "This user has no home folder.", {
      hint: "Set HOME, or both XDG_STATE_HOME and XDG_CONFIG_HOME.",
      cause,
    });
  }
}

/**
 * Opens the state of one mount, creating it if needed. Throws `state_in_use` if another agent holds it, and `config_invalid`
 * if other users can read it, but not if programs wait for an agent that takes over.
 */
export function openMountState(root: string, facts: StateFacts, takesOver = false): StateDir {
  return openState(mountStatePath(root, facts), facts, takesOver);
}

export function mountStatePath(root: string, facts: StateFacts): string {
  return join(
    root,
    hashOf(
      `${withoutPin(facts.address)}\0${facts.mount}${facts.old === true ? "\0old" : ""}${facts.door === "sync" ? "\0sync" : ""}`,
    ),
  );
}

/** Where a mount's state keeps copies of blocks; it may be deleted at any time. */
export function cacheDirOf(stateDir: string): string {
  return join(stateDir, "cache");
}

/** Where a mount's state keeps the blocks of pinned files. */
export function pinnedDirOf(stateDir: string): string {
  return join(stateDir, "pinned");
}

/** Where a mount's state keeps blocks of files in use that the shown tree lacks. */
export function inUseDirOf(stateDir: string): string {
  return join(stateDir, "in-use");
}

/** The folder of the device that collects garbage, and of its record. */
export function collectorDirOf(stateDir: string): string {
  return join(stateDir, "collector");
}

/** The folder for data about an address, shared by its mounts. */
export function addressFolder(root: string, address: string): string {
  return join(root, hashOf(withoutPin(address)));
}

/** Takes the first free slot `<hash of URL>/cli-<n>` for a command without a mount. */
export function openCommandState(root: string, address: string): StateDir {
  const folder = addressFolder(root, address);
  for (let slot = 0; slot < MAX_SLOTS; slot++) {
    try {
      return openState(join(folder, `cli-${slot}`), { address, mount: "" });
    } catch (error) {
      if (!(error instanceof SynclineError) || error.code !== "state_in_use") throw error;
    }
  }
  throw new SynclineError("state_in_use", `All ${MAX_SLOTS} command slots of ${address} are in use.`, {
    hint: "Wait until a running command ends.",
  });
}

export interface StoredState {
  readonly path: string;
  readonly facts: StateFacts;
}

/** All mounts with a state here, with or without a running agent; the most recently used comes first. */
export function listMountStates(root: string): StoredState[] {
  let names: string[];
  try {
    names = readdirSync(root);
  } catch {
    return [];
  }
  const states = names.flatMap((name) => {
    const path = join(root, name);
    const facts = readFacts(path);
    return facts === undefined ? [] : [{ path, facts, usedMs: statSync(join(path, FACTS)).mtimeMs }];
  });
  return states.sort((a, b) => b.usedMs - a.usedMs).map(({ path, facts }) => ({ path, facts }));
}

/**
 * Records what an agent left unpublished when it ended in order. Called before the agent reports its end. If this cannot be
 * written, the log says so, and the state counts as one that may hold changes.
 */
export function noteEnded(path: string, { drained, pending: { files, bytes }, error }: UnmountReport, log: Log): void {
  const facts = readFacts(path);
  if (facts === undefined) return;
  const why = error?.message ?? null;
  try {
    if (drained) noteClosed(path, facts);
    else writeFacts(path, { ...facts, left: { files, bytes, why } });
  } catch (cause) {
    log.warn(`The state does not say how its agent ended: ${describeError(cause)}`);
  }
}

/**
 * A mount point as states and the kernel's mount table name it: absolute, with all links resolved. Does not ask a filesystem
 * that is mounted there, which may hang.
 */
export function canonicalMount(directory: string): string {
  const given = canonicalPath(directory);
  let path = given;
  for (let links = 0; links < MAX_LINKS; links++) {
    try {
      path = canonicalPath(resolve(dirname(path), readlinkSync(path)));
    } catch {
      return path;
    }
  }
  return given;
}

/** An absolute path with links above its last part resolved. If the path does not exist, resolves its existing part. */
export function canonicalPath(path: string): string {
  const absolute = resolve(path);
  const parent = dirname(absolute);
  if (parent === absolute) return absolute;
  try {
    return join(realpathSync(parent), basename(absolute));
  } catch {
    return join(canonicalPath(parent), basename(absolute));
  }
}

/**
 * The mount point by which the state of a mount at `directory` is named. If the directory is a link, earlier versions named
 * the state by the link: such a state stays in use, unless it holds no changes and there is one by the other name.
 */
export function mountInState(root: string, facts: Omit<StateFacts, "mount">, directory: string): string {
  const [earlier, mount] = [canonicalPath(directory), canonicalMount(directory)];
  const known = readFacts(mountStatePath(root, { ...facts, mount: earlier }));
  if (known === undefined) return mount;
  const isMeant = known.open === true || !existsSync(mountStatePath(root, { ...facts, mount }));
  return isMeant ? earlier : mount;
}

/** A synced folder as states name it: absolute, with all links resolved if it exists. */
export function canonicalFolder(directory: string): string {
  try {
    // With the disk's spelling, if case does not matter.
    return realpathSync.native(directory);
  } catch {
    return canonicalPath(directory);
  }
}

/** Makes a state's folder, mode 0700. Throws `local_io_failed`. */
export function makeStateFolder(path: string): void {
  try {
    makeFolders(path, 0o700);
  } catch (cause) {
    throw new SynclineError("local_io_failed", `Cannot create the state folder ${path}: ${reasonOf(cause)}.`, {
      hint: "Choose a writable folder: --state DIR or SYNCLINE_STATE.",
      cause,
    });
  }
}

const MAX_SLOTS = 1024;
/** As many as the kernel follows (path_resolution(7)). */
const MAX_LINKS = 40;
const FACTS = "agent.json";

function openState(path: string, facts: StateFacts, mayBeShared = false): StateDir {
  makeStateFolder(path);
  if (!mayBeShared && (statSync(path).mode & 0o077) !== 0 && process.platform !== "win32") {
    throw new SynclineError("config_invalid", `The state folder ${path} is accessible to other users.`, {
      hint: `Run: chmod 700 ${path}`,
    });
  }
  const lock = takeProcessLock(join(path, "lock"), {
    inUse:
      facts.mount === ""
        ? `Another command is using the state folder ${path}.`
        : `Another agent already serves ${facts.address} at ${facts.mount}.`,
    hint: "Unmount it first. `syncline status` lists what is running.",
  });
  const list = (log: Log) => {
    const open = facts.old !== true && facts.door !== "sync";
    try {
      writeFacts(path, { ...facts, open, pid: process.pid });
    } catch (error) {
      if (readFacts(path) === undefined) throw error;
      log.warn(`The list of mounts still has the entry of the last agent: ${describeError(error)}`);
    }
  };
  return { path, facts, list, [Symbol.dispose]: () => lock[Symbol.dispose]() };
}

function writeFacts(path: string, facts: StateFacts & { readonly pid?: number }): void {
  writeStateFile(join(path, FACTS), Buffer.from(JSON.stringify(facts)));
}

/** Overwrites the entry, which works on a full disk. Power loss may damage it, but this state holds no changes. */
function noteClosed(path: string, facts: StateFacts): void {
  const { size } = statSync(join(path, FACTS));
  // Without the agent's process ID, the entry is no longer than before.
  const text = JSON.stringify({ ...facts, open: false, left: undefined, pid: undefined });
  overwriteStateFile(join(path, FACTS), Buffer.from(text + " ".repeat(Math.max(0, size - Buffer.byteLength(text)))));
}

function readFacts(path: string): StateFacts | undefined {
  return orElse(undefined, () => {
    const facts = JSON.parse(readFileSync(join(path, FACTS), "utf8")) as StateFacts;
    return typeof facts.address === "string" && typeof facts.mount === "string" ? facts : undefined;
  });
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function withoutPin(address: string): string {
  return address.split("#", 1)[0] ?? address;
}

function hashOf(text: string): string {
  return Buffer.from(blake3(Buffer.from(text, "utf8"))).toString("hex", 0, 12);
}
