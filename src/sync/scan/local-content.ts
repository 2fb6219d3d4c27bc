/** Contents of the folder's files: what they would be in the bucket, and their bytes for publishing an epoch. */
import { SynclineError } from "../../base/errors.ts";
import type { Ino } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import type { RateLimit } from "../../base/rate-limit.ts";
import { escapeForPrint } from "../../base/names.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { BlockSink } from "../../blocks/block-store.ts";
import type { DataReader } from "../../fstree/change-set.ts";
import { sameContent } from "../../fstree/merge/objects.ts";
import type { Stretch } from "../../content/chunker.ts";
import type { ContentConfig } from "../../content/config.ts";
import { stretchLength, writeContent } from "../../content/write.ts";
import type { Content, FileRecord } from "../../format/files/record.ts";
import { readStretch, type DiskFile, type DiskPath, type DiskStat, type SyncDisk } from "../disk/disk.ts";
import { pathText } from "../disk/paths.ts";
import { baseTarget, type ReadBlock } from "./base-values.ts";
import { ReadAhead } from "./read-ahead.ts";
import type { Found } from "./walk.ts";

/**
 * A file's content as in a bucket. Its blocks go to `sink`. Undefined: it changed while being read, is gone, or cannot be
 * read.
 */
export async function contentOnDisk(
  disk: SyncDisk,
  found: Pick<Found, "path" | "stat">,
  config: ContentConfig,
  sink: BlockSink = NOWHERE,
): Promise<Content | undefined> {
  try {
    return await contentStill(disk, found, config, sink);
  } catch (error) {
    if (isUnreadable(error)) return undefined;
    throw error;
  }
}

async function contentStill(
  disk: SyncDisk,
  { path, stat }: Pick<Found, "path" | "stat">,
  config: ContentConfig,
  sink: BlockSink,
): Promise<Content | undefined> {
  const file = await openStill(disk, path, stat);
  if (file === undefined) return undefined;
  try {
    let isWhole = true;
    const { size } = stat;
    const target = Buffer.allocUnsafeSlow(Math.min(STEP_BYTES, size));
    const stretches = async function* () {
      for (let at = 0; at < size;) {
        const wanted = Math.min(STEP_BYTES, size - at);
        const read = await readStretch(file, size, at, wanted, target);
        isWhole &&= stretchLength(read) >= wanted;
        // Fills up with zeros so that the cutting ends; the result is discarded.
        const stretch = isWhole ? read : size - at;
        at += stretchLength(stretch);
        yield stretch;
      }
    };
    const content = await writeContent(sink, config, { size, stretches: stretches() });
    return isWhole && isStill(stat, await file.stat()) ? content : undefined;
  } finally {
    await file.close();
  }
}

/** Whether the file at a path has a record's type, and its bytes or link target. */
export async function hasRecord(
  disk: SyncDisk,
  path: DiskPath,
  record: FileRecord,
  { content: config, block }: { readonly content: ContentConfig; readonly block: ReadBlock },
): Promise<boolean> {
  const stat = await disk.look(path);
  if (stat?.type !== record.type || stat.size !== record.size) return false;
  if (record.type === "symlink") return (await disk.readLink(path)) === (await baseTarget(record, block));
  if (record.type !== "file") return true;
  const content = await contentOnDisk(disk, { path, stat }, config);
  return content !== undefined && sameContent(content, record.content);
}

export interface LocalDataOptions {
  /** Files that an epoch does not change: read if the bucket lost their blocks. */
  readonly beside?: ReadonlyMap<Ino, Found>;
  readonly limit?: RateLimit | undefined;
  /** Aborts reading. */
  readonly signal?: AbortSignal | undefined;
  /** Called with bytes read, and whether a file ends with them. */
  readonly sent?: ((bytes: number, isEnd: boolean) => void) | undefined;
}

/** Reads an epoch's files exactly as they were scanned; a changed file stops the publication. */
export class LocalData implements DataReader, AsyncDisposable {
  /** Files that changed before they were fully read. */
  readonly changed: Found[] = [];
  /** Files that the system does not allow to read. */
  readonly unreadable: Found[] = [];
  readonly #disk: SyncDisk;
  readonly #sources: ReadonlyMap<Ino, Found>;
  readonly #options: LocalDataOptions;
  readonly #open = new Map<Ino, Promise<DiskFile | undefined>>();
  readonly #ahead: ReadAhead;
  #isDamaged = false;

  constructor(disk: SyncDisk, sources: ReadonlyMap<Ino, Found>, options: LocalDataOptions) {
    this.#disk = disk;
    this.#sources = sources;
    this.#options = options;
    this.#ahead = new ReadAhead(disk, sources);
  }

  /** Throws `precondition_failed` if the file changed or cannot be read, and the signal's reason. */
  async readData(ino: Ino, _epoch: number, offset: number, length: number, target?: Uint8Array): Promise<Stretch> {
    this.#options.signal?.throwIfAborted();
    const source = this.#sources.get(ino) ?? this.#options.beside?.get(ino);
    if (source === undefined) throw new SynclineError("internal", `Inode ${ino} has no data.`);
    const isWhole = offset === 0 && length === source.stat.size;
    const read =
      (isWhole ? await this.#readAhead(ino, source) : undefined) ??
      (await this.#read(ino, source, offset, length, target));
    const { limit, signal, sent } = this.#options;
    const taken = stretchLength(read);
    sent?.(taken, offset + taken === source.stat.size);
    if (typeof read !== "number") await limit?.take(taken, signal);
    return read;
  }

  hasWhole(ino: Ino): boolean {
    return this.#options.beside?.has(ino) === true;
  }

  /** Undefined: not read ahead, or not as scanned; reading it by itself reports the latter. */
  async #readAhead(ino: Ino, { stat }: Found): Promise<Uint8Array | undefined> {
    const whole = await this.#ahead.take(ino);
    return whole !== undefined && isStill(stat, whole.stat) ? whole.bytes : undefined;
  }

  async #read(ino: Ino, source: Found, ...part: Parameters<DiskFile["read"]>): Promise<Stretch> {
    try {
      return await this.#readStill(ino, source, ...part);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      this.unreadable.push(source);
      this.#isDamaged ||= failedWith(error, ...DAMAGED);
      const name = escapeForPrint(pathText(source.path));
      throw new SynclineError("precondition_failed", `${name} cannot be read: ${describeError(error)}.`, {
        hint: "It will be synced once it can be read.",
        cause: error,
      });
    }
  }

  async #readStill(ino: Ino, source: Found, ...part: Parameters<DiskFile["read"]>): Promise<Stretch> {
    const { path, stat } = source;
    const [offset, length] = part;
    const opening = this.#open.get(ino) ?? openStill(this.#disk, path, stat);
    this.#open.set(ino, opening);
    const file = await opening;
    const read = file && (await readStretch(file, stat.size, ...part));
    const taken = read === undefined ? 0 : stretchLength(read);
    if (file === undefined || read === undefined || taken < length || !isStill(stat, await file.stat())) {
      this.changed.push(source);
      throw new SynclineError(
        "precondition_failed",
        `${escapeForPrint(pathText(path))} changed while it was being read.`,
        { hint: "It will be synced once no program writes to it." },
      );
    }
    if (offset + taken === stat.size) await this.#close(ino);
    return read;
  }

  /** After one file could not be read, finds all others like it. On a damaged disk that means reading all. */
  async findUnreadable(): Promise<void> {
    const known = new Set(this.unreadable);
    for (const source of this.#sources.values()) {
      if (known.has(source)) continue;
      try {
        await this.#tryToRead(source);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        this.unreadable.push(source);
      }
    }
  }

  async #tryToRead({ path, stat }: Found): Promise<void> {
    const file = await openStill(this.#disk, path, stat);
    if (file === undefined) return;
    try {
      if (!this.#isDamaged) return;
      for (let at = 0; at < stat.size; at += STEP_BYTES) await file.read(at, Math.min(STEP_BYTES, stat.size - at));
    } finally {
      await file.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ahead[Symbol.asyncDispose]();
    for (const ino of Array.from(this.#open.keys())) await this.#close(ino);
  }

  async #close(ino: Ino): Promise<void> {
    const opened = this.#open.get(ino);
    this.#open.delete(ino);
    // A failed open was already reported to the reader.
    await (await opened?.catch(() => undefined))?.close();
  }
}

/** Opens a file if it is unchanged since the scan. */
async function openStill(disk: SyncDisk, path: Found["path"], stat: DiskStat): Promise<DiskFile | undefined> {
  let file: DiskFile;
  try {
    file = await disk.read(path);
  } catch (error) {
    if (failedWith(error, "ENOENT", "ENOTDIR", "ELOOP", "EISDIR", "ENXIO")) return undefined;
    throw error;
  }
  if (isStill(stat, await file.stat())) return file;
  await file.close();
  return undefined;
}

/** Does not stop the other files: this one is skipped while the error lasts. */
export function isUnreadable(error: unknown): boolean {
  return failedWith(error, ...FORBIDDEN, ...DAMAGED);
}

/** No permission, no key, a program that has it locked (EBUSY on Windows), too long a path, or too many attributes. */
const FORBIDDEN = ["EACCES", "EPERM", "EBUSY", "ETXTBSY", "ENOKEY", "ENAMETOOLONG", "E2BIG"];
/** Reported only when the bytes are read. */
const DAMAGED = ["EIO", "EBADMSG", "EUCLEAN", "ESTALE"];

/** Whether a size, a time or the inode tells of a change. */
export function isStill(before: DiskStat, now: DiskStat): boolean {
  const same = before.ino === now.ino && before.type === now.type && before.size === now.size;
  return same && before.mtimeNs === now.mtimeNs && before.ctimeNs === now.ctimeNs;
}

const STEP_BYTES = 1024 * 1024;
const NOWHERE: BlockSink = { put: async () => {} };
