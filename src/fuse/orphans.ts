/** Inodes that have lost their last name. They stay until the kernel has forgotten them. */
import type { Ino } from "../base/ids.ts";
import { describeError, type Log } from "../base/log.ts";
import type { FileSystem } from "../vfs/filesystem.ts";
import type { Session } from "./addon.ts";

export class Orphans {
  readonly #session: Session;
  readonly #fs: FileSystem;
  readonly #log: Log;
  readonly #inodes = new Set<Ino>();
  /** The kernel has yet to be asked whether it knows these. */
  readonly #unasked = new Set<Ino>();

  constructor(session: Session, fs: FileSystem, log: Log) {
    this.#session = session;
    this.#fs = fs;
    this.#log = log;
  }

  get all(): Ino[] {
    return [...this.#inodes];
  }

  /**
   * `isKnown`: the kernel knows the inode, and will report when it forgets it. Otherwise the kernel is asked: now if
   * `mayAsk`, else by `ask`, since the answer to a repeated request may yet tell the kernel of the inode.
   */
  add(ino: Ino, isKnown: boolean, mayAsk: boolean): void {
    this.#inodes.add(ino);
    this.#session.watch(ino, isKnown || !mayAsk ? 0 : 1);
    if (!isKnown && !mayAsk) this.#unasked.add(ino);
  }

  /**
   * An answer tells the kernel of this inode. The kernel must not be asked then: it makes the inode only when the program's
   * thread has woken (fuse_create_open in fs/fuse/dir.c), and would deny that it knows it.
   */
  told(ino: Ino): void {
    this.#unasked.delete(ino);
  }

  /** Asks the kernel about those that it has not been asked about. */
  ask(): void {
    for (const ino of this.#unasked) if (this.#inodes.has(ino)) this.#session.watch(ino, 1);
    this.#unasked.clear();
  }

  /** The kernel has forgotten these. */
  forget(inodes: readonly Ino[]): void {
    try {
      for (const ino of inodes) {
        this.#inodes.delete(ino);
        this.#fs.forget(ino);
      }
      this.#fs.persist();
    } catch (error) {
      // They stay until the next mount.
      this.#log.warn("removed files could not be cleaned up", { error: describeError(error) });
    }
  }
}
