/**
 * What the holders of locks saw. While a lock of a file lasts, the file stays as it is here, whatever others change: what is
 * put then is merged with that, as a change of what the holder saw.
 */
import type { FileName, Ino } from "../../base/ids.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { Access } from "../../files/access.ts";
import { isFile, lookUpPath } from "../../files/resolved-path.ts";
import type { Lock, Locks } from "./locks.ts";

export class LockedVersions {
  readonly #access: Access;
  readonly #locks: Locks;
  readonly #log: Log;
  /** The file that each lock holds, by the lock's token. */
  readonly #inos = new Map<string, Ino>();

  constructor(access: Access, locks: Locks, log: Log) {
    this.#access = access;
    this.#locks = locks;
    this.#log = log;
    locks.ended = (lock) => this.#ended(lock);
  }

  /**
   * At the door's opening: holds the files of earlier locks. A lock ends if others have changed its file: what its holder saw
   * is not here any more. Never rejects.
   */
  async begin(): Promise<void> {
    for (const lock of this.#locks.all) {
      const { path } = lock;
      try {
        await this.#access.run((fs) => {
          const found = lookUpPath(fs, path, "follow")?.attributes;
          if (found === undefined || !isFile(found)) return;
          if (fs.holdVersion(found.ino)) return this.follow(path, found.ino);
          this.#release(found.ino);
          this.#locks.release(lock);
        });
      } catch (error) {
        this.#log.warn("what others change in a locked file may be lost", { error: describeError(error) });
      }
    }
  }

  /** The path leads to this file now, so its locks hold that. Throws BlockMiss, not if the file has unpublished changes. */
  follow(path: readonly FileName[], ino: Ino): void {
    for (const { token } of this.#locks.on(path)) {
      const before = this.#inos.get(token);
      if (before === ino) continue;
      this.#access.fs.holdVersion(ino);
      this.#inos.set(token, ino);
      if (before !== undefined) this.#release(before);
    }
  }

  #ended({ token }: Lock): void {
    const ino = this.#inos.get(token);
    this.#inos.delete(token);
    if (ino !== undefined) this.#release(ino);
  }

  #release(ino: Ino): void {
    // The filesystem is about to be closed.
    if (this.#access.open.isClosed) return;
    for (const other of this.#inos.values()) if (other === ino) return;
    this.#access.fs.releaseVersion(ino);
  }
}
