/**
 * The supervisor of a mount (native/supervisor.cc): a small process that holds /dev/fuse and starts a new agent when the
 * serving one dies; see docs/design/fuse.md.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { openSync, readFileSync, readlinkSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { describeError, type Log } from "../base/log.ts";
import { copyNiceness, serveFirst } from "../runtime/priority.ts";
import type { FuseAddon } from "./addon.ts";
import { MOUNT_TYPE, parseMountTable } from "./mount-table.ts";

/** How an agent is started again, and what it takes over. */
export interface Supervision {
  /** The log file of the next agent. */
  readonly log: string;
  /** The working directory that the command's paths are relative to. */
  readonly cwd: string;
  readonly command: readonly string[];
  /** The part of the command that starts the program, before its words. */
  readonly program: readonly string[];
  /** The command's environment besides this process's own. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether the kernel may be asked to send requests again. Tests set false, which is as before Linux 6.9. */
  readonly mayResend: boolean;
  readonly place: MountPlace;
  /** Whether a supervisor started this process: a service's first agent, or one that replaces another. */
  readonly isInherited: boolean;
  /** In an agent that replaces another: what the earlier one had agreed with the kernel. */
  readonly handoff: Agreed | undefined;
}

/**
 * What a mount's command stood for when the mount began. For the next agent, the same words may stand for something else: a
 * folder was renamed, a link or the configuration changed.
 */
export interface MountPlace {
  /** The folder of all states. */
  readonly stateRoot: string;
  /** The mount's own state. Agents of older versions did not tell it. */
  readonly state?: string | undefined;
  /** The mount point, as its state names it. */
  readonly mount: string;
  /** The folder that is synced, too. */
  readonly sync?: string | undefined;
  /** The mount's own random text, which its state keeps; "" if the state could not be written. */
  readonly connection: string;
}

/** What a mount's agents have agreed with the kernel. */
export interface Agreed {
  /** The kernel's minor protocol version. */
  readonly minor: number;
  /** What the kernel offered in INIT. */
  readonly flags: number;
  readonly flags2: number;
}

/** This process's connection to its supervisor. Disposing of it ends supervision: no agent is started again. */
export interface Lifeline extends Disposable {
  /** Whether the supervisor runs. */
  readonly isHeld: boolean;
  /** Tells the supervisor that the agent serves and could be replaced. */
  ready(agreed: Agreed): void;
}

/** The environment variable in which a new agent finds the mount's place. */
export const PLACE = "SYNCLINE_PLACE";
/** Descriptors of an agent that a supervisor started (native/supervisor.cc). The first agent has no device yet. */
const HANDOFF_DEVICE = 3;
const HANDOFF_LIFELINE = 4;
const HANDOFF_MEMORY = 5;

export function parseHandoff(text: string): Agreed | undefined {
  // Agents of older versions did not say the flags, and agreed on no access control lists.
  const [, minor, flags2, flags = 0] = /^(\d+) (\d+)(?: (\d+))?$/.exec(text) ?? [];
  return minor === undefined ? undefined : { minor: Number(minor), flags: Number(flags), flags2: Number(flags2) };
}

/** Undefined if an agent or a supervisor of an older version did not tell it. */
export function parseMountPlace(text: string): MountPlace | undefined {
  let told: unknown;
  try {
    told = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { stateRoot, state, mount, sync, connection } = (told ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof stateRoot !== "string" || typeof mount !== "string" || typeof connection !== "string") return undefined;
  const [own, folder] = [state, sync].map((path) => (typeof path === "string" ? path : undefined));
  return { stateRoot, state: own, mount, sync: folder, connection };
}

/** The program of a supervisor. Throws if it is not built. */
export function supervisorPath(): string {
  return createRequire(import.meta.url).resolve("#fuse-supervisor");
}

/** Connects a new mount to its supervisor: the service's, or one started here. Logs a warning if there is none. */
export function superviseMount(
  addon: FuseAddon,
  held: Held,
  mountPoint: string,
  supervision: Supervision | undefined,
  log: Log,
): Lifeline {
  const missing = (error: unknown) =>
    log.warn(
      "the mount has no supervisor: if this agent is killed, nothing replaces it, and programs may hang in the mount until it is aborted",
      { error: describeError(error) },
    );
  try {
    const abort = openAbort(addon, mountPoint);
    try {
      if (supervision?.isInherited !== true) return run(addon, held, abort, supervision, missing);
      addon.sendDescriptors(HANDOFF_LIFELINE, abort, held.device, held.memory);
      return inheritedLifeline(addon, supervision);
    } finally {
      addon.close(abort);
    }
  } catch (error) {
    missing(error);
    return { isHeld: false, ready: () => {}, [Symbol.dispose]: () => {} };
  }
}

/** Descriptors that outlive an agent. */
export interface Held {
  readonly device: number;
  /** The mount's memory (native/mount_memory.h). */
  readonly memory: number;
  /** Whether programs had files open before there was this memory. */
  readonly isNewMemory?: boolean;
}

/**
 * What the supervisor handed to this process. Supervisors of older versions hand on memory only where the kernel does not send
 * requests again: there is new memory then.
 */
export function inherited(addon: FuseAddon): Held {
  addon.keepFromChildren(HANDOFF_DEVICE);
  const isNewMemory = !isMemory(HANDOFF_MEMORY);
  return { device: HANDOFF_DEVICE, memory: isNewMemory ? addon.createMountMemory() : HANDOFF_MEMORY, isNewMemory };
}

function isMemory(descriptor: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith("/memfd:syncline-");
  } catch {
    return false;
  }
}

/**
 * Ordinary users, and the root of a user namespace, may lack the right to abort. The mount then ends when the last process
 * closes the device.
 */
function openAbort(addon: FuseAddon, mountPoint: string): number {
  try {
    return addon.openAbort(mountPoint);
  } catch {
    return openSync("/dev/null", "w");
  }
}

/** The lifeline to the supervisor that started this process. */
export function inheritedLifeline(addon: FuseAddon, { place }: Supervision): Lifeline {
  addon.keepFromChildren(HANDOFF_LIFELINE);
  const supervisor = process.ppid;
  return {
    // When the supervisor ends, this process gets another parent.
    get isHeld() {
      return process.ppid === supervisor;
    },
    ready: (agreed) => {
      // It started in a hurry, which the supervisor ends for all threads that still have that niceness.
      serveFirst(supervisor);
      say(HANDOFF_LIFELINE, placeLine(place) + readyLine(agreed));
    },
    // It stays open: its end tells the supervisor that this process has ended.
    [Symbol.dispose]: () => say(HANDOFF_LIFELINE, DONE),
  };
}

/** Tells the supervisor that this agent has finished starting. To be called on the main thread. */
export function reportStarted(): void {
  copyNiceness(process.ppid, 0);
  say(HANDOFF_LIFELINE, UP);
}

function say(lifeline: number, line: string): void {
  try {
    writeSync(lifeline, line);
  } catch {
    // The supervisor is gone: the mount ends with this process.
  }
}

function run(
  addon: FuseAddon,
  { device, memory }: Held,
  abort: number,
  supervision: Supervision | undefined,
  missing: (error: unknown) => void,
): Lifeline {
  const { log, cwd, command, env } = supervision ?? { log: "", cwd: "", command: [], env: {} };
  const isCovered = parseMountTable(readFileSync("/proc/self/mountinfo", "latin1")).some(
    ({ type, mountPoint }) => type === MOUNT_TYPE && mountPoint === cwd,
  );
  // Its input ends when this process has ended, for any reason. A pipe of Node.js would end with this thread.
  const [lifeline, input] = addon.socketPair();
  let supervisor: ChildProcess;
  try {
    supervisor = spawn(supervisorPath(), command.length === 0 ? [] : [log, isCovered ? HERE : cwd, ...command], {
      stdio: [input, "ignore", "ignore", abort, device, memory],
      env: { ...process.env, ...env },
      // A terminal's Ctrl-C must not reach it.
      detached: true,
    });
  } finally {
    addon.close(input);
  }
  supervisor.once("error", missing);
  let isWanted = true;
  supervisor.once("exit", (status, signal) => {
    if (isWanted) missing(new Error(`it ended with ${signal ?? status}`));
  });
  // This thread has a niceness of its own, which the threads of later agents must not get.
  if (supervisor.pid !== undefined) copyNiceness(process.pid, supervisor.pid);
  supervisor.unref();
  return {
    get isHeld() {
      return supervisor.pid !== undefined && supervisor.exitCode === null && supervisor.signalCode === null;
    },
    ready: (agreed) => say(lifeline, placeLine(supervision?.place) + readyLine(agreed)),
    [Symbol.dispose]: () => {
      isWanted = false;
      say(lifeline, DONE);
      addon.close(lifeline);
    },
  };
}

function placeLine(place: MountPlace | undefined): string {
  return place === undefined ? "" : `place ${JSON.stringify(place)}\n`;
}

function readyLine({ minor, flags, flags2 }: Agreed): string {
  return `ready ${minor} ${flags2} ${flags}\n`;
}

/** Tells the supervisor to use its own working directory, because the directory's path leads into the mount. */
const HERE = ".";
const DONE = "done\n";
const UP = "up\n";
