/** `syncline mount`: serves a bucket at a directory, in the foreground or behind it. */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join, resolve } from "node:path";
import { SynclineError, type ErrorCode } from "../base/errors.ts";
import { DEFAULT_CACHE_BYTES, READ_TIMEOUT_MS } from "../base/limits.ts";
import { startAgent, type Agent } from "../agent/agent.ts";
import { LOG_NAME, openLogFile } from "../agent/log-file.ts";
import type { UnmountReport } from "../agent/reports.ts";
import { canonicalMount, mountStatePath, openMountState, stateRoot } from "../agent/state-dir.ts";
import { parseAddress } from "../bucket/open-remote.ts";
import { addCommand } from "./command.ts";
import type { Call, Program } from "./command.ts";
import type { ExitStatus } from "./exit-status.ts";
import { errorReport } from "./output.ts";
import { printBytes } from "./text.ts";
import { loadWallet } from "./wallet.ts";

const OPTIONS = ["background", "readOnly", "at", "durability", "readTimeout", "cacheSize"] as const;
type MountCall = Call<(typeof OPTIONS)[number]>;

/** After a signal: publishing may take so long before the rest is left for the next mount. */
const SIGNAL_DRAIN_MS = 60_000;

/** What the process in the background tells the one that started it. */
type Word =
  | { readonly ready: true }
  | { readonly code: ErrorCode; readonly message: string; readonly hint: string | null };

export function register(program: Program): void {
  addCommand(program, {
    name: "mount",
    arguments: [
      ["<url>", "the bucket"],
      ["<dir>", "an empty directory"],
    ],
    summary: "mount a bucket at a directory",
    options: OPTIONS,
    examples: [
      "syncline mount file:///srv/bucket ~/bucket --background",
      "syncline mount file:///srv/bucket ~/yesterday --read-only --at 2026-01-31T12:00:00Z",
    ],
    exits: [3, 4, 5, 6],
    async run(call) {
      if (call.options.background === true) return mountBehind(call);
      try {
        return await mountHere(call);
      } catch (error) {
        tellParent(error);
        throw error;
      }
    },
  });
}

async function mountHere(call: MountCall): Promise<ExitStatus> {
  const { args, options, output, runtime } = call;
  const { clock, random } = runtime;
  const address = withPin(args[0] ?? "");
  const mount = canonicalMount(resolve(args[1] ?? ""));
  const state = openMountState(stateRoot(runtime.env, options.state), { address, mount });
  const echo =
    options.verbose === true && process.send === undefined
      ? (line: string) => void runtime.stderr.write(line)
      : undefined;
  const log = openLogFile(state.path, clock, echo);
  const agent = await startAgent({
    address,
    mount,
    state,
    wallet: async () => loadWallet(call),
    readOnly: options.readOnly ?? false,
    at: options.at,
    publishedDurability: options.durability === "published",
    readTimeoutMs: options.readTimeout === undefined ? READ_TIMEOUT_MS : options.readTimeout * 1000,
    cacheBytes: options.cacheSize ?? DEFAULT_CACHE_BYTES,
    clock,
    random,
    log,
  });
  if (process.send !== undefined) {
    process.send({ ready: true } satisfies Word);
    process.disconnect();
  } else
    output.result({ mount, bucket: address, pid: process.pid }, `Mounted ${address} at ${mount}. Ctrl-C unmounts.`);
  unmountOnSignals(agent);
  return reportEnd(call, mount, await agent.ended);
}

function reportEnd({ output }: MountCall, mount: string, { drained, pending }: UnmountReport): ExitStatus {
  const { files, bytes } = pending;
  const rest = `${files} files, ${printBytes(bytes)} are not published; they go on at the next mount.`;
  output.result(
    { unmounted: mount, drained, pending },
    drained ? `Unmounted ${mount}.` : `Unmounted ${mount}. ${rest}`,
  );
  return drained ? 0 : 3;
}

function unmountOnSignals(agent: Agent): void {
  let asked = false;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (asked) return;
      asked = true;
      void agent.unmount(SIGNAL_DRAIN_MS, true);
    });
  }
}

/** Starts the same command in a session of its own and waits for its word. */
async function mountBehind(call: MountCall): Promise<ExitStatus> {
  const { args, options, output, runtime } = call;
  const address = withPin(args[0] ?? "");
  const mount = canonicalMount(resolve(args[1] ?? ""));
  const stateDir = mountStatePath(stateRoot(runtime.env, options.state), { address, mount });
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const log = openSync(join(stateDir, LOG_NAME), "a", 0o600);
  const own = process.argv.slice(2).filter((argument) => argument !== "--background");
  const key = runtime.environmentKey === undefined ? {} : { SYNCLINE_KEY: runtime.environmentKey };
  const child = spawn(process.execPath, [process.argv[1] ?? "", ...own], {
    detached: true,
    stdio: ["ignore", log, log, "ipc"],
    env: { ...runtime.env, ...key },
  });
  closeSync(log);
  const word = await new Promise<Word>((heard) => {
    child.once("message", (message: Word) => heard(message));
    child.once("exit", (status) => heard(endedEarly(status, stateDir)));
  });
  if (!("ready" in word)) {
    throw new SynclineError(word.code, word.message, word.hint === null ? {} : { hint: word.hint });
  }
  child.unref();
  output.result(
    { mount, bucket: address, pid: child.pid ?? null },
    `Mounted ${address} at ${mount} (process ${child.pid}).`,
  );
  return 0;
}

function endedEarly(status: number | null, stateDir: string): Word {
  const hint = `Its log: ${join(stateDir, LOG_NAME)}`;
  return { code: "internal", message: `The agent ended with status ${status} before it mounted.`, hint };
}

/** Tells the process that waits why mounting failed. */
function tellParent(error: unknown): void {
  if (process.send !== undefined && process.connected) process.send(errorReport(error));
}

/** The canonical address, so that one bucket has one state; its pin stays with it. */
function withPin(text: string): string {
  const { url, pinnedGenesis } = parseAddress(text);
  return pinnedGenesis === undefined ? url : `${url}#${pinnedGenesis}`;
}
