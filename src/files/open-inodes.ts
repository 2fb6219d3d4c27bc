/** Inodes in use by requests: one that loses its last name stays until the last of them ends. */
import type { Ino } from "../base/ids.ts";
import { describeError, type Log } from "../base/log.ts";
import type { FileSystem } from "../vfs/filesystem.ts";

export class OpenInodes {
  readonly #fs: FileSystem;
  readonly #log: Log;
  readonly #users = new Map<Ino, number>();
  readonly #orphans = new Set<Ino>();
  #isClosed = false;
  #sweepsSoon = false;

  constructor(fs: FileSystem, log: Log) {
    this.#fs = fs;
    this.#log = log;
    fs.watchOrphans((ino) => this.#orphaned(ino));
    this.sweep();
  }

  /** The door is closed: its requests may change nothing more. Orphans stay until the next opening. */
  close(): void {
    this.#isClosed = true;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Keeps the inode until the returned handle is disposed. */
  hold(ino: Ino): Disposable {
    this.#users.set(ino, (this.#users.get(ino) ?? 0) + 1);
    return { [Symbol.dispose]: () => this.#release(ino) };
  }

  /** Releases inodes with no name and no user. Never call this from within a filesystem call. */
  sweep(): void {
    for (const ino of this.#orphans) {
      if (this.#users.has(ino)) continue;
      this.#orphans.delete(ino);
      this.#fs.forget(ino);
    }
  }

  /** Another door may have removed it, so no request may come after which to sweep. */
  #orphaned(ino: Ino): void {
    this.#orphans.add(ino);
    if (this.#sweepsSoon || this.#users.has(ino)) return;
    this.#sweepsSoon = true;
    queueMicrotask(() => {
      this.#sweepsSoon = false;
      if (!this.#isClosed && this.#orphans.size > 0) this.#sweepNow();
    });
  }

  #release(ino: Ino): void {
    const users = (this.#users.get(ino) ?? 1) - 1;
    if (users > 0) this.#users.set(ino, users);
    else this.#users.delete(ino);
    if (users <= 0 && !this.#isClosed && this.#orphans.has(ino)) this.#sweepNow();
  }

  #sweepNow(): void {
    try {
      this.sweep();
      this.#fs.persist();
    } catch (error) {
      // They stay as orphans until the next start.
      this.#log.warn("removed files could not be cleaned up", { error: describeError(error) });
    }
  }
}
