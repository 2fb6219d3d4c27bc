/**
 * Tells the kernel what others changed. While a call on an inode waits for blocks, the kernel holds locks that such a
 * message needs. A message sent then would hang in the kernel and delay the exit of a killed agent, so it is held until the
 * call is answered.
 */
import { type FileName, type Ino, ROOT_INO } from "../base/ids.ts";
import { describeError, type Log } from "../base/log.ts";
import type { Invalidations } from "../vfs/filesystem.ts";
import type { Session } from "./addon.ts";
import type { OpenFiles } from "./open-files.ts";
import { MINOR_WITH_EPOCH } from "./protocol.ts";

export class Invalidator {
  readonly #session: Session;
  readonly #openFiles: OpenFiles;
  readonly #listRoot: () => Promise<FileName[]>;
  readonly #log: Log;
  /** Inodes with waiting calls: how many, and the messages to send after them. */
  readonly #held = new Map<Ino, { calls: number; after: (() => void)[] }>();
  /** The kernel's minor protocol version. */
  minor = 0;

  constructor(session: Session, openFiles: OpenFiles, listRoot: () => Promise<FileName[]>, log: Log) {
    this.#log = log;
    this.#session = session;
    this.#openFiles = openFiles;
    this.#listRoot = listRoot;
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
    for (const ino of inodes) {
      const held = this.#held.get(ino) ?? { calls: 0, after: [] };
      held.calls++;
      this.#held.set(ino, held);
    }
    return () => {
      for (const ino of inodes) this.#release(ino);
    };
  }

  #release(ino: Ino): void {
    const held = this.#held.get(ino);
    if (held === undefined || --held.calls > 0) return;
    this.#held.delete(ino);
    for (const send of held.after) send();
  }

  #when(ino: Ino, send: () => void): void {
    const held = this.#held.get(ino);
    if (held === undefined) send();
    else held.after.push(send);
  }

  #entry(parent: Ino, name: FileName, removed: Ino | undefined): void {
    this.#when(parent, () => this.#session.invalidateEntry(parent, name, removed ?? 0));
  }

  #inode(ino: Ino): void {
    this.#when(ino, () => this.#session.invalidateInode(ino));
  }

  /** Names are looked up again, with fresh attributes. Pages are dropped now for open files, at an open for others. */
  #invalidateAll(): void {
    for (const ino of this.#openFiles.distrust()) this.#inode(ino);
    this.#inode(ROOT_INO);
    if (this.minor >= MINOR_WITH_EPOCH) {
      this.#session.incrementEpoch();
      return;
    }
    void this.#invalidateBeneathRoot();
  }

  /** Older kernels: dropping a directory's name drops everything cached below it. */
  async #invalidateBeneathRoot(): Promise<void> {
    try {
      for (const name of await this.#listRoot()) this.#entry(ROOT_INO, name, undefined);
    } catch (error) {
      this.#log.warn("old names stay cached until they expire", { error: describeError(error) });
    }
  }
}
