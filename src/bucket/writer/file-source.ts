/** The source of a new file's bytes: random access, since chunks are cut only when the epoch is built. */
import { type FileHandle, open, rm } from "node:fs/promises";
import { SynclineError } from "../../base/errors.ts";
import type { Ino } from "../../base/ids.ts";
import type { Stretch } from "../../content/chunker.ts";
import { SPOOL_MEMORY_BYTES } from "../../base/limits.ts";
import type { DataReader, SeenFile } from "../../fstree/change-set.ts";
import { readUpTo, startOf, writeParts } from "../../objects/disk.ts";

export interface FileSource extends AsyncDisposable {
  readonly size: number;
  /**
   * Exactly these bytes, in `target`, which has room, or in other memory. If at least `length` zeros follow, it may return
   * how many instead. Throws `precondition_failed` when they are gone.
   */
  read(offset: number, length: number, target?: Uint8Array): Promise<Stretch>;
  /** As `seen` of a data reader. */
  seen?(size: number): Promise<SeenFile | undefined>;
}

/** The bytes of files that have a source, and of the others those of `given`. */
export function dataOf(sources: ReadonlyMap<Ino, FileSource>, given: DataReader | undefined): DataReader {
  return {
    async readData(ino, epoch, ...part) {
      const source = sources.get(ino);
      if (source !== undefined) return source.read(...part);
      if (given === undefined) throw new SynclineError("internal", `Inode ${ino} has no data.`);
      return given.readData(ino, epoch, ...part);
    },
    async seen(ino, size) {
      const source = sources.get(ino);
      return source === undefined ? given?.seen?.(ino, size) : source.seen?.(size);
    },
  };
}

export function sourceOfBytes(bytes: Uint8Array): FileSource {
  return {
    size: bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
    [Symbol.asyncDispose]: async () => {},
  };
}

/** A local file, opened at the first read. `size` is the size seen earlier. Its path need not be UTF-8. */
export function sourceOfFile(path: string | Buffer, size: number): FileSource {
  return new LocalFile(path, size);
}

class LocalFile implements FileSource {
  readonly size: number;
  readonly #path: string | Buffer;
  #handle: Promise<FileHandle> | undefined;

  constructor(path: string | Buffer, size: number) {
    this.#path = path;
    this.size = size;
  }

  async read(offset: number, length: number, target?: Uint8Array): Promise<Uint8Array> {
    this.#handle ??= open(this.#path, "r");
    const bytes = await readFully(await this.#handle, this.#path, offset, length, target);
    // Most files are read at once; thousands of them must not stay open.
    if (offset + length === this.size) await this[Symbol.asyncDispose]();
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const opened = this.#handle;
    this.#handle = undefined;
    // A failed open was already reported to its reader.
    await (await opened?.catch(() => undefined))?.close();
  }
}

/** A stream of any length: in memory while it is short, else in a temporary file at `path`, whose folder must be private. */
export async function sourceOfStream(stream: AsyncIterable<Uint8Array>, path: string): Promise<FileSource> {
  const parts: Uint8Array[] = [];
  let size = 0;
  let spooled = 0;
  let spool: FileHandle | undefined;
  try {
    for await (const part of stream) {
      size += part.length;
      parts.push(part);
      if (size <= SPOOL_MEMORY_BYTES) continue;
      spool ??= await open(path, "wx", 0o600);
      await writeParts(spool, spooled, parts.splice(0));
      spooled = size;
    }
  } finally {
    await spool?.close();
  }
  if (spool === undefined) return sourceOfBytes(Buffer.concat(parts));
  const source = sourceOfFile(path, size);
  const dispose = async () => {
    await source[Symbol.asyncDispose]();
    await rm(path, { force: true });
  };
  return { size, read: (...part) => source.read(...part), [Symbol.asyncDispose]: dispose };
}

async function readFully(
  handle: FileHandle,
  path: string | Buffer,
  offset: number,
  length: number,
  target?: Uint8Array,
): Promise<Uint8Array> {
  const bytes = await readUpTo(handle, offset, length, startOf(target, length));
  if (bytes.length === length) return bytes;
  throw new SynclineError("precondition_failed", `${path.toString()} shrank while it was being read.`, {
    hint: "Put it again once no program writes to it.",
  });
}
