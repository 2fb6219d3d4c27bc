/**
 * Where an agent keeps what is its own: `$XDG_STATE_HOME/syncline/<hash of URL and mount point>/`, mode 0700 (docs/reference/configuration.md).
 *
 * One agent a state: held by a lock that the system releases when the process dies, whatever way.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { SynclineError } from "../../base/errors.ts";
import { blake3 } from "../../crypto/hash.ts";
import { takeProcessLock } from "../../objects/process-lock.ts";
import { writeStateFile } from "./state-file.ts";

/** What identifies a state, kept in its `agent.json`, so that `status` can list all of them. */
export interface StateFacts {
  /** The bucket's, with its pin if it has one; the pin is no part of what identifies the state. */
  readonly address: string;
  /** Absolute mount point; without a mount WEBDAV_PLACE and its address; "" for the slots of commands that need neither. */
  readonly mount: string;
  /** `mount` is a folder that is synced, which may be mounted on as well: another state. */
  readonly door?: "sync";
  /** A folder that an agent with other doors keeps the same: the state of that agent, which answers for both. */
  readonly agent?: string;
  /** An old state is shown (`--at`): beside the state that goes on with what is pending. */
  readonly old?: boolean;
  /** From mounting until all is published and unmounted: what a killed agent leaves, its state may hold changes. */
  readonly open?: boolean;
}

/** What an agent that only serves WebDAV has for a mount point: this, and the address that it was told to listen on. */
export const WEBDAV_PLACE = "webdav://";

export interface StateDir extends Disposable {
  readonly path: string;
  readonly facts: StateFacts;
  /** Lists it among the mounts from now on: once it is mounted, so that a failed try leaves no trace. */
  list(): void;
}

/** The folder that holds all states of this user. */
export function stateRoot(env: NodeJS.ProcessEnv, override?: string): string {
  if (override !== undefined) return resolve(override);
  return join(env["XDG_STATE_HOME"] || join(homeFolder(), ".local", "state"), "syncline");
}

/** The folders of states that this user named besides (`--state`), as far as they are still there. */
export function otherStateRoots(env: NodeJS.ProcessEnv): string[] {
  const root = stateRoot(env);
  return readRoots(root).filter((other) => other !== root && existsSync(other));
}

/** Adds a folder to `otherStateRoots`. Best effort: if it cannot be noted, `--state` must be given again. */
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
  try {
    const roots: unknown = JSON.parse(readFileSync(join(root, ROOTS), "utf8"));
    return Array.isArray(roots) ? roots.filter((each) => typeof each === "string") : [];
  } catch {
    return [];
  }
}

const ROOTS = "other-states.json";
const MAX_ROOTS = 64;

/** This user's home, absolute also when HOME is empty. Throws `config_invalid` where there is none. */
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

/** Opens, and makes when needed, the state of one mount. Throws `state_in_use` when another agent holds it. */
export function openMountState(root: string, facts: StateFacts): StateDir {
  return openState(mountStatePath(root, facts), facts);
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

/** The folder for what is about an address and no mount of it. */
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
    hint: "Wait for the commands that run to end.",
  });
}

export interface MountState {
  readonly path: string;
  readonly facts: StateFacts;
}

/** All mounts that have a state here, whether an agent runs or not; the one that was used last comes first. */
export function listMountStates(root: string): MountState[] {
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

/** Notes that a mount ended with everything published: nothing waits in its state. By its agent, before anybody hears of the end. */
export function noteDrained(path: string): void {
  const facts = readFacts(path);
  if (facts !== undefined) writeFacts(path, { ...facts, open: false });
}

/**
 * A mount point as states name it: absolute, with links in its parent resolved (the mount itself may hang). Of a path that is
 * not there, what is there of it is resolved.
 */
export function canonicalMount(directory: string): string {
  const absolute = resolve(directory);
  const parent = dirname(absolute);
  if (parent === absolute) return absolute;
  try {
    return join(realpathSync(parent), basename(absolute));
  } catch {
    return join(canonicalMount(parent), basename(absolute));
  }
}

/** A synced folder as states name it: absolute, with all links resolved where it is there. */
export function canonicalFolder(directory: string): string {
  try {
    // As it is spelt on the disk, where case does not matter.
    return realpathSync.native(directory);
  } catch {
    return canonicalMount(directory);
  }
}

/** Makes a state's folder, mode 0700. Throws `local_io_failed`. */
export function makeStateFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new SynclineError("local_io_failed", `The state folder ${path} cannot be made: ${reasonOf(cause)}.`, {
      hint: "Name one that can be written: --state DIR or SYNCLINE_STATE.",
      cause,
    });
  }
}

const MAX_SLOTS = 1024;
const FACTS = "agent.json";

function openState(path: string, facts: StateFacts): StateDir {
  makeStateFolder(path);
  if ((statSync(path).mode & 0o077) !== 0 && process.platform !== "win32") {
    throw new SynclineError("config_invalid", `The state folder ${path} is open to other users.`, {
      hint: `Run: chmod 700 ${path}`,
    });
  }
  const lock = takeProcessLock(join(path, "lock"), {
    inUse:
      facts.mount === ""
        ? `Another command uses the state folder ${path}.`
        : `Another agent serves ${facts.address} at ${facts.mount} already.`,
    hint: "Unmount it first: `syncline status` lists what runs.",
  });
  const list = () =>
    writeFacts(path, { ...facts, open: facts.old !== true && facts.door !== "sync", pid: process.pid });
  return { path, facts, list, [Symbol.dispose]: () => lock[Symbol.dispose]() };
}

function writeFacts(path: string, facts: StateFacts & { readonly pid?: number }): void {
  writeStateFile(join(path, FACTS), Buffer.from(JSON.stringify(facts)));
}

function readFacts(path: string): StateFacts | undefined {
  try {
    const facts = JSON.parse(readFileSync(join(path, FACTS), "utf8")) as StateFacts;
    return typeof facts.address === "string" && typeof facts.mount === "string" ? facts : undefined;
  } catch {
    return undefined;
  }
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
