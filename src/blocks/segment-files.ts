/** Open files of a disk cache's segments, for reading. A few stay open; which one is gone reads as nothing. */
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";

export class SegmentFiles {
  readonly #dir: string;
  /** Least recently used first. */
  readonly #open = new Map<string, Promise<FileHandle>>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Fills `target` from `offset` on; how far: less where the file ends. Throws the system's errors, ENOENT for a file that is gone. */
  async read(name: string, offset: number, target: Uint8Array): Promise<number> {
    const handle = await this.#file(name);
    return (await handle.read(target, 0, target.length, offset)).bytesRead;
  }

  /** Closes a file; reads under way end first. */
  forget(name: string): void {
    const file = this.#open.get(name);
    this.#open.delete(name);
    if (file !== undefined) void closeQuietly(file);
  }

  async close(): Promise<void> {
    const files = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(files.map(closeQuietly));
  }

  #file(name: string): Promise<FileHandle> {
    const file = this.#open.get(name) ?? open(join(this.#dir, name), "r");
    this.#open.delete(name);
    this.#open.set(name, file);
    file.catch(() => this.#open.delete(name));
    const [oldest] = this.#open.keys();
    if (this.#open.size > MAX_OPEN && oldest !== undefined) this.forget(oldest);
    return file;
  }
}

const MAX_OPEN = 64;

/** A file that is only read cannot fail to close in a way that matters. */
async function closeQuietly(file: Promise<FileHandle>): Promise<void> {
  await file.then((handle) => handle.close()).catch(() => {});
}
