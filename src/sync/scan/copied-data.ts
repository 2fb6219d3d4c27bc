/** The bytes of files that `put` copies, with the attributes that belong to them. Small ones are read many at a time. */
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Ino } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import { escapeForPrint } from "../../base/names.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { Stretch } from "../../content/chunker.ts";
import { stretchLength } from "../../content/write.ts";
import type { DataReader, SeenFile } from "../../fstree/change-set.ts";
import type { DiskPath, DiskStat, SyncDisk } from "../disk/disk.ts";
import { pathText } from "../disk/paths.ts";
import { ReadAhead } from "./read-ahead.ts";
import { SteadyFile } from "./steady-file.ts";
import type { Found } from "./walk.ts";

export class CopiedData implements DataReader, AsyncDisposable {
  /** Files that were still changing when they were read for the last time. */
  readonly unsteady = new Map<Ino, DiskPath>();
  /** Files that were gone when they were to be read. */
  readonly vanished = new Map<Ino, Found>();
  readonly #disk: SyncDisk;
  readonly #sources: ReadonlyMap<Ino, Found>;
  readonly #wasRead: (bytes: number) => void;
  readonly #ahead: ReadAhead;
  readonly #files = new Map<Ino, SteadyFile>();
  /** Files that were read ahead after they had changed. */
  readonly #whole = new Map<Ino, DiskStat>();
  /** By how much files are longer than when they were found. */
  readonly #grown = new Map<Ino, number>();

  /** `wasRead` is called with the number of bytes read. */
  constructor(disk: SyncDisk, sources: ReadonlyMap<Ino, Found>, wasRead: (bytes: number) => void) {
    this.#disk = disk;
    this.#sources = sources;
    this.#wasRead = wasRead;
    this.#ahead = new ReadAhead(disk, sources);
  }

  /** By how many bytes the files are longer than they were when found. */
  get grown(): number {
    return [...this.#grown.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Throws `precondition_failed` if a file changed, and `local_io_failed` if it cannot be read. */
  async readData(ino: Ino, _epoch: number, offset: number, length: number, target?: Uint8Array): Promise<Stretch> {
    const source = this.#sourceOf(ino);
    const isWhole = offset === 0 && length === source.stat.size;
    const ahead = isWhole ? await this.#ahead.take(ino) : undefined;
    // A file that is longer by now is read only in part.
    const whole = ahead?.stat.size === length ? ahead : undefined;
    if (whole !== undefined) this.#whole.set(ino, whole.stat);
    const bytes = whole?.bytes ?? (await this.#read(ino, source, offset, length, target));
    this.#wasRead(stretchLength(bytes));
    return bytes;
  }

  async seen(ino: Ino, size: number): Promise<SeenFile | undefined> {
    const whole = this.#whole.get(ino);
    this.#whole.delete(ino);
    if (whole !== undefined) return { ...whole, again: false };
    const source = this.#sourceOf(ino);
    const file = this.#fileOf(ino, source);
    const seen = await reading(source.path, () => file.seen(size));
    if (seen?.again === true) return seen;
    if (file.isUnsteady) this.unsteady.set(ino, source.path);
    if (file.size !== source.stat.size) this.#grown.set(ino, file.size - source.stat.size);
    // Thousands of files must not stay open.
    await this.#close(ino);
    return seen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ahead[Symbol.asyncDispose]();
    for (const ino of Array.from(this.#files.keys())) await this.#close(ino);
  }

  async #read(ino: Ino, source: Found, ...range: Parameters<SteadyFile["read"]>): Promise<Stretch> {
    try {
      return await reading(source.path, () => this.#fileOf(ino, source).read(...range));
    } catch (error) {
      if (hasVanished(error)) this.vanished.set(ino, source);
      throw error;
    }
  }

  #sourceOf(ino: Ino): Found {
    const source = this.#sources.get(ino);
    if (source === undefined) throw new SynclineError("internal", `Inode ${ino} has no data.`);
    return source;
  }

  #fileOf(ino: Ino, { path, stat }: Found): SteadyFile {
    const known = this.#files.get(ino);
    if (known !== undefined) return known;
    const disk = this.#disk;
    const file = new SteadyFile(
      { name: pathText(path), open: () => disk.read(path), look: () => disk.look(path) },
      stat,
    );
    this.#files.set(ino, file);
    return file;
  }

  async #close(ino: Ino): Promise<void> {
    const file = this.#files.get(ino);
    this.#files.delete(ino);
    await file?.[Symbol.asyncDispose]();
  }
}

/** Whether `reading` failed because nothing is at the path any more. */
export function hasVanished(error: unknown): boolean {
  return hasCode(error, "local_io_failed") && failedWith(error.cause, "ENOENT", "ENOTDIR");
}

/** Turns the disk's errors into `local_io_failed` with the path. */
export async function reading<Result>(path: DiskPath, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    if (hasCode(cause, "precondition_failed")) throw cause;
    const name = path.length === 0 ? "The source" : escapeForPrint(pathText(path));
    throw new SynclineError("local_io_failed", `${name} cannot be read: ${describeError(cause)}.`, { cause });
  }
}
