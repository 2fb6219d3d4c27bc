/**
 * Tells the kernel what others changed. While a call on an inode waits for blocks, the kernel holds locks that such a
 * message needs. A message sent then would hang in the kernel, with the locks that it has got, and delay the exit of a
 * killed agent. So it is held until the call is answered (native/notifier.h).
 */
import { constants } from "node:fs";
import { type FileName, type Ino, ROOT_INO } from "../base/ids.ts";
import { describeError } from "../base/log.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import type { FileSystem, Invalidations, Listing } from "../vfs/filesystem.ts";
import type { Session } from "./addon.ts";
import type { OpenFiles } from "./open-files.ts";
import type { ChosenOptions } from "./options.ts";
import { MINOR_WITH_EPOCH, MINOR_WITH_EXPIRY } from "./protocol.ts";
import { type Used, usedBelow } from "./used-inside.ts";

export interface InvalidatorOptions extends Pick<ChosenOptions, "clock" | "log"> {
  /** What other mounts use of this one. */
  used(): Promise<Used | undefined>;
}

export class Invalidator implements Disposable {
  readonly #session: Session;
  readonly #openFiles: OpenFiles;
  readonly #fs: FileSystem;
  readonly #options: InvalidatorOptions;
  readonly #closed = new AbortController();
  /** Whether everything changed and some inodes have yet to be dropped. */
  #isStale = false;
  #isDropping = false;
  /** Whether everything changed, and the kernel must still be told of some names. */
  #isRenamed = false;
  #isTelling = false;
  /** The kernel's minor protocol version. */
  minor = 0;

  constructor(session: Session, openFiles: OpenFiles, fs: FileSystem, options: InvalidatorOptions) {
    this.#session = session;
    this.#openFiles = openFiles;
    this.#fs = fs;
    this.#options = options;
  }

  /** Stops dropping inodes. */
  [Symbol.dispose](): void {
    this.#closed.abort();
  }

  invalidate(changes: Invalidations): void {
    if (changes.all) {
      this.#invalidateAll();
      return;
    }
    const inodes = new Set(changes.inodes);
    for (const { parent, name, removed } of changes.entries) {
      this.#entry(parent, name, removed);
      // The kernel caches listings of directories; a new name is in none of its dentries.
      inodes.add(parent);
    }
    for (const ino of inodes) this.#inode(ino);
  }

  /** A call on these inodes starts to wait. Calling the result ends that. */
  hold(inodes: readonly Ino[]): () => void {
    for (const ino of inodes) this.#session.holdMessages(ino);
    return () => {
      for (const ino of inodes) this.#session.releaseMessages(ino);
    };
  }

  #entry(parent: Ino, name: FileName, removed: Ino | undefined): void {
    const isOpen = removed !== undefined && this.#openFiles.has(removed);
    this.#session.invalidateEntry(parent, name, removed ?? 0, isOpen ? 1 : 0);
  }

  #inode(ino: Ino): void {
    this.#session.invalidateInode(ino);
  }

  /**
   * Names are looked up again, with fresh attributes. Pages are dropped now for files known to be open, at an open for others,
   * and soon for all: nobody counts open directories, nor what an earlier agent opened.
   */
  #invalidateAll(): void {
    for (const ino of this.#openFiles.distrust()) this.#inode(ino);
    this.#inode(ROOT_INO);
    void this.#dropAll();
    void this.#invalidateNames();
  }

  /** If everything changes again meanwhile, starts over. */
  async #invalidateNames(): Promise<void> {
    this.#isRenamed = true;
    if (this.#isTelling) return;
    this.#isTelling = true;
    while (this.#isRenamed) {
      this.#isRenamed = false;
      await this.#invalidateNamesOnce();
    }
    this.#isTelling = false;
  }

  async #invalidateNamesOnce(): Promise<void> {
    try {
      const used = await this.#options.used().catch(() => undefined);
      this.#closed.signal.throwIfAborted();
      if (used === undefined && this.minor >= MINOR_WITH_EPOCH) this.#session.incrementEpoch();
      else await this.#invalidateBeneath(ROOT_INO, used ?? NOTHING_USED);
    } catch (error) {
      if (!this.#closed.signal.aborted)
        this.#options.log.warn("old names stay cached until they expire", { error: describeError(error) });
    }
  }

  /**
   * Dropping a directory's name drops everything cached below it. Names that other mounts use are looked up again instead, one
   * by one. A directory that cannot be listed is left out.
   */
  async #invalidateBeneath(top: Ino, usedInTop: Used): Promise<void> {
    const open = [{ ino: () => top, used: usedInTop }];
    let told = 0;
    for (let at = open.shift(); at !== undefined; at = open.shift()) {
      const { ino, used } = at;
      try {
        const directory = await this.#loaded(ino);
        for (const name of this.#fs.unlistedNames ?? []) this.#entry(directory, name, undefined);
        for (let cookie: number | undefined = 0; cookie !== undefined;) {
          const listing: Listing = await this.#loaded(() => this.#fs.list(directory, cookie ?? 0, DROP_PORTION));
          cookie = listing.next;
          for (const { name, attributes } of listing.entries) {
            const inner = this.minor < MINOR_WITH_EXPIRY ? undefined : usedBelow(used, name);
            if (inner === undefined) this.#entry(directory, name, undefined);
            else this.#session.expireEntry(directory, name);
            if (inner !== undefined && isDirectory(attributes.mode))
              open.push({ ino: () => attributes.ino, used: inner });
            if (++told % DROP_PORTION === 0) await this.#options.clock.sleep(DROP_PAUSE_MS, this.#closed.signal);
          }
        }
      } catch (error) {
        this.#closed.signal.throwIfAborted();
        this.#options.log.warn("old names stay cached until they expire", { error: describeError(error) });
      }
    }
  }

  /** The result of `work`, after waiting for blocks if necessary. */
  async #loaded<Result>(work: () => Result): Promise<Result> {
    for (;;) {
      try {
        return work();
      } catch (error) {
        if (!(error instanceof BlockMiss)) throw error;
        await this.#fs.load(error.cids);
      }
    }
  }

  /** Drops the pages and listings of all inodes that programs may have open. If everything changes again, starts over. */
  async #dropAll(): Promise<void> {
    this.#isStale = true;
    if (this.#isDropping) return;
    this.#isDropping = true;
    try {
      while (this.#isStale) {
        this.#isStale = false;
        await this.#dropOnce();
      }
      this.#openFiles.trust();
    } catch (error) {
      if (!this.#closed.signal.aborted)
        this.#options.log.warn("programs may see old contents of open files", { error: describeError(error) });
    }
    this.#isDropping = false;
  }

  /** Serves requests between portions, since there may be a million inodes. */
  async #dropOnce(): Promise<void> {
    let left = 0;
    for (const ino of this.#fs.knownInodes()) {
      if (left === 0) {
        await this.#options.clock.sleep(DROP_PAUSE_MS, this.#closed.signal);
        left = DROP_PORTION;
      }
      left--;
      if (!this.#openFiles.isRevalidated(ino)) this.#inode(ino);
    }
  }
}

const NOTHING_USED: Used = { isLayer: false, names: new Map() };

function isDirectory(mode: number): boolean {
  return (mode & constants.S_IFMT) === constants.S_IFDIR;
}

/** Inodes or names dropped at a time, and the time between. A portion takes about 0.2 ms, so a million inodes take 20 s. */
const DROP_PORTION = 256;
const DROP_PAUSE_MS = 5;
