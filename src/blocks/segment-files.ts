/**
 * Open segment files of a disk cache, for reading. A few stay open while they are used: a segment that another thread
 * removed is no longer read, and its descriptor must be closed too.
 */
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { SEGMENT_UNUSED_MS } from "../base/limits.ts";

export class SegmentFiles {
  readonly #dir: string;
  readonly #clock: Pick<Clock, "after"> | undefined;
  /** Least recently used first. */
  readonly #open = new Map<string, Promise<FileHandle>>();
  /** Descriptors of those that are open by now. */
  readonly #descriptors = new Map<string, number>();
  /** Files read since the timer was set. */
  readonly #read = new Set<string>();
  #timer: Disposable | undefined;

  /** Without a clock, files stay open until others replace them. */
  constructor(dir: string, clock?: Pick<Clock, "after">) {
    this.#dir = dir;
    this.#clock = clock;
  }

  /** Fills `target` from `offset` on; returns the bytes read: fewer at the end of the file. Throws the system's errors. */
  async read(name: string, offset: number, target: Uint8Array): Promise<number> {
    const handle = await this.#file(name);
    return (await handle.read(target, 0, target.length, offset)).bytesRead;
  }

  /** A file's descriptor, to be used at once. Undefined: it is not open yet; it will be soon. */
  descriptorOf(name: string): number | undefined {
    // What is wrong with it is reported by those who read it.
    void this.#file(name).catch(() => {});
    return this.#descriptors.get(name);
  }

  /** Closes a file, after ongoing reads. */
  forget(name: string): void {
    const file = this.#open.get(name);
    this.#open.delete(name);
    this.#descriptors.delete(name);
    if (file !== undefined) void closeQuietly(file);
  }

  async close(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    const files = [...this.#open.values()];
    this.#open.clear();
    this.#descriptors.clear();
    await Promise.all(files.map(closeQuietly));
  }

  #file(name: string): Promise<FileHandle> {
    const known = this.#open.get(name);
    const file = known ?? open(join(this.#dir, name), "r");
    this.#open.delete(name);
    this.#open.set(name, file);
    this.#read.add(name);
    this.#timer ??= this.#clock?.after(SEGMENT_UNUSED_MS, () => this.#closeUnread());
    if (known === undefined) this.#noteOpened(name, file);
    const [oldest] = this.#open.keys();
    if (this.#open.size > MAX_OPEN && oldest !== undefined) this.forget(oldest);
    return file;
  }

  #noteOpened(name: string, file: Promise<FileHandle>): void {
    const isKept = () => this.#open.get(name) === file;
    file.then(
      ({ fd }) => isKept() && this.#descriptors.set(name, fd),
      () => isKept() && this.#open.delete(name),
    );
  }

  #closeUnread(): void {
    for (const name of this.#open.keys()) if (!this.#read.has(name)) this.forget(name);
    this.#read.clear();
    this.#timer = this.#open.size === 0 ? undefined : this.#clock?.after(SEGMENT_UNUSED_MS, () => this.#closeUnread());
  }
}

const MAX_OPEN = 64;

/** For a file that was only read, a failure to close does not matter. */
async function closeQuietly(file: Promise<FileHandle>): Promise<void> {
  await file.then((handle) => handle.close()).catch(() => {});
}
