/** `syncline sync`: keeps a folder and a bucket in sync. */
import { existsSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { makeFolders } from "../../runtime/make-folders.ts";
import { serveControl } from "../../agent/control.ts";
import type { ShownPass, SyncAgent } from "../../agent/folder/sync-agent.ts";
import { openLogFile } from "../../agent/state/log-file.ts";
import {
  openMountState,
  rememberStateRoot,
  stateRoot,
  type StateDir,
  type StateFacts,
} from "../../agent/state/state-dir.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { shellWord } from "../../base/names.ts";
import { parseAddress, pinnedUrl } from "../../bucket/address.ts";
import { isUnpublished, type PlannedAction, type SyncReport } from "../../sync/report.ts";
import type { NewFileTotals } from "../../sync/scan/local-changes.ts";
import { type Call, command } from "../command.ts";
import type { ExitStatus } from "../exit-status.ts";
import { allowCommand, leftText } from "./held-deletions.ts";
import { countBuffers } from "../../runtime/memory.ts";
import { FOLDER_OPTIONS, openFolder } from "./folder-door.ts";
import { accessOf, asksWallet, readingAccess, writingAccess } from "../master-access.ts";
import type { MasterAccess } from "../../net/access.ts";
import { requirePassphrase } from "../wallet.ts";
import type { Output } from "../terminal/output.ts";
import type { Amounts } from "../terminal/progress-rate.ts";
import type { Progress } from "../terminal/progress.ts";
import { ENDING_SIGNALS } from "../runtime.ts";
import { syncedFolder } from "./synced-folder.ts";
import { runUnattended } from "./unattended.ts";
import { printCount, printText } from "../terminal/text.ts";

const OPTIONS = ["once", "watch", "dryRun", "allowDeletes", ...FOLDER_OPTIONS, "timeout"] as const;
type SyncCall = Call<(typeof OPTIONS)[number]>;

export const register = command({
  name: "sync",
  arguments: [
    ["<url>", "the bucket"],
    ["<dir>", "a folder; its contents and the bucket's are merged"],
  ],
  summary: "keep a folder and a bucket in sync",
  options: OPTIONS,
  examples: [
    "syncline sync file:///srv/bucket ~/work",
    "syncline sync file:///srv/bucket ~/work --dry-run",
    "syncline sync https://master.example:3600/notes ~/notes --once --limit 2MiB",
  ],
  exits: [3, 4, 5, 6, 7, 8],
  run: sync,
});

async function sync(call: SyncCall): Promise<ExitStatus> {
  const { options, output, runtime } = call;
  if (options.once === true && options.watch === true)
    throw new SynclineError("usage", "--once and --watch cannot be combined: give only one.");
  const access = accessFor(call);
  const facts = await factsOf(call);
  if (asksWallet(runtime, facts.address)) await requirePassphrase(call);
  rememberStateRoot(runtime.env, stateRoot(runtime.env, options.state));
  using state = openMountState(stateRoot(runtime.env, options.state), facts);
  const echo = options.verbose === true ? (line: string) => void runtime.stderr.write(line) : undefined;
  const log = openLogFile(state.path, runtime.clock, echo);
  using standIn = options.dryRun === true && !existsSync(facts.mount) ? emptyFolder(state) : undefined;
  await using agent = await openShown(call, state, log, { standIn: standIn?.path, access });
  if (options.dryRun === true) {
    const { actions, report } = await agent.dryRun(options.allowDeletes);
    return tellPlan(output, actions, report, facts);
  }
  state.list(log);
  return options.once === true ? await syncOnce(call, agent, facts) : await watchFolder(call, agent, state, log);
}

/** Stands in for a missing folder, which a dry run must not create. */
function emptyFolder(state: StateDir): Disposable & { readonly path: string } {
  const path = join(state.path, "empty");
  makeFolders(path);
  return { path, [Symbol.dispose]: () => rmdirSync(path) };
}

/** One run waits for a bucket that is away or busy, as other commands do; a watched folder tries again by itself. */
function accessFor(call: SyncCall): MasterAccess {
  if (call.options.once === true) return writingAccess(call);
  if (call.options.dryRun === true) return readingAccess(call);
  if (call.options.timeout === undefined) return accessOf(call);
  throw new SynclineError(
    "usage",
    "--timeout is for --once and --dry-run: without them, a folder waits for its bucket.",
  );
}

async function openShown(
  call: SyncCall,
  state: StateDir,
  log: Log,
  more: { readonly standIn: string | undefined; readonly access: MasterAccess },
): Promise<SyncAgent> {
  const { output } = call;
  using progress = output.progress("sync");
  using _opening = progress.step("opening the bucket");
  return await openFolder(call, state, log, { ...more, progress: () => passProgress(output.progress("sync")) });
}

/** Progress of one pass, both directions together. Both totals are known before anything moves. */
export function passProgress(progress: Progress): ShownPass {
  const done = { files: 0, bytes: 0 };
  let total: Amounts | undefined;
  const move = (files: number, bytes: number) => {
    done.files += files;
    done.bytes += bytes;
    if (total?.files !== undefined && done.files > total.files) total = {};
    progress.update(done, total);
  };
  return {
    looking: () => progress.step("scanning the folder"),
    // Counting reads the whole folder.
    ...(progress.isShown && {
      sending: ({ files, bytes }: NewFileTotals) => {
        if (files > 0) total = { files: done.files + files, bytes: done.bytes + bytes };
      },
    }),
    sent: (bytes, isEnd) => move(isEnd ? 1 : 0, bytes),
    received: (bytes) => move(0, bytes),
    applied: () => move(1, 0),
    applying: (places) => void (total = { files: done.files + places }),
    [Symbol.dispose]: () => progress[Symbol.dispose](),
  };
}

async function syncOnce({ options, output }: SyncCall, agent: SyncAgent, facts: StateFacts): Promise<ExitStatus> {
  for (const signal of ENDING_SIGNALS) process.once(signal, () => agent.end());
  countBuffers();
  const report = await agent.once(options.allowDeletes);
  if (report !== undefined) return tellReport(output, report, onceAgain(facts));
  output.notice("Stopped before folder and bucket agreed. The next run continues.");
  return 3;
}

/**
 * Syncs until `syncline unmount` or a signal. After the first signal it publishes for as long as --drain says; a second one
 * ends that. Unpublished changes stay in the folder.
 */
async function watchFolder(call: SyncCall, agent: SyncAgent, state: StateDir, log: Log): Promise<ExitStatus> {
  const { output, runtime } = call;
  const { facts } = state;
  runUnattended(call, log);
  const hears = {
    heard: (report: SyncReport) => {
      if (isNews(report))
        tellReport(output, report, (held) => allowCommand([{ door: "sync", folder: facts.mount }], held));
    },
    failed: (error: SynclineError) =>
      output.notice(`${error.message}${error.hint === undefined ? "" : ` ${error.hint}`}`),
  };
  const watched = agent.watch(hears, call.options.allowDeletes);
  let asked = false;
  for (const signal of ENDING_SIGNALS) {
    process.on(signal, () => {
      log.info(`Received ${signal}.`);
      if (asked) return watched.end();
      asked = true;
      watched.unmount().catch(() => watched.end());
    });
  }
  await using _control = await serveControl(state.path, watched, runtime.clock);
  output.result(
    { folder: facts.mount, bucket: facts.address, pid: process.pid },
    `Syncing ${printText(facts.mount)} with ${printText(facts.address)}. Press Ctrl-C to stop.`,
  );
  await watched.ended;
  const left = await watched.left();
  if (left.drained) return 0;
  output.result({ ended: facts.mount, ...left }, `Ended. ${leftText(left, "")}`);
  return 3;
}

function isNews({ sent, received, conflicts, guard: held }: SyncReport): boolean {
  const moved = sent.added + sent.changed + sent.moved + sent.deleted + received.files + received.removed;
  return moved > 0 || conflicts.length > 0 || held !== null;
}

function tellPlan(
  output: Output,
  actions: readonly PlannedAction[],
  report: SyncReport | undefined,
  facts: StateFacts,
): ExitStatus {
  for (const action of actions) {
    const { where, what, path, from } = action;
    const paths = from === undefined ? printText(path) : `${printText(from)} → ${printText(path)}`;
    output.result({ action, deed: action }, `${where === "bucket" ? "↑" : "↓"} ${what.padEnd(6)} ${paths}`);
  }
  for (const { path, why } of report?.left ?? []) output.notice(`${printText(path)}: ${why}`);
  const conflicts = report?.conflicts ?? [];
  const held = report?.guard ?? null;
  const waiting = held === null ? "" : `, ${printCount(held.files, "deletion")} awaiting approval`;
  const text = `${printCount(actions.length, "change")}, ${printCount(conflicts.length, "conflict")}${waiting}. Nothing was changed.`;
  output.result({ plan: actions.length, conflicts, guard: held, left: report?.left ?? [] }, text);
  if (held === null) return 0;
  tellHeld(output, held, onceAgain(facts));
  return 7;
}

function tellReport(output: Output, report: SyncReport, approval: Approval): ExitStatus {
  const { sent, received, conflicts, guard: held, left } = report;
  for (const { path, why } of left.slice(0, LEFT_TOLD)) output.notice(`${printText(path)}: ${why}`);
  if (left.length > LEFT_TOLD) output.notice(`… and ${left.length - LEFT_TOLD} more.`);
  const up = sent.added + sent.changed + sent.moved + sent.deleted;
  const down = `${printCount(received.files, "file")} and ${printCount(received.removed, "deletion")} received`;
  const text = `${printCount(up, "change")} sent, ${down}, ${printCount(conflicts.length, "conflict")}.`;
  output.result(report, `${text} Root ${report.root}`);
  if (held !== null) {
    tellHeld(output, held, approval);
    return 7;
  }
  return isUnpublished(report) ? 3 : 0;
}

/** The command that approves deletions. */
type Approval = (held: Held) => string;
type Held = NonNullable<SyncReport["guard"]>;

function onceAgain({ address, mount }: StateFacts): Approval {
  const again = `syncline sync ${shellWord(address)} ${shellWord(mount)} --once`;
  return ({ digest }) => `${again} --allow-deletes ${digest}`;
}

function tellHeld(output: Output, held: Held, approval: Approval): void {
  const { files, where } = held;
  output.notice(
    `${printCount(files, "file")} would be deleted from the ${where}. If that is intended: ${approval(held)}`,
  );
}

/** The canonical address gives one bucket one state per folder. */
async function factsOf(call: SyncCall): Promise<StateFacts> {
  const [url = "", directory = ""] = call.args;
  const address = pinnedUrl(parseAddress(url));
  return { address, mount: await syncedFolder(call, address, directory), door: "sync" };
}

const LEFT_TOLD = 20;
