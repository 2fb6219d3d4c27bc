/** Runs this same command again in the background, in its own session, until it reports that it is ready. */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { NODE_FLAGS } from "../../runtime/memory.ts";
import { loadProcessAddon } from "../../runtime/native.ts";
import type { DoorReport } from "../../agent/doors/doors.ts";
import { SynclineError, type ErrorCode } from "../../base/errors.ts";
import { envName } from "../options.ts";
import { errorReport } from "../terminal/output.ts";
import type { Runtime } from "../runtime.ts";

/** What the background process tells the one that started it. */
type Word = Step | Notice | LastWord;

interface Step {
  readonly step: string;
}

interface Notice {
  readonly notice: string;
}

type LastWord =
  | { readonly doors: readonly DoorReport[] }
  | { readonly code: ErrorCode; readonly message: string; readonly hint: string | null };

/**
 * Starts this command line without --background, with its output in `logPath`. `onStep` gets each step of its start. Once
 * it is ready, answers its process id and doors, and what to tell the person.
 */
export async function runBehind(
  runtime: Runtime,
  logPath: string,
  onStep: (what: string) => void,
): Promise<{ readonly pid: number; readonly doors: readonly DoorReport[]; readonly notices: readonly string[] }> {
  const key = runtime.environmentKey === undefined ? {} : { SYNCLINE_KEY: runtime.environmentKey };
  const env = { ...runtime.env, ...key };
  Reflect.deleteProperty(env, envName("background"));
  const own = process.argv.slice(2).filter((argument) => argument !== "--background");
  // What the caller has open, such as a lock or a pipe, must not stay open as long as the agent, unless an option names it.
  const isNamed = [...own, ...Object.values(env)].some((text) => OPEN_FILE.test(text ?? ""));
  if (!isNamed) loadProcessAddon().keepAllFromChildren?.();
  const log = openSync(logPath, "a", 0o600);
  const child = spawn(process.execPath, [...NODE_FLAGS, process.argv[1] ?? "", ...own], {
    // Under an automount, only processes of the caller's group reach the directory until something is mounted there (autofs(5)).
    detached: runtime.keepsSession !== true,
    stdio: ["ignore", log, log, "ipc"],
    env,
  });
  closeSync(log);
  const notices: string[] = [];
  const word = await new Promise<LastWord>((heard, failed) => {
    child.once("error", failed);
    child.on("message", (message: Word) => {
      if ("step" in message) onStep(message.step);
      else if ("notice" in message) notices.push(message.notice);
      else heard(message);
    });
    child.once("exit", (status) => heard(endedEarly(status, logPath)));
  });
  if (!("doors" in word)) {
    throw new SynclineError(word.code, word.message, word.hint === null ? {} : { hint: word.hint });
  }
  child.unref();
  return { pid: child.pid ?? 0, doors: word.doors, notices };
}

/** Whether `runBehind` started this process and waits for its report. */
export function isBehind(): boolean {
  return process.send !== undefined;
}

/** Tells the waiting command which step of the start is under way. */
export function sayStep(step: string): void {
  if (process.connected) tell({ step });
}

/** Tells the waiting command what to tell the person who gave it. */
export function sayNotice(notice: string): void {
  if (process.connected) tell({ notice });
}

/** Calls `gone` if the waiting command ends before it is told more, as when a person interrupts it. */
export function ifAbandoned(gone: () => void): Disposable {
  if (!isBehind()) return { [Symbol.dispose]: () => {} };
  if (process.connected) process.once("disconnect", gone);
  else queueMicrotask(gone);
  return { [Symbol.dispose]: () => void process.off("disconnect", gone) };
}

/**
 * Tells the waiting command that all is well. Leaves its session, and the working directory, which would stay in use. If the
 * command is gone, `ifAbandoned` says so.
 */
export function sayReady(doors: readonly DoorReport[], abandoned: Disposable): void {
  if (!process.connected) return;
  abandoned[Symbol.dispose]();
  loadProcessAddon().startSession?.();
  tell({ doors });
  process.disconnect();
  process.chdir("/");
}

/** Tells the waiting command why the start failed. */
export function sayFailed(error: unknown): void {
  if (process.connected) tell(errorReport(error));
}

function tell(word: Word): void {
  // The command may end at any moment.
  process.send?.(word, undefined, undefined, () => {});
}

/** As in --passphrase-file <(pass show bucket). */
const OPEN_FILE = /\/(dev|proc\/\w+)\/fd\/\d/;

function endedEarly(status: number | null, logPath: string): LastWord {
  const message = `The agent exited with status ${status} before it was ready.`;
  return { code: "internal", message, hint: `See its log: ${logPath}` };
}
