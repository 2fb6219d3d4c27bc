/** `syncline mount`: serves a bucket at a directory, in the foreground or behind it. */
import { join, resolve } from "node:path";
import { DEFAULT_CACHE_BYTES, READ_TIMEOUT_MS } from "../base/limits.ts";
import { describeError, type Log } from "../base/log.ts";
import type { Agent } from "../agent/agent.ts";
import { startAgent } from "../agent/start-agent.ts";
import { LOG_NAME, openLogFile } from "../agent/log-file.ts";
import type { UnmountReport } from "../agent/reports.ts";
import {
  canonicalMount,
  makeStateFolder,
  mountStatePath,
  openMountState,
  stateRoot,
  type StateFacts,
} from "../agent/state-dir.ts";
import { parseAddress, pinnedUrl } from "../bucket/address.ts";
import { isBehind, runBehind, sayFailed, sayReady } from "./background.ts";
import { addCommand } from "./command.ts";
import type { Call, Program } from "./command.ts";
import type { ExitStatus } from "./exit-status.ts";
import { accessOf, MASTER_OPTIONS } from "./master-access.ts";
import { ENDING_SIGNALS } from "./runtime.ts";
import { printRest, printText } from "./text.ts";
import { loadWallet } from "./wallet.ts";

const OPTIONS = [
  "background",
  "readOnly",
  "at",
  "durability",
  "readTimeout",
  "cacheSize",
  "gc",
  ...MASTER_OPTIONS,
] as const;
type MountCall = Call<(typeof OPTIONS)[number]>;

/** After a signal: publishing may take so long before the rest is left for the next mount. */
const SIGNAL_DRAIN_MS = 60_000;

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
      "syncline mount https://master.example:3600/notes ~/notes --background",
      "syncline mount file:///srv/bucket ~/yesterday --read-only --at 2026-01-31T12:00:00Z",
    ],
    exits: [3, 4, 5, 6, 8],
    async run(call) {
      if (call.options.background === true) return mountBehind(call);
      try {
        return await mountHere(call);
      } catch (error) {
        sayFailed(error);
        throw error;
      }
    },
  });
}

async function mountHere(call: MountCall): Promise<ExitStatus> {
  const { options, output, runtime } = call;
  const facts = factsOf(call);
  const { address, mount } = facts;
  using state = openMountState(stateRoot(runtime.env, options.state), facts);
  const echo = options.verbose === true && !isBehind();
  const log = openLogFile(state.path, runtime.clock, echo ? (line) => void runtime.stderr.write(line) : undefined);
  const agent = await startAgent({
    address,
    doors: [{ door: "mount", mount }],
    stateDir: state.path,
    wallet: () => loadWallet(call),
    access: accessOf(call),
    readOnly: options.readOnly ?? false,
    at: options.at,
    publishedDurability: options.durability === "published",
    readTimeoutMs: options.readTimeout === undefined ? READ_TIMEOUT_MS : options.readTimeout * 1000,
    cacheBytes: options.cacheSize ?? DEFAULT_CACHE_BYTES,
    collects: options.gc !== "off",
    clock: runtime.clock,
    random: runtime.random,
    log,
  });
  state.list();
  unmountOnSignals(agent, log);
  if (isBehind()) sayReady();
  else output.result({ mount, bucket: address, pid: process.pid }, `${mountedText(call)} Ctrl-C unmounts.`);
  return reportEnd(call, mount, await agent.ended);
}

function reportEnd({ output }: MountCall, mount: string, report: UnmountReport): ExitStatus {
  const { drained, pending, error } = report;
  const rest = `${printRest(pending, error)}\nThey go on at the next mount.`;
  const text = drained ? `Unmounted ${printText(mount)}.` : `Unmounted ${printText(mount)}. ${rest}`;
  output.result({ unmounted: mount, drained, pending, error }, text);
  return drained ? 0 : 3;
}

/** The first signal unmounts; another one ends the waiting. */
function unmountOnSignals(agent: Agent, log: Log): void {
  let asked = false;
  const onSignal = (signal: NodeJS.Signals) => {
    log.info(`Got ${signal}.`);
    if (asked) return agent.hurry();
    asked = true;
    agent.unmount(SIGNAL_DRAIN_MS, true).catch((error: unknown) => {
      log.error(`Unmounting failed: ${describeError(error)}`);
      asked = false;
    });
  };
  for (const signal of ENDING_SIGNALS) process.on(signal, onSignal);
}

async function mountBehind(call: MountCall): Promise<ExitStatus> {
  const { options, output, runtime } = call;
  const facts = factsOf(call);
  const stateDir = mountStatePath(stateRoot(runtime.env, options.state), facts);
  makeStateFolder(stateDir);
  const pid = await runBehind(runtime, join(stateDir, LOG_NAME));
  output.result({ mount: facts.mount, bucket: facts.address, pid }, `${mountedText(call)} It is process ${pid}.`);
  return 0;
}

/** With the canonical address, so that one bucket has one state; its pin stays with it. */
function factsOf({ args: [address = "", directory = ""], options }: MountCall): StateFacts {
  return {
    address: pinnedUrl(parseAddress(address)),
    mount: canonicalMount(resolve(directory)),
    old: options.at !== undefined,
  };
}

function mountedText(call: MountCall): string {
  const { address, mount } = factsOf(call);
  return `Mounted ${printText(address)} at ${printText(mount)}.`;
}
