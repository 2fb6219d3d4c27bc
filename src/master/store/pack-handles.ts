/** Packs open for reading, of all owners: a few stay open, and the least recently used is closed first. */
import type { PackDisk, PackFile } from "./pack-disk.ts";
import { openForReading } from "./pack-path.ts";

export class PackHandles {
  readonly #disk: PackDisk;
  /** Least recently used first. Undefined: the pack is gone. */
  readonly #open = new Map<string, Promise<PackFile | undefined>>();
  /** Ongoing reads, and whether to close the file after them. */
  readonly #uses = new Map<Promise<PackFile | undefined>, { count: number; close: boolean }>();

  constructor(disk: PackDisk) {
    this.#disk = disk;
  }

  /** Runs `work` with a pack; undefined if it is gone. Throws the system's errors. */
  async use<Result>(
    folder: string,
    name: string,
    work: (pack: PackFile) => Promise<Result>,
  ): Promise<Result | undefined> {
    const file = this.#file(folder, name);
    const use = this.#uses.get(file) ?? { count: 0, close: false };
    this.#uses.set(file, use);
    use.count++;
    try {
      const pack = await file;
      if (pack !== undefined) return await work(pack);
      this.#forget(`${folder}\0${name}`, file);
      return undefined;
    } catch (error) {
      this.#forget(`${folder}\0${name}`, file);
      throw error;
    } finally {
      use.count--;
      if (use.count === 0) this.#uses.delete(file);
      if (use.count === 0 && use.close) await closeQuietly(file);
    }
  }

  /** Closes a pack's file after ongoing reads: a removed file occupies space until then. */
  drop(folder: string, name: string): void {
    const key = `${folder}\0${name}`;
    const file = this.#open.get(key);
    if (file !== undefined) this.#forget(key, file);
  }

  async close(): Promise<void> {
    const files = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(files.map(closeQuietly));
  }

  #file(folder: string, name: string): Promise<PackFile | undefined> {
    const key = `${folder}\0${name}`;
    const file = this.#open.get(key) ?? openForReading(this.#disk, folder, name);
    this.#open.delete(key);
    this.#open.set(key, file);
    const [oldest] = this.#open;
    if (this.#open.size > MAX_OPEN && oldest !== undefined) this.#forget(...oldest);
    return file;
  }

  #forget(key: string, file: Promise<PackFile | undefined>): void {
    if (this.#open.get(key) !== file) return;
    this.#open.delete(key);
    const use = this.#uses.get(file);
    if (use === undefined) void closeQuietly(file);
    else use.close = true;
  }
}

const MAX_OPEN = 64;

/** For a file that was only read, a failure to close does not matter. */
async function closeQuietly(file: Promise<PackFile | undefined>): Promise<void> {
  await file.then((pack) => pack?.close()).catch(() => {});
}
