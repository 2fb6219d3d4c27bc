/** Runs an agent for a command: in the foreground until it ends, or in the background. */
import { join } from "node:path";
import { READ_TIMEOUT_MS } from "../../base/limits.ts";
import type { Clock } from "../../base/clock.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { Agent } from "../../agent/agent.ts";
import { type DoorReport, type DoorSetup, mountOf } from "../../agent/doors/doors.ts";
import { LOG_NAME, openLogFile } from "../../agent/state/log-file.ts";
import { startAgentWithFolder } from "../../agent/folder/agent-with-folder.ts";
import { startAgent } from "../../agent/start-agent.ts";
import {
  listMountStates,
  makeStateFolder,
  mountStatePath,
  openMountState,
  rememberStateRoot,
  stateRoot,
  type StateFacts,
} from "../../agent/state/state-dir.ts";
import { cacheBytesOf, drainMsOf, unpublishedOf } from "./agent-limits.ts";
import { ifAbandoned, isBehind, runBehind, sayFailed, sayNotice, sayReady, sayStep } from "./background.ts";
import type { Call } from "../command.ts";
import type { ExitStatus } from "../exit-status.ts";
import { openFolderBeside } from "./folder-door.ts";
import { leftText } from "./held-deletions.ts";
import { accessOf, asksWallet, MASTER_OPTIONS } from "../master-access.ts";
import { reportStarted } from "../../fuse/supervisor.ts";
import { printCount, printText } from "../terminal/text.ts";
import { refuseOtherState, supervisionOf, takesOver } from "./taking-over.ts";
import { runUnattended } from "./unattended.ts";
import type { Output } from "../terminal/output.ts";
import { ENDING_SIGNALS, type Runtime } from "../runtime.ts";
import { askNoMore, loadWallet, machineNameOf, requirePassphrase } from "../wallet.ts";

export const AGENT_OPTIONS = [
  "background",
  "readOnly",
  "at",
  "durability",
  "readTimeout",
  "cacheSize",
  "drain",
  "gc",
  "sync",
  "limit",
  "special",
  ...MASTER_OPTIONS,
] as const;
type AgentCall = Call<(typeof AGENT_OPTIONS)[number]>;

/** How one command's agents run. */
export interface AgentRun {
  readonly facts: StateFacts;
  /** A folder to sync, too. */
  readonly folder: StateFacts | undefined;
  /** Called once this process holds the state. */
  doors(stateDir: string): readonly DoorSetup[];
  /** What to report once all doors are open. */
  ready(doors: readonly DoorReport[]): { readonly value: object; readonly text: string };
  /** "Unmounted /mnt", and its JSON key and value. */
  readonly ended: { readonly value: object; readonly text: string };
}

/** How long a start may still take after a signal. */
const START_PATIENCE_MS = 3_000;

export async function runAgent(call: AgentCall, run: AgentRun): Promise<ExitStatus> {
  if (!isBehind() && !takesOver(call.runtime)) sayOfOtherStates(call, run.facts);
  if (call.options.background === true) return runAgentBehind(call, run);
  try {
    return await runAgentHere(call, run);
  } catch (error) {
    sayFailed(error);
    throw error;
  }
}

/** A state belongs to an address as it is spelled: with another one, what waits there is not seen. */
function sayOfOtherStates({ options, output, runtime }: AgentCall, facts: StateFacts): void {
  const root = stateRoot(runtime.env, options.state);
  const own = mountStatePath(root, facts);
  for (const { path, facts: other } of listMountStates(root)) {
    const isOfThisPlace = path !== own && other.mount === facts.mount && other.door === facts.door;
    if (!isOfThisPlace || other.left === undefined || other.left.files === 0) continue;
    const are = other.left.files === 1 ? "is" : "are";
    output.notice(
      `${printCount(other.left.files, "file")} changed here ${are} not published. Mount their address here for that: ${printText(other.address)}`,
    );
  }
}

async function runAgentHere(call: AgentCall, run: AgentRun): Promise<ExitStatus> {
  const { options, output, runtime } = call;
  const root = stateRoot(runtime.env, options.state);
  rememberStateRoot(runtime.env, root);
  refuseOtherState(runtime, mountStatePath(root, run.facts));
  const isTaking = takesOver(runtime);
  if (isTaking) askNoMore(call);
  else if (asksWallet(runtime, run.facts.address)) await requirePassphrase(call);
  using state = openMountState(root, run.facts, isTaking);
  const echo = options.verbose === true && !isBehind();
  const log = openLogFile(state.path, runtime.clock, echo ? (line) => void runtime.stderr.write(line) : undefined);
  using progress = output.progress("start");
  const given = givenOptions(call, run, state.path);
  // All that a changed file can make fail comes before this: afterwards, `withKeptFiles` offers no second start.
  const begun = { stateRoot: root, mount: run.facts.mount, sync: run.folder?.mount };
  const supervision = supervisionOf(runtime, state.path, begun);
  // A past state has no overlay from which another process could continue.
  const isSupervised = options.at === undefined && mountOf(given.doors) !== undefined;
  if (isSupervised && !isTaking) runtime.files.keep(state.path, true, log);
  await using beside =
    run.folder === undefined ? undefined : await openFolderBeside(call, run.folder, state.path, log, isTaking);
  const notices: string[] = [];
  const agentOptions = {
    ...given,
    stateRoot: root,
    supervision: options.at === undefined ? supervision : undefined,
    log,
    // In the background no one reads this output, so the waiting command is told instead.
    onStep: isBehind() ? sayStep : (what: string) => void progress.step(what),
    onNotice: isBehind() ? sayNotice : (text: string) => void notices.push(text),
  };
  const starting =
    beside === undefined
      ? startAgent(agentOptions)
      : startAgentWithFolder(agentOptions, beside.folder, () => beside.watch());
  using abandoned = endOnSignals(starting, agentOptions.drainMs, runtime.clock, log);
  const agent = await starting;
  runUnattended(call, log);
  progress[Symbol.dispose]();
  for (const text of notices) output.notice(text);
  try {
    state.list(log);
    beside?.list();
  } catch (error) {
    // Otherwise the state's lock would be released while the mount is served.
    await agent.unmount(0, true).catch(() => {});
    throw error;
  }
  if (isSupervised && isTaking) runtime.files.keep(state.path, false, log);
  if (supervision.isInherited) {
    process.chdir("/");
    reportStarted();
  }
  if (isBehind()) sayReady(agent.doors, abandoned);
  else if (!isTaking) {
    const { value, text } = run.ready(agent.doors);
    output.result({ ...value, pid: process.pid }, `${text} Press Ctrl-C to stop.`);
  }
  const report = await agent.ended;
  const { value, text } = run.ended;
  const rest = report.drained ? "" : ` ${leftText(report, "Start it again to publish them.")}`;
  output.result({ ...value, ...report }, `${text}.${rest}`);
  return report.drained ? 0 : 3;
}

/** What the command's options say. Reads the files that they name. Throws `usage`, `config_invalid`. */
function givenOptions(call: AgentCall, run: AgentRun, stateDir: string) {
  const { options, runtime } = call;
  return {
    address: run.facts.address,
    doors: run.doors(stateDir),
    stateDir,
    accept: options.accept === true,
    wallet: () => loadWallet(call),
    machine: machineNameOf(call),
    access: accessOf(call, options.limit),
    readOnly: options.readOnly ?? false,
    at: options.at,
    publishedDurability: options.durability === "published",
    readTimeoutMs: options.readTimeout === undefined ? READ_TIMEOUT_MS : options.readTimeout * 1000,
    cacheBytes: cacheBytesOf(options),
    unpublished: unpublishedOf(options),
    drainMs: drainMsOf(options),
    collects: options.gc !== "off",
    clock: runtime.clock,
    random: runtime.random,
  };
}

/**
 * The first signal ends the agent in order; a second one ends the waiting. During a start, waits briefly: a mount about to
 * appear would otherwise stay without its agent. A start that takes longer is abandoned. The end of a command that waits for
 * this agent in the background counts as a signal.
 */
function endOnSignals(starting: Promise<Agent>, drainMs: number, clock: Clock, log: Log): Disposable {
  let asked = false;
  let agent: Agent | undefined;
  const started = starting.then(
    (made) => void (agent = made),
    () => {},
  );
  const onSignal = async (signal: NodeJS.Signals, why = `Received ${signal}.`) => {
    log.info(why);
    if (agent === undefined && !asked) await Promise.race([started, clock.sleep(START_PATIENCE_MS)]);
    if (agent === undefined) return giveUp(signal);
    if (asked) return agent.hurry();
    asked = true;
    agent.unmount(drainMs, true).catch((error: unknown) => {
      log.error(`Unmounting failed: ${describeError(error)}`);
      asked = false;
    });
  };
  const listener = (signal: NodeJS.Signals) => void onSignal(signal);
  const giveUp = (signal: NodeJS.Signals) => {
    for (const each of ENDING_SIGNALS) process.off(each, listener);
    process.kill(process.pid, signal);
  };
  for (const signal of ENDING_SIGNALS) process.on(signal, listener);
  return ifAbandoned(() => void onSignal("SIGHUP", "The command that waited for this agent has ended."));
}

async function startBehind(output: Output, runtime: Runtime, logPath: string) {
  using progress = output.progress("start");
  return await runBehind(runtime, logPath, (what) => void progress.step(what));
}

async function runAgentBehind({ options, output, runtime }: AgentCall, run: AgentRun): Promise<ExitStatus> {
  const stateDir = mountStatePath(stateRoot(runtime.env, options.state), run.facts);
  makeStateFolder(stateDir);
  const { pid, doors, notices } = await startBehind(output, runtime, join(stateDir, LOG_NAME));
  for (const notice of notices) output.notice(notice);
  const { value, text } = run.ready(doors);
  output.result({ ...value, pid }, `${text} Process ID: ${pid}.`);
  return 0;
}
