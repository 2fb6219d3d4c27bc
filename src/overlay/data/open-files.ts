/** Open data files, up to a bound. The least recently used is closed first; none is closed while it is being synced. */
import { nextTurn } from "../../base/concurrency.ts";
import { SynclineError } from "../../base/errors.ts";
import { SharedRun } from "../../base/shared-run.ts";
import { goneDataFile } from "../disk/storage-error.ts";
import type { OverlayStorage, StoredFile } from "../disk/storage.ts";
import type { Span } from "./unsynced-files.ts";

interface OpenFile {
  readonly file: StoredFile;
  readonly sync: SharedRun;
}

export class OpenDataFiles {
  readonly #storage: OverlayStorage;
  readonly #capacity: number;
  readonly #open = new Map<string, OpenFile>();

  constructor(storage: OverlayStorage, capacity: number) {
    this.#storage = storage;
    this.#capacity = capacity;
  }

  /** The file, created if missing. Use it at once: the next call may close it. */
  file(name: string): StoredFile {
    return this.#file(name, true);
  }

  /** As `file`, for one that was made before. Throws `store_failed` if it is gone. */
  existing(name: string): StoredFile {
    return this.#file(name, false);
  }

  #file(name: string, create: boolean): StoredFile {
    const known = this.#known(name);
    if (known !== undefined) return known.file;
    const file = this.#storage.openFile("data", name, create);
    if (file === undefined) throw goneDataFile(name);
    if (this.#open.size >= this.#capacity) this.#closeOldest();
    this.#open.set(name, { file, sync: new SharedRun(() => file.sync()) });
    return file;
  }

  /**
   * Makes the file's bytes survive power loss; false if it no longer exists. Concurrent callers share the syncs of an open file. A
   * file that was not open is closed again afterwards: it may be about to be removed, and would then stay open.
   */
  async sync(name: string): Promise<boolean> {
    const known = this.#known(name);
    if (known !== undefined) {
      await known.sync.run();
      return true;
    }
    const file = this.#storage.openFile("data", name, false);
    try {
      await file?.sync();
      return file !== undefined;
    } finally {
      file?.close();
    }
  }

  /** Makes the file's bytes survive power loss before it returns. */
  syncNow(name: string): void {
    const known = this.#known(name);
    const file = known?.file ?? this.#storage.openFile("data", name, false);
    try {
      file?.syncNow();
    } finally {
      if (known === undefined) file?.close();
    }
  }

  /**
   * Writes these bytes of the file again, if it still exists. After a failed sync the system may keep them in memory only, as
   * written: no later sync would write them. Throws `store_failed` if they are too many.
   */
  async rewrite(name: string, { from, to }: Span): Promise<void> {
    const file = this.#storage.openFile("data", name, false);
    try {
      const end = Math.min(to, file?.size() ?? 0);
      if (end - from > MAX_REWRITTEN_BYTES) throw notDurable(name);
      const buffer = new Uint8Array(Math.max(0, Math.min(REWRITE_BYTES, end - from)));
      for (let at = from, count = 1; at < end && count > 0; at += count) {
        // Both at once: no write comes between.
        count = file?.read(at, buffer.subarray(0, end - at)) ?? 0;
        file?.write(at, buffer.subarray(0, count));
        await nextTurn();
      }
    } finally {
      file?.close();
    }
  }

  /** The file will not be used again. */
  forget(name: string): void {
    const opened = this.#open.get(name);
    this.#open.delete(name);
    if (opened !== undefined) closeWhenIdle(opened);
  }

  close(): void {
    for (const opened of this.#open.values()) closeWhenIdle(opened);
    this.#open.clear();
  }

  /** The file if it is open, marked as most recently used. */
  #known(name: string): OpenFile | undefined {
    const known = this.#open.get(name);
    if (known === undefined) return undefined;
    this.#open.delete(name);
    this.#open.set(name, known);
    return known;
  }

  #closeOldest(): void {
    for (const [name, { file, sync }] of this.#open) {
      if (sync.active) continue;
      file.close();
      this.#open.delete(name);
      return;
    }
  }
}

const REWRITE_BYTES = 1024 * 1024;
/** Longer spans are mostly holes, which would get full. */
const MAX_REWRITTEN_BYTES = 1024 * 1024 * 1024;

function notDurable(name: string): SynclineError {
  return new SynclineError("store_failed", `Could not sync the overlay's file ${name} to disk.`, {
    hint: "Check the disk under the state folder. Written data is safe once published: run `syncline flush`.",
  });
}

function closeWhenIdle({ file, sync }: OpenFile): void {
  if (!sync.active) file.close();
  else
    sync.idle().then(
      () => file.close(),
      () => file.close(),
    );
}
