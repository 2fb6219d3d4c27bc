/** Opens a synced folder as options describe it: alone, or beside an agent's other doors. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { DoorReport } from "../../agent/doors/doors.ts";
import { openSyncAgent, type SyncAgent, type SyncAgentOptions } from "../../agent/folder/sync-agent.ts";
import type { FolderPart } from "../../agent/folder/agent-with-folder.ts";
import { LateFolder } from "../../agent/folder/late-folder.ts";
import { openMountState, stateRoot, type StateDir, type StateFacts } from "../../agent/state/state-dir.ts";
import { GENESIS } from "../../agent/state/start-over.ts";
import { readStateFile } from "../../agent/state/state-file.ts";
import { untilAborted } from "../../base/concurrency.ts";
import { SynclineError } from "../../base/errors.ts";
import { describeError, type Log } from "../../base/log.ts";
import { boundHeaps } from "../../runtime/memory.ts";
import { openRealDisk } from "../../sync/disk/real-disk.ts";
import { cacheBytesOf, drainMsOf } from "./agent-limits.ts";
import type { Call } from "../command.ts";
import { setModified } from "./file-times.ts";
import { accessOf, MASTER_OPTIONS, witnessOf } from "../master-access.ts";
import { hiddenIn, isIn, syncedFolder } from "./synced-folder.ts";
import { placeTaken } from "./taking-over.ts";
import { printText } from "../terminal/text.ts";
import { loadWallet, machineNameOf } from "../wallet.ts";

export const FOLDER_OPTIONS = ["limit", "special", "cacheSize", "drain", ...MASTER_OPTIONS] as const;
export type FolderCall = Call<(typeof FOLDER_OPTIONS)[number]>;

/** The folder's agent. The caller holds its state. Throws as `openSyncAgent`. */
export async function openFolder(
  call: FolderCall,
  { path, facts }: StateDir,
  log: Log,
  more: Partial<Pick<SyncAgentOptions, "progress" | "genesis" | "standIn" | "access">> = {},
): Promise<SyncAgent> {
  const { options, runtime } = call;
  const place = more.standIn ?? facts.mount;
  const agent = await openSyncAgent({
    address: facts.address,
    folder: facts.mount,
    disk: await openRealDisk(place, { allXattrs: options.special === true, setModified, unlocks: true }),
    stateDir: path,
    pauseDir: facts.agent ?? path,
    hidden: hiddenIn(facts.mount, call),
    wallet: () => loadWallet(call),
    machine: machineNameOf(call),
    access: accessOf(call),
    witness: witnessOf(call, facts.address),
    accept: options.accept === true,
    cacheBytes: cacheBytesOf(options),
    drainMs: drainMsOf(options),
    limit: options.limit,
    special: options.special ?? false,
    ...more,
    clock: runtime.clock,
    random: runtime.random,
    log,
  });
  boundHeaps();
  return agent;
}

/**
 * Identifies the state of `--sync`. Throws `usage` if folder and mount contain one another or the agent is read-only, and
 * as `syncedFolder`. An agent that takes over does not look at the folder here: its disk may fail or hang.
 */
export async function folderBeside(
  call: Call<"sync" | "readOnly" | "at">,
  address: string,
  mount?: string,
): Promise<StateFacts | undefined> {
  const { options } = call;
  if (options.sync === undefined) return undefined;
  if (options.readOnly === true || options.at !== undefined)
    throw new SynclineError("usage", "--sync writes to the bucket and cannot be combined with --read-only or --at.");
  const folder = placeTaken(call.runtime)?.sync ?? (await syncedFolder(call, address, options.sync));
  const inMount = mount !== undefined && isIn(folder, mount);
  if (inMount || (mount !== undefined && isIn(mount, folder))) {
    const [inner, outer] = inMount ? [folder, "in the mount"] : [mount, "a mount point in the folder"];
    throw new SynclineError("usage", `--sync: ${printText(inner)} is ${outer}.`, {
      hint: "Choose a folder next to it.",
    });
  }
  return { address, mount: folder, door: "sync" };
}

/** What to report about the folder among open doors: for programs, and for people. */
export function folderValue(doors: readonly DoorReport[]): { readonly sync?: string } {
  const door = doors.find((each) => each.door === "sync");
  return door === undefined ? {} : { sync: door.folder };
}

export function folderText(doors: readonly DoorReport[]): string[] {
  const { sync } = folderValue(doors);
  return sync === undefined ? [] : [`Syncing ${printText(sync)}.`];
}

/** A folder whose agent also has other doors. */
export interface FolderBeside extends AsyncDisposable {
  readonly folder: string;
  /** Begins its passes. */
  watch(): FolderPart;
  /** Lists it as a part of the agent. */
  list(): void;
}

interface BesideOptions {
  readonly call: FolderCall;
  /** The folder's own state, named as a part of the agent's. */
  readonly facts: StateFacts;
  readonly log: Log;
  readonly genesis?: Uint8Array | undefined;
}

/**
 * `takesOver`: programs already use the other doors and wait. Then the folder is opened only by `watch`, as often as it
 * takes. Throws `state_in_use` if the folder is already being synced, and as `openSyncAgent`.
 */
export async function openFolderBeside(
  call: FolderCall,
  facts: StateFacts,
  agentState: string,
  log: Log,
  takesOver: boolean,
): Promise<FolderBeside> {
  const beside = { call, facts: { ...facts, agent: agentState }, log };
  return takesOver ? openLater(beside, agentState) : openNow(beside);
}

async function openNow({ call, facts, log, genesis }: BesideOptions): Promise<FolderBeside> {
  const { options, runtime } = call;
  const state = openMountState(stateRoot(runtime.env, options.state), facts);
  try {
    const agent = await openFolder(call, state, log, { genesis });
    return {
      folder: facts.mount,
      watch: () =>
        agent.watch({
          heard: ({ sent, received, left }) => log.info("Synced.", { ...sent, ...received, left: left.length }),
          failed: (error) => log.warn(`Not synced: ${describeError(error)}`),
        }),
      list: () => state.list(log),
      [Symbol.asyncDispose]: async () => {
        await agent[Symbol.asyncDispose]();
        state[Symbol.dispose]();
      },
    };
  } catch (error) {
    state[Symbol.dispose]();
    throw error;
  }
}

/** The agent before this one has listed it. The bucket may be out of reach, so it is opened with the kept genesis. */
function openLater(beside: BesideOptions, agentState: string): FolderBeside {
  const { call, facts, log } = beside;
  const { options, runtime } = call;
  let opened: FolderBeside | undefined;
  const open = async (signal: AbortSignal) => {
    // The calls that follow would block this thread, which publishes, if the disk does not answer.
    await untilAborted(
      stat(facts.mount).catch(() => {}),
      signal,
    );
    await syncedFolder(call, facts.address, facts.mount);
    opened = await openNow({ ...beside, genesis: readStateFile(join(agentState, GENESIS)) });
    return opened.watch();
  };
  const late = {
    folder: facts.mount,
    address: facts.address,
    pauseDir: agentState,
    cacheBytes: cacheBytesOf(options),
    open,
    clock: runtime.clock,
    log,
  };
  return {
    folder: facts.mount,
    watch: () => new LateFolder(late),
    list: () => {},
    [Symbol.asyncDispose]: async () => opened?.[Symbol.asyncDispose](),
  };
}
