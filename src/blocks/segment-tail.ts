/**
 * A segment's file while blocks are appended. It stays open only while they arrive: another thread may remove the segment,
 * and its descriptor must be closed too.
 */
import { type FileHandle, open } from "node:fs/promises";
import type { Clock } from "../base/clock.ts";
import { SynclineError } from "../base/errors.ts";
import { SEGMENT_UNUSED_MS } from "../base/limits.ts";
import { writeParts } from "../objects/disk.ts";

export class SegmentTail {
  readonly #path: string;
  readonly #clock: Pick<Clock, "after"> | undefined;
  #handle: FileHandle | undefined;
  #timer: Disposable | undefined;
  #isClosed = false;

  /** Makes the file. Without a clock it stays open until `close`. Throws the system's errors. */
  static async create(path: string, clock?: Pick<Clock, "after">): Promise<SegmentTail> {
    return new SegmentTail(path, await open(path, "wx", 0o600), clock);
  }

  private constructor(path: string, handle: FileHandle, clock?: Pick<Clock, "after">) {
    this.#path = path;
    this.#handle = handle;
    this.#clock = clock;
  }

  /** Throws the system's errors, ENOENT when another thread removed the file. */
  async write(offset: number, parts: readonly Uint8Array[]): Promise<void> {
    if (this.#isClosed) throw new SynclineError("internal", "A closed segment cannot be written.");
    this.#timer?.[Symbol.dispose]();
    try {
      this.#handle ??= await open(this.#path, "r+");
      await writeParts(this.#handle, offset, parts);
    } finally {
      if (this.#isClosed) await this.#closeFile();
      else this.#timer = this.#clock?.after(SEGMENT_UNUSED_MS, () => void this.#closeFile());
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#closeFile();
  }

  async #closeFile(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    // Blocks that did not reach the disk are later cache misses.
    await handle?.close().catch(() => {});
  }
}
