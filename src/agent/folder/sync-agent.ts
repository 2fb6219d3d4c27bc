/** The agent of a synced folder: opens the bucket with the folder's own device and its database, and runs passes. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { RateLimit, type Rates } from "../../base/rate-limit.ts";
import type { Writer } from "../../bucket/publish/next-commit.ts";
import type { RootWitness } from "../../bucket/root-witness.ts";
import type { ContentConfig } from "../../content/config.ts";
import type { WalletSigner } from "../../crypto/wallet.ts";
import type { MasterAccess } from "../../net/access.ts";
import { FolderCopies } from "../../sync/scan/folder-blocks.ts";
import { watchFolderTree } from "../../sync/scan/folder-notices.ts";
import { SyncDatabase } from "../../sync/known/database.ts";
import { requireFolder } from "../../sync/known/marker.ts";
import type { DiskPath, SyncDisk } from "../../sync/disk/disk.ts";
import { ONLY_READ_ONLY } from "../../sync/disk/windows-modes.ts";
import { actionsOf, reportOf, type PlannedAction, type SyncReport } from "../../sync/report.ts";
import { dryRunPass, syncPass } from "../../sync/sync-pass.ts";
import type { PassContext, PassProgress, PassResult } from "../../sync/pass-result.ts";
import { lockFolder } from "../state/folder-lock.ts";
import { collectGarbage } from "../../runtime/memory.ts";
import { conflictReport } from "../reports.ts";
import { SeenConflicts } from "../publishing/seen-conflicts.ts";
import { cacheDirOf } from "../state/state-dir.ts";
import { SyncLoop, type SyncLoopOptions } from "./sync-loop.ts";
import { WatchedFolder } from "./watched-folder.ts";
import { Pause } from "../state/pause.ts";
import { WaitingWork } from "../publishing/waiting-work.ts";
import { openToWrite, type WritingBucket } from "../writing-bucket.ts";

export interface ShownPass extends PassProgress, Disposable {}

export interface SyncAgentOptions {
  readonly address: string;
  /** Absolute. */
  readonly folder: string;
  readonly disk: SyncDisk;
  /** For a dry run on a missing folder: the empty folder that `disk` shows instead. */
  readonly standIn?: string | undefined;
  /** The state's folder, whose lock the caller holds. */
  readonly stateDir: string;
  /** The state folder with its pause: beside other doors the agent's, since one pause applies to all. */
  readonly pauseDir: string;
  /** What was seen at the address before. */
  readonly witness: RootWitness;
  /** A person accepts the bucket at the address, whatever was seen there before. */
  readonly accept?: boolean;
  readonly wallet: () => Promise<WalletSigner>;
  /** This machine's name for the history; absent: none. */
  readonly machine?: string | undefined;
  readonly access: MasterAccess;
  /** Paths in the folder that are never synced: the agent's own state and keys. */
  readonly hidden?: readonly DiskPath[];
  readonly cacheBytes: number;
  /** How long an ending agent publishes, unless the caller of `unmount` says otherwise. */
  readonly drainMs: number;
  /** Bytes of contents per second, both directions together. */
  readonly limit?: Rates | undefined;
  /** Whether to sync setuid, setgid and extended attributes outside user.*, too. */
  readonly special: boolean;
  /** Called for each pass; disposed at its end. */
  readonly progress?: (() => ShownPass) | undefined;
  /** The genesis. With it, an agent that takes over opens the bucket without asking it: it may be out of reach. */
  readonly genesis?: Uint8Array | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** For a folder whose bucket is open. */
export interface SyncedFolderOptions extends Omit<SyncAgentOptions, "witness" | "wallet" | "machine" | "access"> {
  /** By default, chokidar's. */
  readonly watchFolder?: SyncLoopOptions["watchFolder"];
}

/**
 * Throws as opening the bucket does, `device_not_certified`, `state_in_use` if another agent syncs the folder, and
 * `precondition_failed` if a folder that was synced is missing.
 */
export async function openSyncAgent(options: SyncAgentOptions): Promise<SyncAgent> {
  const { address, folder, disk, stateDir, witness, wallet, machine, access, cacheBytes, clock, random, log } = options;
  const { genesis, standIn } = options;
  const ending = new AbortController();
  const copies = new FolderCopies(disk, { mostBytes: MENDED_BYTES, signal: ending.signal, clock, log });
  let config: ContentConfig | undefined;
  const inFolder = async (cids: readonly Cid[]) => {
    return config === undefined ? new Map<Cid, Uint8Array>() : copies.find(config, cids);
  };
  const cache = { dir: cacheDirOf(stateDir), bytes: cacheBytes, inFolder };
  const writing = { address, stateDir, witness, wallet, machine, access, cache, genesis, clock, random, log };
  const opened = await openToWrite(writing).catch((cause) => {
    throw hasCode(cause, "no_such_bucket") && wasSynced(stateDir) ? bucketAway(options, cause) : cause;
  });
  config = opened.opened.bucket.contentConfig;
  let db: SyncDatabase | undefined;
  try {
    db = new SyncDatabase(join(stateDir, "sync.db"));
    // Refuses a bucket that was set back before anything is watched.
    if (genesis === undefined) await opened.opened.bucket.current();
    await requireFolder(db, { folder, state: stateDir }, standIn === undefined);
    return new SyncAgent(options, opened, db, await lockFolder(standIn ?? folder), ending);
  } catch (error) {
    db?.close();
    await opened.opened[Symbol.asyncDispose]();
    throw error;
  }
}

function wasSynced(stateDir: string): boolean {
  const path = join(stateDir, "sync.db");
  if (!existsSync(path)) return false;
  const db = new SyncDatabase(path);
  try {
    return db.base() !== undefined;
  } finally {
    db.close();
  }
}

function bucketAway({ address, folder }: SyncAgentOptions, cause: unknown): SynclineError {
  return new SynclineError("store_unreachable", `The bucket ${address}, which ${folder} is synced with, is missing.`, {
    hint: "If its disk is not mounted, mount it. Nothing was changed, and nothing counts as deleted.",
    cause,
  });
}

/** In memory: blocks that a master lost, to be sent again before it takes a commit. `verify --repair` is for more. */
const MENDED_BYTES = 64 * 1024 * 1024;

export class SyncAgent implements AsyncDisposable {
  readonly #options: SyncedFolderOptions;
  readonly #opened: WritingBucket;
  readonly #db: SyncDatabase;
  readonly #lock: Disposable;
  readonly #limit: RateLimit | undefined;
  readonly #ending: AbortController;
  /** Aborted while paused: a pass under way ends after its current batch. */
  #pausing = new AbortController();
  #pause: Pause | undefined;
  readonly #conflicts: SeenConflicts;
  readonly #waiting: WaitingWork;
  #first = true;
  #scanMs = 0;
  #applying: (places: number) => void = () => {};

  constructor(
    options: SyncedFolderOptions,
    opened: WritingBucket,
    db: SyncDatabase,
    lock: Disposable,
    ending: AbortController,
  ) {
    this.#lock = lock;
    this.#ending = ending;
    this.#options = options;
    this.#conflicts = new SeenConflicts(options.clock);
    this.#waiting = new WaitingWork(options.clock);
    this.#opened = opened;
    this.#db = db;
    this.#limit = options.limit === undefined ? undefined : new RateLimit(options.clock, options.limit);
  }

  /** Runs passes until folder and bucket agree, or the rest needs a person. Throws as `syncPass`. */
  async once(allowDeletes?: string): Promise<SyncReport | undefined> {
    const passes: PassResult[] = [];
    for (let pass = 0; pass < PASSES_AT_MOST && !this.#signal.aborted; pass++) {
      const result = await this.#pass(allowDeletes);
      if (result === undefined) break;
      passes.push(result);
      await this.#conflicts.remember(result.conflicts, this.#opened.opened.bucket);
      await this.#conflicts.settle(this.#opened.opened.bucket, result.root);
      this.#scanMs = result.scanMs;
      if (!isUnfinished(result)) break;
    }
    return reportOf(passes);
  }

  /** What `once` would do. */
  async dryRun(
    allowDeletes?: string,
  ): Promise<{ readonly actions: readonly PlannedAction[]; readonly report: SyncReport | undefined }> {
    using progress = this.#options.progress?.();
    const { writer } = this.#opened.writer;
    const result = await dryRunPass({ ...this.#context(writer, allowDeletes, progress), again: true });
    return { actions: actionsOf(result, this.#db), report: reportOf([result]) };
  }

  /** Runs a pass whenever folder or bucket changes, until ended. `allowDeletes` is for the first pass that succeeds. */
  watch(hears: Pick<SyncLoopOptions, "heard" | "failed">, allowDeletes?: string): WatchedFolder {
    const { folder, hidden = [], drainMs, clock, log } = this.#options;
    const { watchFolder = (changed, failed) => watchFolderTree(folder, { changed, failed, hidden }) } = this.#options;
    const pause = (this.#pause = new Pause({
      ...this.#options,
      stateDir: this.#options.pauseDir,
      changed: (isPaused) => {
        if (isPaused) this.#pausing.abort();
        else this.#pausing = new AbortController();
        loop.wake();
      },
    }));
    let firstAllowed = allowDeletes;
    const once = async (allowed: string | undefined) => {
      const report = await this.once(allowed ?? firstAllowed);
      if (report !== undefined) firstAllowed = undefined;
      return report;
    };
    const loop: SyncLoop = new SyncLoop({
      once,
      watchFolder,
      watchBucket: (changed) => this.#opened.opened.remote.watch(changed),
      scanMs: () => this.#scanMs,
      isPaused: () => pause.report !== null,
      isBehind: async (root) => (await this.#opened.opened.bucket.head()).commit.cid !== root,
      clock,
      log,
      ...hears,
    });
    this.#applying = (places) => loop.applying(places);
    const conflicts = () => this.#conflicts.all.map(conflictReport);
    const waiting = () => this.#waiting.report();
    const { address } = this.#options;
    const requests = () => this.#opened.opened.remote.requests?.() ?? null;
    const masters = () => this.#opened.opened.remote.masters?.() ?? null;
    const paused = () => pause.report;
    const facts = { folder, address, paused, cache: () => this.cache, requests, masters, conflicts, waiting };
    return new WatchedFolder({ loop, facts, pause, stop: () => this.end(), drainMs, clock });
  }

  get cache(): { readonly bytes: number; readonly limit: number } {
    return { bytes: this.#opened.opened.cache?.bytes ?? 0, limit: this.#options.cacheBytes };
  }

  get #signal(): AbortSignal {
    return AbortSignal.any([this.#ending.signal, this.#pausing.signal]);
  }

  /** Lets a pass end between two batches. */
  end(): void {
    this.#ending.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#pause?.[Symbol.dispose]();
    this.#lock[Symbol.dispose]();
    this.#db.close();
    await this.#opened.opened[Symbol.asyncDispose]();
  }

  /** Undefined: the pass was ended early. */
  async #pass(allowDeletes: string | undefined): Promise<PassResult | undefined> {
    let result: PassResult | undefined;
    try {
      result = await this.#tryPass(allowDeletes);
      return result;
    } finally {
      this.#waiting.ended(result?.unsent);
    }
  }

  async #tryPass(allowDeletes: string | undefined): Promise<PassResult | undefined> {
    using progress = this.#options.progress?.();
    const { writer: author } = this.#opened;
    const pass = (more: { readonly accept?: boolean }) =>
      author.as((writer) =>
        syncPass({ ...this.#context(writer, allowDeletes, progress), again: this.#first, ...more }),
      );
    try {
      const accept = this.#first && this.#options.accept === true;
      const result = await pass({ accept });
      this.#first = false;
      return result;
    } catch (error) {
      if (this.#signal.aborted) return undefined;
      if (!hasCode(error, "state_in_use")) throw this.#db.named(error);
      // Another copy of this state writes with the same device: from now on this one has a new device.
      await author.replace();
      return await pass({});
    }
  }

  #context(writer: Writer, allowDeletes: string | undefined, progress: PassProgress | undefined): PassContext {
    const { disk, folder, stateDir, hidden, special, clock, random, log } = this.#options;
    const { opened } = this.#opened;
    return {
      disk,
      clock,
      random,
      log,
      allowDeletes,
      db: this.#db,
      bucket: opened.bucket,
      writer,
      names: { folder, state: stateDir },
      ...(hidden !== undefined && { hidden }),
      attention: {
        modeMask: special ? 0o7777 : 0o1777,
        owners: process.getuid?.() === 0,
        onlyReadOnly: ONLY_READ_ONLY,
      },
      limit: this.#limit,
      signal: this.#signal,
      collect: () => collectGarbage(),
      progress: {
        ...progress,
        waiting: (waiting, tookMs) => this.#waiting.counted(waiting, tookMs),
        mayCount: () => this.#waiting.mayCount(),
        sent: (bytes, isEnd) => {
          this.#waiting.sent(bytes);
          progress?.sent?.(bytes, isEnd);
        },
        applying: (places) => {
          progress?.applying?.(places);
          this.#applying(places);
        },
      },
    };
  }
}

/** Writes to the folder during the pass need another one, and so do files that new rules no longer ignore. */
function isUnfinished({ applied, unstable, hasNewRules, held }: PassResult): boolean {
  if (hasNewRules) return true;
  // Someone else may have deleted the very files whose deletion waits here.
  if (held !== undefined) return applied.removed > 0;
  return unstable.length > 0 || applied.left.some(({ reason }) => reason === "changed here" || reason === "waiting");
}

const PASSES_AT_MOST = 5;
