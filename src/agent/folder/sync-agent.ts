/** A folder's agent: the bucket opened by a device of its own, the database of what was synced, and passes one after another. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { RateLimit } from "../../base/rate-limit.ts";
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
import { actionsOf, reportOf, type PlannedAction, type SyncReport } from "../../sync/report.ts";
import { dryRunPass, syncPass } from "../../sync/sync-pass.ts";
import type { PassContext, PassProgress, PassResult } from "../../sync/pass-result.ts";
import type { ControlAnswers } from "../control.ts";
import { lockFolder } from "../state/folder-lock.ts";
import { collectGarbage } from "../threads/memory.ts";
import { conflictReport, type AgentStatus, type FlushReport, type UnmountReport } from "../reports.ts";
import { SeenConflicts } from "../publishing/seen-conflicts.ts";
import { cacheDirOf } from "../state/state-dir.ts";
import { SyncLoop, type SyncLoopOptions } from "./sync-loop.ts";
import { syncFlush, syncStatus, type SyncFacts } from "./sync-status.ts";
import { WaitingWork } from "../publishing/waiting-work.ts";
import { openToWrite, type WritingBucket } from "../writing-bucket.ts";

export interface ShownPass extends PassProgress, Disposable {}

export interface SyncAgentOptions {
  readonly address: string;
  /** Absolute. */
  readonly folder: string;
  readonly disk: SyncDisk;
  /** The state's folder, whose lock the caller holds. */
  readonly stateDir: string;
  /** What was seen at the address before. */
  readonly witness: RootWitness;
  /** A person accepts what lies at the address, whatever was seen there. */
  readonly accept?: boolean;
  readonly wallet: () => Promise<WalletSigner>;
  /** This machine's name for the history; absent: none. */
  readonly machine?: string | undefined;
  readonly access: MasterAccess;
  /** What of the folder is never synced: the agent's own state and keys. */
  readonly hidden?: readonly DiskPath[];
  readonly cacheBytes: number;
  /** Bytes of contents a second, in both directions together. */
  readonly limit?: number | undefined;
  /** Whether setuid, setgid and attributes of other spaces than user.* are synced, too. */
  readonly special: boolean;
  /** Called for each pass; disposed at its end. */
  readonly progress?: (() => ShownPass) | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Of a folder whose bucket is open. */
export interface SyncedFolderOptions extends Omit<SyncAgentOptions, "witness" | "wallet" | "machine" | "access"> {
  /** Default: chokidar's. */
  readonly watchFolder?: SyncLoopOptions["watchFolder"];
}

/** Throws as opening the bucket does, `device_not_certified`, `state_in_use` where another agent syncs the folder, and for a folder that was synced and is not there `precondition_failed`. */
export async function openSyncAgent(options: SyncAgentOptions): Promise<SyncAgent> {
  const { address, folder, disk, stateDir, witness, wallet, machine, access, cacheBytes, clock, random, log } = options;
  const ending = new AbortController();
  const copies = new FolderCopies(disk, { mostBytes: MENDED_BYTES, signal: ending.signal, clock, log });
  let config: ContentConfig | undefined;
  const inFolder = async (cids: readonly Cid[]) => {
    return config === undefined ? new Map<Cid, Uint8Array>() : copies.find(config, cids);
  };
  const cache = { dir: cacheDirOf(stateDir), bytes: cacheBytes, inFolder };
  const writing = { address, stateDir, witness, wallet, machine, access, cache, clock, random, log };
  const opened = await openToWrite(writing).catch((cause) => {
    throw hasCode(cause, "no_such_bucket") && wasSynced(stateDir) ? bucketAway(options, cause) : cause;
  });
  config = opened.opened.bucket.contentConfig;
  const db = new SyncDatabase(join(stateDir, "sync.db"));
  try {
    // One that was set back is refused before anything is watched.
    await opened.opened.bucket.current();
    await requireFolder(db, { folder, state: stateDir });
    return new SyncAgent(options, opened, db, await lockFolder(folder), ending);
  } catch (error) {
    db.close();
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
  return new SynclineError(
    "store_unreachable",
    `The bucket ${address} that ${folder} is synced with is not there now.`,
    {
      hint: "If its disk is not mounted, mount it. Nothing was done, and nothing counts as deleted.",
      cause,
    },
  );
}

/** In memory: of what a master lost, and has to be sent again before it takes a commit. More is for `verify --repair`. */
const MENDED_BYTES = 64 * 1024 * 1024;

export class SyncAgent implements AsyncDisposable {
  readonly #options: SyncedFolderOptions;
  readonly #opened: WritingBucket;
  readonly #db: SyncDatabase;
  readonly #lock: Disposable;
  readonly #limit: RateLimit | undefined;
  readonly #ending: AbortController;
  readonly #conflicts: SeenConflicts;
  readonly #waiting: WaitingWork;
  #first = true;
  #scanMs = 0;
  #applying: (places: number) => void = () => {};
  #writer: Writer;

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
    this.#writer = opened.writer.writer;
    this.#limit = options.limit === undefined ? undefined : new RateLimit(options.clock, options.limit);
  }

  /** Passes until folder and bucket agree, or what is left waits for somebody. Throws as `syncPass`. */
  async once(allowDeletes?: string): Promise<SyncReport | undefined> {
    const passes: PassResult[] = [];
    for (let pass = 0; pass < PASSES_AT_MOST && !this.#ending.signal.aborted; pass++) {
      const result = await this.#pass(allowDeletes);
      if (result === undefined) break;
      passes.push(result);
      await this.#conflicts.remember(result.conflicts, this.#opened.opened.bucket);
      this.#scanMs = result.scanMs;
      if (!isUnfinished(result)) break;
    }
    return reportOf(passes);
  }

  /** What `once` would do. */
  async dryRun(): Promise<{ readonly actions: readonly PlannedAction[]; readonly report: SyncReport | undefined }> {
    using progress = this.#options.progress?.();
    const result = await dryRunPass({ ...this.#context(undefined, progress), again: true });
    return { actions: actionsOf(result, this.#db), report: reportOf([result]) };
  }

  /** Passes whenever folder or bucket changes, until it is ended. */
  watch(hears: Pick<SyncLoopOptions, "heard" | "failed">): WatchedFolder {
    const { folder, hidden = [], clock, log } = this.#options;
    const { watchFolder = (changed, failed) => watchFolderTree(folder, { changed, failed, hidden }) } = this.#options;
    const loop: SyncLoop = new SyncLoop({
      once: (allowDeletes) => this.once(allowDeletes),
      watchFolder,
      watchBucket: (changed) => this.#opened.opened.remote.watch(changed),
      scanMs: () => this.#scanMs,
      isBehind: async (root) => (await this.#opened.opened.bucket.head()).commit.cid !== root,
      clock,
      log,
      ...hears,
    });
    this.#applying = (places) => loop.applying(places);
    const conflicts = () => this.#conflicts.all.map(conflictReport);
    const waiting = () => this.#waiting.report();
    const facts = { folder, address: this.#options.address, cache: () => this.cache, conflicts, waiting };
    return new WatchedFolder(loop, facts, () => this.end());
  }

  get cache(): { readonly bytes: number; readonly limit: number } {
    return { bytes: this.#opened.opened.cache?.bytes ?? 0, limit: this.#options.cacheBytes };
  }

  /** Lets a pass end between two batches. */
  end(): void {
    this.#ending.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lock[Symbol.dispose]();
    this.#db.close();
    await this.#opened.opened[Symbol.asyncDispose]();
  }

  /** Undefined: it was ended on the way. */
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
    try {
      const accept = this.#first && this.#options.accept === true;
      const result = await syncPass({ ...this.#context(allowDeletes, progress), again: this.#first, accept });
      this.#first = false;
      return result;
    } catch (error) {
      if (this.#ending.signal.aborted) return undefined;
      if (!hasCode(error, "state_in_use")) throw error;
      // The state was copied from elsewhere and writes as two: from now on it has a device of its own.
      this.#writer = await this.#opened.writer.replace();
      return await syncPass({ ...this.#context(allowDeletes, progress), again: this.#first });
    }
  }

  #context(allowDeletes: string | undefined, progress: PassProgress | undefined): PassContext {
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
      writer: this.#writer,
      names: { folder, state: stateDir },
      ...(hidden !== undefined && { hidden }),
      attention: { modeMask: special ? 0o7777 : 0o1777, owners: process.getuid?.() === 0 },
      limit: this.#limit,
      signal: this.#ending.signal,
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

/** A folder under watch, as its control socket offers it. */
export class WatchedFolder implements ControlAnswers {
  readonly ended: Promise<void>;
  readonly #loop: SyncLoop;
  readonly #facts: SyncFacts;
  readonly #stop: () => void;

  constructor(loop: SyncLoop, facts: SyncFacts, stop: () => void) {
    this.#loop = loop;
    this.#facts = facts;
    this.#stop = stop;
    this.ended = loop.run();
  }

  async status(): Promise<AgentStatus> {
    return syncStatus(this.#facts, this.#loop.state());
  }

  async flush(allowDeletes?: string): Promise<FlushReport> {
    await this.#loop.flush(allowDeletes);
    return syncFlush(this.#loop.state(), this.#facts.waiting?.());
  }

  /** Nothing is unmounted: the folder stays as it is. */
  async unmount(): Promise<UnmountReport> {
    const { published, pending, error } = await this.flush();
    const { guard } = await this.status();
    this.end();
    const ended = { drained: published, pending, error, guard };
    return published ? ended : { ...ended, folder: { folder: this.#facts.folder, files: pending.files, error } };
  }

  end(): void {
    this.#loop.end();
    this.#stop();
  }

  isDrained(): boolean {
    return syncFlush(this.#loop.state(), this.#facts.waiting?.()).published;
  }
}

/** What was written in the folder during the pass waits for another one, and so does what new rules no longer leave alone. */
function isUnfinished({ applied, unstable, hasNewRules, held }: PassResult): boolean {
  if (hasNewRules) return true;
  // Something else may have deleted just what waits to be deleted here.
  if (held !== undefined) return applied.removed > 0;
  return unstable.length > 0 || applied.left.some(({ reason }) => reason === "changed here" || reason === "waiting");
}

const PASSES_AT_MOST = 5;
