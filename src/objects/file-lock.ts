/**
 * The `lock` object of a `file://` bucket: held by one process for a compare and a rename, and free again once that process
 * is gone.
 *
 * It is taken by link(2) of a file that already names its holder, so it is never half written. A stale lock is replaced by
 * rename(2), which requires a second lock, named after the stale one and taken the same way. So of many contenders only one
 * takes over, and late ones find another nonce.
 */
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { unless } from "../base/unless.ts";
import { timeText } from "../base/clock.ts";
import { SerialQueue } from "../base/concurrency.ts";
import type { SynclineError } from "../base/errors.ts";
import { LOCK_WAIT_MS } from "../base/limits.ts";
import type { Ports } from "../base/ports.ts";
import { failedWith } from "../base/system-errors.ts";
import { type Disk, NO_LINKS, readRanges } from "./disk.ts";
import type { DurableFolder } from "./durable-folder.ts";
import { alive, locked, unusable } from "./lock-errors.ts";
import { describeHolder, type LockHolder, type LockOwner, parseHolder } from "./lock-holder.ts";
import { isGone, type ProcessIdentity, readOwnIdentity } from "./process-identity.ts";

export interface FileLockOptions extends Pick<Ports, "clock" | "random"> {
  readonly disk: Disk;
  readonly path: string;
  /** Of the lock: for temporary files beside it. */
  readonly folder: Pick<DurableFolder, "openTemporary" | "withdraw">;
}

export class FileLock {
  readonly #options: FileLockOptions;
  readonly #queue = new SerialQueue();
  /** Our locks that could not be removed because the folder had gone away: nonce → path. */
  readonly #left = new Map<string, string>();
  /** Locks being removed: a second removal, a moment later, could hit the next holder's lock. */
  readonly #releasing = new Map<string, Promise<void>>();
  #identity: Promise<ProcessIdentity> | undefined;

  constructor(options: FileLockOptions) {
    this.#options = options;
  }

  /**
   * Runs `work` while holding the lock as `owner`; `work` calls `confirm` right before the protected step. If another process holds
   * the lock by then, `confirm` throws, and `work` runs again once the lock is ours. Returns undefined if `wanted` says
   * during the wait that there is no point any more. Throws `bucket_locked` after LOCK_WAIT_MS, and `store_failed` if there
   * is no lock and none can be made.
   */
  run<Result>(
    work: (confirm: Confirm, owner: LockOwner) => Promise<Result>,
    wanted: Wanted = always,
  ): Promise<Result | undefined> {
    // Queueing inside the process costs no system call.
    return this.#queue.run(async () => {
      const { path, clock } = this.#options;
      const deadlineMs = clock.monotonicMs() + LOCK_WAIT_MS;
      for (;;) {
        const nonce = await this.#acquire(path, deadlineMs, wanted);
        if (nonce === undefined) return undefined;
        let lost: SynclineError | undefined;
        try {
          const confirm = async () => {
            lost = await this.#lossOf(path, nonce);
            if (lost !== undefined) throw lost;
          };
          return await work(confirm, { pid: process.pid, nonce });
        } catch (error) {
          if (error !== lost || clock.monotonicMs() >= deadlineMs) throw error;
        } finally {
          await this.#release(path, nonce);
        }
      }
    });
  }

  /** Removes locks that this process had to leave behind: others may not while it lives. Call it now and then. */
  async tidy(): Promise<void> {
    // What cannot be removed now is left for the next time.
    for (const [nonce, path] of new Map(this.#left)) await this.#release(path, nonce).catch(() => {});
  }

  /**
   * Breaks the lock and says who held it; undefined if nobody did. A rename that the holder has begun then fails, however
   * late it comes. Throws `bucket_locked` if the holder is alive on this machine, unless `force`.
   */
  async break(force: boolean): Promise<string | undefined> {
    const { path, disk, folder } = this.#options;
    const seen = await this.#read(path);
    if (seen === undefined) return this.#breakLink(path);
    const { holder } = seen;
    const own = await this.#identityOf();
    const lives = holder?.host === own.host && !(await isGone(disk, holder, own, () => this.#dateOf(path)));
    if (lives && !force) throw alive(path, holder);
    // Only the lock that was read: another may have been taken meanwhile.
    if ((await this.#read(path))?.text === seen.text) {
      if (holder !== undefined) await folder.withdraw(holder);
      await this.#remove(path);
      // It may have been staged since; without the lock, its rename is not confirmed any more.
      if (holder !== undefined) await folder.withdraw(holder);
    }
    // A removed lock cannot be taken over.
    await this.#remove(claimPath(path, seen));
    return describeHolder(holder);
  }

  /** A dangling symlink names no holder, and nobody can take the lock while it is there. */
  async #breakLink(path: string): Promise<string | undefined> {
    const target = await this.#linkTarget(path);
    if (target === undefined || !(await this.#remove(path))) return undefined;
    return `a dangling symbolic link to ${target}`;
  }

  /** Undefined if it is no symlink. */
  #linkTarget(path: string): Promise<string | undefined> {
    return this.#options.disk.readlink(path).catch(() => undefined);
  }

  /** The error if this nonce no longer holds the lock. */
  async #lossOf(path: string, nonce: string): Promise<SynclineError | undefined> {
    const seen = await this.#read(path);
    return seen?.holder?.nonce === nonce ? undefined : locked(path, seen?.holder);
  }

  /** Returns the nonce that now holds the lock at `path`; undefined if it is no longer wanted. */
  async #acquire(path: string, deadlineMs: number, wanted: Wanted): Promise<string | undefined> {
    const { clock, random } = this.#options;
    const holder = await this.#self();
    const { path: temporary, file } = await this.#options.folder.openTemporary();
    await this.#fill(temporary, file, holder);
    try {
      let last: SeenLock | undefined;
      for (let tries = 0; ; tries++) {
        if (await this.#take(temporary, path, holder)) return holder.nonce;
        const seen = await this.#read(path);
        last = seen ?? last;
        // Network file systems resend a link whose answer was lost, and then find their own.
        if (seen?.holder?.nonce === holder.nonce) return holder.nonce;
        if (!(await wanted())) return undefined;
        if (seen !== undefined && (await this.#isStale(path, seen))) {
          if (await this.#takeOver(temporary, path, seen, holder, deadlineMs)) return holder.nonce;
        }
        if (clock.monotonicMs() >= deadlineMs) {
          // If nothing is seen where the link failed, the lock was released in between, or is a symlink.
          const isLink = seen === undefined && (await this.#linkTarget(path)) !== undefined;
          throw isLink ? unusable(path) : locked(path, last?.holder);
        }
        // Retries at once after a release; but a lock that never appears must be waited for too.
        if (seen !== undefined || tries > 0) await clock.sleep(pauseMs(tries) * (0.5 + random.fraction()));
      }
    } finally {
      // Ignores failures: old temporary files are swept later.
      await this.#remove(temporary).catch(() => false);
    }
  }

  async #take(temporary: string, path: string, holder: LockHolder): Promise<boolean> {
    try {
      await this.#options.disk.link(temporary, path);
      return true;
    } catch (cause) {
      if (failedWith(cause, "EEXIST")) return false;
      if (failedWith(cause, ...NO_LINKS)) return this.#takeWithoutLinks(path, holder);
      // Network file systems fail calls that took effect; in that case only we may remove the lock.
      if (await this.#isOurs(path, holder)) return true;
      throw cause;
    }
  }

  /** If this cannot be determined now, the lock counts as left behind. */
  async #isOurs(path: string, { nonce }: LockHolder): Promise<boolean> {
    try {
      return (await this.#lossOf(path, nonce)) === undefined;
    } catch {
      this.#left.set(nonce, path);
      return false;
    }
  }

  /**
   * For file systems without hard links (FAT, some network ones): the lock is empty for a moment. A writer delayed then may
   * lose it to a process that took the empty file for a leftover of a power cut.
   */
  async #takeWithoutLinks(path: string, holder: LockHolder): Promise<boolean> {
    try {
      await this.#make(path, holder);
    } catch (cause) {
      if (failedWith(cause, "EEXIST")) return false;
      throw cause;
    }
    return (await this.#read(path))?.holder?.nonce === holder.nonce;
  }

  /** Makes a new file; removes it again if it cannot be written completely. */
  async #make(path: string, holder: LockHolder): Promise<void> {
    await this.#fill(path, await this.#options.disk.open(path, "wx"), holder);
  }

  async #fill(path: string, file: FileHandle, holder: LockHolder): Promise<void> {
    try {
      await file.writeFile(JSON.stringify(holder));
    } catch (cause) {
      // It may belong to another process by now.
      const seen = await this.#read(path).catch(() => undefined);
      if (seen !== undefined && (seen.holder === undefined || seen.holder.nonce === holder.nonce)) {
        await this.#remove(path).catch(() => {});
      }
      throw cause;
    } finally {
      await file.close();
    }
  }

  /** Replaces the stale lock `seen` by ours; false if another process did, or is about to. */
  async #takeOver(
    temporary: string,
    path: string,
    seen: SeenLock,
    holder: LockHolder,
    deadlineMs: number,
  ): Promise<boolean> {
    const { disk, clock } = this.#options;
    const claim = claimPath(path, seen);
    const claimed = await this.#acquire(claim, deadlineMs, always);
    if (claimed === undefined) return false;
    try {
      const now = await this.#read(path);
      if (now === undefined || now.text !== seen.text) return false;
      if ((await this.#lossOf(claim, claimed)) !== undefined) return false;
      await disk.rename(temporary, path).catch(async (cause: unknown) => {
        if (!(await this.#isOurs(path, holder))) throw cause;
      });
    } finally {
      await this.#release(claim, claimed);
    }
    // A process that wrote into the empty lock at that moment believes that it holds it, until it calls `confirm`.
    if (seen.holder === undefined) await clock.sleep(UNREADABLE_MS);
    if ((await this.#lossOf(path, holder.nonce)) === undefined) return true;
    await this.#make(temporary, holder);
    return false;
  }

  async #isStale(path: string, { holder, text }: SeenLock): Promise<boolean> {
    const own = await this.#identityOf();
    if (holder !== undefined) return isGone(this.#options.disk, holder, own, () => this.#dateOf(path));
    // Without links a lock is briefly empty; one that stays unreadable is left from a power cut.
    await this.#options.clock.sleep(UNREADABLE_MS);
    return (await this.#read(path))?.text === text;
  }

  /** The folder may disappear and return at any moment: the lock counts as left until it was seen to be gone. */
  #release(path: string, nonce: string): Promise<void> {
    const releasing =
      this.#releasing.get(nonce) ?? this.#giveBack(path, nonce).finally(() => this.#releasing.delete(nonce));
    this.#releasing.set(nonce, releasing);
    return releasing;
  }

  async #giveBack(path: string, nonce: string): Promise<void> {
    this.#left.set(nonce, path);
    const seen = await this.#read(path);
    if (seen === undefined) return;
    // The lock may have been broken by hand meanwhile, and be held by another process.
    if (seen.holder?.nonce !== nonce || (await this.#remove(path))) this.#left.delete(nonce);
  }

  async #read(path: string): Promise<SeenLock | undefined> {
    try {
      // Whatever lies there must not fill memory. A text that is cut names no holder.
      const read = (size: number) => [{ offset: 0, length: Math.min(size, MAX_LOCK_BYTES) }];
      const text = Buffer.concat((await readRanges(this.#options.disk, path, read)).parts).toString("utf8");
      return { text, holder: parseHolder(text) };
    } catch (cause) {
      if (failedWith(cause, "ENOENT")) return undefined;
      throw cause;
    }
  }

  /** The current lock's date; undefined if there is none. A lock made after the one seen is younger. */
  async #dateOf(path: string): Promise<number | undefined> {
    return unless("ENOENT", async () => (await this.#options.disk.stat(path)).mtimeMs);
  }

  /** Whether there was something to remove. */
  async #remove(path: string): Promise<boolean> {
    const unlink = () => this.#options.disk.unlink(path).then(() => true);
    return unless("ENOENT", unlink, false);
  }

  #identityOf(): Promise<ProcessIdentity> {
    this.#identity ??= readOwnIdentity(this.#options.disk);
    return this.#identity;
  }

  async #self(): Promise<LockHolder> {
    const { clock, random } = this.#options;
    const nonce = Buffer.from(random.bytes(12)).toString("hex");
    const created = timeText(clock.nowNs());
    return { ...(await this.#identityOf()), nonce, created };
  }
}

type Wanted = () => Promise<boolean>;
/** Throws if another process holds the lock by now. */
export type Confirm = () => Promise<void>;
const always: Wanted = async () => true;

/** Short: the lock is held for moments. */
const pauseMs = (tries: number) => Math.min(2 ** tries, 16);
const UNREADABLE_MS = 1_000;
/** Much more than a holder's text has. */
const MAX_LOCK_BYTES = 64 * 1024;
const CLAIM_PREFIX = "lock-takeover-";
interface SeenLock {
  readonly text: string;
  /** Undefined if the text names no holder. */
  readonly holder: LockHolder | undefined;
}

/** The second lock, for replacing exactly this lock. An unreadable claim must not be its own claim. */
function claimPath(path: string, { holder }: SeenLock): string {
  const unreadable = basename(path).startsWith(CLAIM_PREFIX) ? `${basename(path)}-unreadable` : undefined;
  return join(
    dirname(path),
    holder === undefined && unreadable !== undefined ? unreadable : `${CLAIM_PREFIX}${holder?.nonce ?? "unreadable"}`,
  );
}
