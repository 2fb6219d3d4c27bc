/**
 * The bytes of files that `put` copies, as they are when read; a file that grows is copied up to its earlier size. Small
 * files are read many at a time, as in folder sync.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Ino } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import { escapeForPrint } from "../../base/names.ts";
import type { DataReader } from "../../fstree/change-set.ts";
import type { DiskFile, DiskPath, SyncDisk } from "../disk/disk.ts";
import { pathText } from "../disk/paths.ts";
import { ReadAhead } from "./read-ahead.ts";
import type { Found } from "./walk.ts";

export class CopiedData implements DataReader, AsyncDisposable {
  readonly #disk: SyncDisk;
  readonly #sources: ReadonlyMap<Ino, Found>;
  readonly #wasRead: (bytes: number) => void;
  readonly #ahead: ReadAhead;
  readonly #open = new Map<Ino, Promise<DiskFile>>();

  /** `wasRead` is called with the number of bytes read. */
  constructor(disk: SyncDisk, sources: ReadonlyMap<Ino, Found>, wasRead: (bytes: number) => void) {
    this.#disk = disk;
    this.#sources = sources;
    this.#wasRead = wasRead;
    this.#ahead = new ReadAhead(disk, sources);
  }

  /** Throws `precondition_failed` if a file became shorter, and `local_io_failed` if it cannot be read. */
  async readData(ino: Ino, _epoch: number, offset: number, length: number): Promise<Uint8Array> {
    const source = this.#sources.get(ino);
    if (source === undefined) throw new SynclineError("internal", `Inode ${ino} has no data.`);
    const isWhole = offset === 0 && length === source.stat.size;
    const whole = isWhole ? await this.#ahead.take(ino) : undefined;
    const bytes = whole?.bytes ?? (await this.#read(ino, source, offset, length));
    this.#wasRead(length);
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ahead[Symbol.asyncDispose]();
    for (const ino of Array.from(this.#open.keys())) await this.#close(ino);
  }

  async #read(ino: Ino, { path, stat }: Found, offset: number, length: number): Promise<Uint8Array> {
    const bytes = await reading(path, async () => {
      const opening = this.#open.get(ino) ?? this.#disk.read(path);
      this.#open.set(ino, opening);
      return (await opening).read(offset, length);
    });
    if (bytes.length !== length) {
      const name = escapeForPrint(pathText(path));
      throw new SynclineError("precondition_failed", `${name} shrank while it was being read.`, {
        hint: "Put it again once no program writes to it.",
      });
    }
    // Thousands of files must not stay open.
    if (offset + length === stat.size) await this.#close(ino);
    return bytes;
  }

  async #close(ino: Ino): Promise<void> {
    const opened = this.#open.get(ino);
    this.#open.delete(ino);
    // A failed open was already reported to the reader.
    await (await opened?.catch(() => undefined))?.close();
  }
}

/** Turns the disk's errors into `local_io_failed` with the path. */
export async function reading<Result>(path: DiskPath, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    const name = path.length === 0 ? "The source" : escapeForPrint(pathText(path));
    throw new SynclineError("local_io_failed", `${name} cannot be read: ${describeError(cause)}.`, { cause });
  }
}
