/**
 * Writes the bucket's files under temporary names with all attributes: durably in a synced folder's own folder, or for
 * `get`.
 */
import { mapConcurrent } from "../../base/concurrency.ts";
import type { Cid, FileName } from "../../base/ids.ts";
import { SYNC_SMALL_BYTES } from "../../base/limits.ts";
import type { RateLimit } from "../../base/rate-limit.ts";
import type { Random } from "../../base/random.ts";
import { failedWith } from "../../base/system-errors.ts";
import { missingBlocks, readContent, streamParts } from "../../content/read.ts";
import { seekContent } from "../../content/seek.ts";
import type { ContentSource } from "../../content/source.ts";
import { xattrsOf } from "../../format/blocks/linked-value.ts";
import { isLinked, targetOf } from "../../format/blocks/linked-value.ts";
import type { FileRecord, Xattrs } from "../../format/files/record.ts";
import { SynclineError } from "../../base/errors.ts";
import type { DiskPath, DiskStat, NewFile, SyncDisk } from "../disk/disk.ts";
import type { Attention } from "../scan/attributes.ts";
import { newPath } from "../disk/paths.ts";
import { modeWithoutList } from "../disk/access-list.ts";
import { digestOfXattrs } from "../known/seen.ts";

export interface IncomingContext {
  readonly disk: SyncDisk;
  readonly content: ContentSource;
  readonly block: (cid: Cid) => Promise<Uint8Array>;
  readonly attention: Attention;
  readonly random: Random;
  readonly limit?: RateLimit | undefined;
  /** Aborts a file's transfer at once; all other work stops after its batch. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of bytes written. */
  readonly wrote?: (bytes: number) => void;
  /** Where a temporary name goes: one directory for all names of a write. By default the synced folder's own folder. */
  readonly temporary?: (name: string) => DiskPath;
  /** False: the system may write files out whenever it likes. */
  readonly isDurable?: boolean;
  /** How far all files together are read ahead, of which `content` has room for twice as much; absent: little, each. */
  readonly aheadBytes?: number | undefined;
  /** Leaves extended attributes as they are. */
  readonly leavesXattrs?: boolean;
}

/** A finished file without its place. */
export interface Ready {
  readonly path: DiskPath;
  readonly stat: DiskStat;
  /** Digest of the extended attributes that it was made with. */
  readonly xattrs: string;
}

/** Writes all of them, or leaves none: small plain files at once if the disk can, the others a few at a time. */
export async function writeIncoming(
  context: IncomingContext,
  records: readonly FileRecord[],
): Promise<readonly Ready[]> {
  const begun: DiskPath[] = [];
  const works: Promise<Ready>[] = [];
  try {
    return await writeAll(context, records, begun, works);
  } catch (error) {
    await Promise.allSettled(works);
    for (const path of begun) await context.disk.unlink(path).catch(() => {});
    throw error;
  }
}

async function writeAll(
  context: IncomingContext,
  records: readonly FileRecord[],
  begun: DiskPath[],
  works: Promise<Ready>[],
): Promise<readonly Ready[]> {
  await readAhead(context.content, records);
  const plain = records.map((record) => context.disk.createAll !== undefined && isSmallAndPlain(record));
  const made = await writePlain(
    context,
    records.filter((_, index) => plain[index]),
    begun,
  );
  const next = made.values();
  const aheadBytes = context.aheadBytes && context.aheadBytes / largeAtOnce(records);
  const ready = records.map((_, index) => (plain[index] === true ? next.next().value : undefined));
  return mapConcurrent([...records.entries()], FILES_AT_ONCE, async ([index, record]) => {
    const made = ready[index];
    if (made !== undefined) return made;
    const path = temporaryPath(context, temporaryName(context.random));
    begun.push(path);
    const work = writeOne({ ...context, aheadBytes }, path, record);
    works.push(work);
    return work;
  });
}

/** How many of the files that are written at a time are long enough to be read ahead. */
function largeAtOnce(records: readonly FileRecord[]): number {
  const large = records.filter(({ type, size }) => type === "file" && size > AHEAD_FILE_BYTES);
  return Math.min(Math.max(large.length, 1), FILES_AT_ONCE);
}

/** Whether a few synchronous calls can write a record's file completely. */
function isSmallAndPlain({ type, size, xattrs }: FileRecord): boolean {
  return type === "file" && size <= SYNC_SMALL_BYTES && !isLinked(xattrs) && xattrs.size === 0;
}

async function writePlain(
  context: IncomingContext,
  records: readonly FileRecord[],
  begun: DiskPath[],
): Promise<Ready[]> {
  const { disk, content: source, attention, random, limit, signal, wrote } = context;
  if (disk.createAll === undefined || records.length === 0) return [];
  const paths: DiskPath[] = [];
  const files: NewFile[] = [];
  // One random draw for all: drawing takes longer than the rest of a name.
  const stem = temporaryName(random);
  for (const { content, size, mode, uid, gid, mtimeNs } of records) {
    const bytes = await readContent(source, content, size, 0, size);
    await limit?.take(size, signal);
    const path = temporaryPath(context, `${stem}-${files.length}`);
    const [name] = path.slice(-1) as [FileName];
    const owner = attention.owners ? { uid, gid } : undefined;
    begun.push(path);
    paths.push(path);
    files.push({ name, bytes, mode: mode & attention.modeMask, owner, mtimeNs });
  }
  const stats = await disk.createAll(paths[0]?.slice(0, -1) ?? [], files, context.isDurable !== false);
  for (const { bytes } of files) wrote?.(bytes.length);
  return paths.map((path, index) => {
    const stat = stats[index];
    if (stat === undefined) throw new RangeError("A new file has no stat.");
    return { path, stat, xattrs: "" };
  });
}

/**
 * Sets a record's attributes at a path, as far as this machine keeps them. For directories last: their entries change the
 * time. `before`: how the file looks now. Mode bits that are not synced here stay, and so does an mtime that is right.
 */
export async function setAttributes(
  context: IncomingContext,
  path: DiskPath,
  record: FileRecord,
  before?: DiskStat,
): Promise<void> {
  const { disk, attention } = context;
  const hasXattrs = disk.hasXattrs && context.leavesXattrs !== true;
  // The mode comes after the owner: changing the owner clears some bits of the mode.
  if (attention.owners) await tolerate(disk.setOwner(path, record.uid, record.gid), "EPERM", "EINVAL", "ENOTSUP");
  if (record.type !== "symlink") {
    const xattrs = await wantedXattrs(context, record);
    if (hasXattrs) await tolerate(disk.setXattrs(path, xattrs), ...NO_XATTRS_HERE);
    const mode = modeWithoutList(record.mode, xattrs) & attention.modeMask;
    await disk.setMode(path, mode | keptMode(attention, record, before));
  }
  if (before?.mtimeNs !== record.mtimeNs) await disk.setModified(path, record.mtimeNs);
}

/** A file that gets another owner loses its set-id bits, as by chown: they would give away the new owner's rights. */
function keptMode(
  { modeMask, owners }: Attention,
  { type, uid, gid }: FileRecord,
  before: DiskStat | undefined,
): number {
  if (before === undefined) return 0;
  const getsOwner = owners && (before.uid !== uid || before.gid !== gid);
  return type === "file" && getsOwner ? 0 : before.mode & ~modeMask;
}

/** Digest of the extended attributes at a path that is not a link. */
export async function digestOn(disk: SyncDisk, path: DiskPath): Promise<string> {
  return disk.hasXattrs ? digestOfXattrs(await disk.xattrs(path)) : "";
}

async function writeOne(context: IncomingContext, path: DiskPath, record: FileRecord): Promise<Ready> {
  const { disk } = context;
  if (record.type === "symlink") {
    await disk.makeSymlink(path, await targetText(context, record));
    await setAttributes(context, path, record);
  } else await writeFile(context, path, record);
  const stat = await disk.look(path);
  if (stat === undefined) throw new RangeError("A new file disappeared.");
  const isBare = stat.type !== "file" || context.leavesXattrs === true;
  return { path, stat, xattrs: isBare ? "" : await digestOn(disk, path) };
}

export function temporaryName(random: Random): string {
  return Buffer.from(random.bytes(8)).toString("hex");
}

function temporaryPath({ temporary = newPath }: IncomingContext, name: string): DiskPath {
  return temporary(name);
}

async function writeFile(context: IncomingContext, path: DiskPath, record: FileRecord): Promise<void> {
  const file = await context.disk.create(path);
  try {
    const { content: source, limit, signal, wrote, aheadBytes } = context;
    const { content, size } = record;
    for (let at: number | undefined = 0; (at = await seekContent(source, content, size, at, "data")) !== undefined;) {
      const end: number = (await seekContent(source, content, size, at, "hole")) ?? size;
      for await (const parts of streamParts(source, content, size, at, end, aheadBytes)) {
        const length = parts.reduce((sum, part) => sum + part.length, 0);
        await limit?.take(length, signal);
        signal?.throwIfAborted();
        await file.write(at, ...parts);
        at += length;
        wrote?.(length);
      }
      if (at !== end) throw new SynclineError("internal", `A file's bytes end at ${at} instead of ${end}.`);
    }
    await file.truncate(size);
    await setAttributes(context, path, record);
    if (context.isDurable !== false) await file.sync();
  } finally {
    await file.close();
  }
}

/** Best effort: the write requests missing contents again, and reports failures. */
export async function readAhead(content: ContentSource, records: readonly FileRecord[]): Promise<void> {
  const files = records.filter(({ type }) => type === "file");
  // List nodes first, then the chunks that they name.
  for (let level = 0; level < AHEAD_LEVELS; level++) {
    const missing = files.flatMap((record) => {
      return missingBlocks(content, record.content, record.size, 0, Math.min(record.size, AHEAD_FILE_BYTES));
    });
    if (missing.length === 0) return;
    await content.load(missing).catch(() => {});
  }
}

/** Attributes outside user.* stay as the disk has them. */
async function wantedXattrs({ block }: IncomingContext, record: FileRecord): Promise<Xattrs> {
  const { xattrs } = record;
  if (!isLinked(xattrs)) return xattrs;
  const bytes = await block(xattrs.linked);
  return xattrsOf(record, () => bytes);
}

async function targetText({ block }: IncomingContext, record: FileRecord): Promise<string> {
  const { target } = record;
  if (!isLinked(target)) return target;
  const bytes = await block(target.linked);
  return targetOf(record, () => bytes);
}

async function tolerate(work: Promise<void>, ...codes: readonly string[]): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!failedWith(error, ...codes)) throw error;
  }
}

const NO_XATTRS_HERE = ["ENOTSUP", "EOPNOTSUPP", "EPERM", "ENOSPC", "E2BIG"];
const FILES_AT_ONCE = 8;
const AHEAD_FILE_BYTES = 256 * 1024;
const AHEAD_LEVELS = 2;
