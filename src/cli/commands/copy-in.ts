/**
 * Copies local files and directories into a bucket: in one commit, or very many files in portions of one commit each, which
 * bounds memory. Reads a directory as folder sync does: beneath the folder that was opened when the copy began.
 */
import type { BigIntStats } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { SynclineError } from "../../base/errors.ts";
import type { FileName, Ino } from "../../base/ids.ts";
import { PUT_PORTION_THINGS, SYNC_PORTION_BYTES } from "../../base/limits.ts";
import { escapeForPrint } from "../../base/names.ts";
import { failedWith } from "../../base/system-errors.ts";
import { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { BucketWriter, NewAttributes, Path } from "../../bucket/writer.ts";
import { hasStat, type DiskEntry, type DiskPath, type DiskStat, type SyncDisk } from "../../sync/disk/disk.ts";
import { pathText } from "../../sync/disk/paths.ts";
import { openToRead, statOf } from "../../sync/disk/portable-disk.ts";
import { ONLY_READ_ONLY, usualMode } from "../../sync/disk/windows-modes.ts";
import { CopiedData, hasVanished, reading } from "../../sync/scan/copied-data.ts";
import { PortionRoom } from "../../sync/scan/portion-room.ts";
import { SteadyFile } from "../../sync/scan/steady-file.ts";
import { foundAs, NO_CHILDREN, type Found, type Most } from "../../sync/scan/walk.ts";
import { type PortionOptions, PortionWriter, type PublishedPortions } from "./portion-writer.ts";
import { withTrueSizes } from "./true-sizes.ts";

export interface CopyInOptions extends PortionOptions {
  /** Opens a directory to copy. */
  readonly openDisk: (path: string) => Promise<SyncDisk>;
  /** Names a new temporary file in a private folder. */
  readonly spoolPath: () => string;
  /** Called for each file taken, and with bytes read for the bucket. */
  readonly moved: (bytes: number) => void;
  /** Called with a directory's total before its first file is taken. Absent: nothing is counted. */
  readonly counted?: (total: { readonly files: number; readonly bytes: number }) => void;
  /** What fills a portion. */
  readonly portion?: Most;
}

export class CopyIn implements AsyncDisposable {
  /** Files and links taken. */
  files = 0;
  bytes = 0;
  /** Fifos, sockets and devices: they are particular to their machine. */
  skipped = 0;
  /** Files already in the bucket. */
  sent = 0;
  /** Files that kept changing while they were read, by their paths below the source; "" is the source itself. */
  readonly unsteady: string[] = [];
  /** What was removed before it could be read, by its path below the source. */
  readonly vanished: string[] = [];
  readonly #options: CopyInOptions;
  readonly #portions: PortionWriter;
  #tree: OpenTree | undefined;
  #room: PortionRoom | undefined;
  /** Files of this portion that are read from the disk. */
  #sources = new Map<Ino, Found>();
  /** A source that is a file. */
  #single: { readonly file: SteadyFile; readonly size: number } | undefined;
  /** Where a hard-linked file's first name went, by device and inode. */
  readonly #linked = new Map<string, Path>();

  constructor(options: CopyInOptions) {
    this.#options = options;
    this.#portions = new PortionWriter(options);
  }

  /**
   * Takes what is at `source`; a directory only if `recursive`, publishing each full portion on the way. Throws
   * `is_a_directory`, `no_such_path`, `local_io_failed`, and as publishing does.
   */
  async copy(source: string, target: Path, recursive: boolean): Promise<void> {
    const stat = await look(source);
    const attributes = attributesOf(statOf(stat));
    if (stat.isDirectory()) {
      if (!recursive) throw isADirectoryError(source);
      await this.#copyTree(source, target);
    } else if (stat.isSymbolicLink()) {
      const leadsTo = await readlink(source, { encoding: "buffer" });
      await this.#writer.putSymlink(target, leadsTo.toString("latin1"), attributes);
      this.#count(0);
    } else if (stat.isFile()) {
      const file = this.#steadyFile(source, stat);
      this.#single = { file, size: file.size };
      await this.#writer.putFile(target, file, attributes);
      this.#count(file.size);
    } else this.skipped++;
  }

  /** Publishes what is taken so far. */
  async publish(): Promise<PublishedPortions> {
    const sources = this.#sources;
    this.#sources = new Map();
    await using data = this.#tree && new CopiedData(this.#tree.disk, sources, this.#options.moved);
    const published = await this.#publishLeft(data);
    for (const path of data?.unsteady.values() ?? []) this.unsteady.push(pathText(path));
    this.bytes += data?.grown ?? 0;
    if (this.#single?.file.isUnsteady === true) this.unsteady.push("");
    this.bytes += this.#single === undefined ? 0 : this.#single.file.size - this.#single.size;
    this.sent = this.files;
    return published;
  }

  /** Publishes without the files that are gone when they are to be read. */
  async #publishLeft(data: CopiedData | undefined): Promise<PublishedPortions> {
    for (;;) {
      try {
        return await this.#portions.publish(data && { data });
      } catch (error) {
        const gone = [...(data?.vanished ?? [])];
        if (gone.length === 0) throw error;
        data?.vanished.clear();
        for (const [ino, { path, stat }] of gone) {
          if (this.#isInUnit(path) || !(await this.#writer.takeBack(ino))) throw error;
          this.vanished.push(pathText(path));
          this.files--;
          this.bytes -= stat.size;
        }
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tree?.disk.close();
    await this.#portions[Symbol.asyncDispose]();
  }

  async #copyTree(source: string, target: Path): Promise<void> {
    const { openDisk, session, spoolPath } = this.#options;
    const disk = withTrueSizes(await openDisk(source), spoolPath);
    await reading([], () => disk.open());
    const policy = await session.bucket.policy(this.#writer.base);
    this.#tree = { disk, units: new UnitRules(policy.units) };
    this.#options.counted?.(await countFiles(disk, []));
    const stat = await disk.look([]);
    if (stat === undefined) throw new SynclineError("no_such_path", `${escapeForPrint(source)} no longer exists.`);
    await this.#directory(
      foundAs({ path: [], stat, parent: undefined, name: "" as FileName }, NO_CHILDREN, false),
      target,
      false,
    );
  }

  #steadyFile(name: string, stat: BigIntStats): SteadyFile {
    const disk = { read: () => openToRead(name), look: async () => statOf(await lstat(name, { bigint: true })) };
    const { read, look } = withTrueSizes<Pick<SyncDisk, "read" | "look">>(disk, this.#options.spoolPath);
    return new SteadyFile({ name, open: () => read([]), look: () => look([]) }, statOf(stat));
  }

  /** `isWhole`: a unit, which goes in one portion. */
  async #directory(directory: Found, target: Path, isWhole: boolean): Promise<void> {
    const { units } = this.#opened();
    const { path, stat } = directory;
    const entries = await this.#unlessGone(path, () => this.#entriesOf(path));
    if (entries === undefined) return;
    await this.#writer.makeDirectory(target, attributesOf(stat));
    let files = entries.filter((entry) => entry.stat.type !== "directory");
    while (files.length > 0) {
      const taken = new Set<DiskEntry>();
      for (const entry of this.#roomOf().fitting(files, isWhole)) {
        await this.#entry(directory, entry, target);
        this.#roomOf().take(entry.stat);
        taken.add(entry);
      }
      files = files.filter((entry) => !taken.has(entry));
      if (files.length === 0) break;
      await this.#nextPortion();
      // Others may have moved or removed it since.
      await this.#writer.makeDirectory(target, attributesOf(stat));
    }
    for (const { name, stat: below } of entries) {
      if (below.type !== "directory") continue;
      if (this.#roomOf().isFull && !isWhole) await this.#nextPortion();
      this.#roomOf().take(below);
      const found = foundAs({ path: path.concat(name), stat: below, parent: directory, name }, NO_CHILDREN, false);
      await this.#directory(found, [...target, name], isWhole || units.isTree(name));
    }
    await this.#writer.setAttributes(target, attributesOf(stat));
  }

  async #entriesOf(path: DiskPath): Promise<DiskEntry[]> {
    const { disk } = this.#opened();
    const entries: DiskEntry[] = [];
    for (const entry of await reading(path, () => disk.list(path))) {
      const at = path.concat(entry.name);
      // Looking at it again gives the reason.
      const stat = hasStat(entry) ? entry.stat : await reading(at, () => disk.look(at));
      if (stat !== undefined) entries.push({ name: entry.name, stat });
    }
    return entries;
  }

  async #entry(directory: Found, { name, stat }: DiskEntry, above: Path): Promise<void> {
    const path = directory.path.concat(name);
    const target = [...above, name];
    if (stat.type === "symlink") {
      const leadsTo = await this.#unlessGone(path, () => reading(path, () => this.#opened().disk.readLink(path)));
      if (leadsTo === undefined) return;
      await this.#writer.putSymlink(target, leadsTo, attributesOf(stat));
      this.#count(0);
    } else if (stat.type === "file") await this.#file(directory, path, stat, target);
    else this.skipped++;
  }

  async #file(directory: Found, path: DiskPath, stat: DiskStat, target: Path): Promise<void> {
    const identity = `${stat.dev} ${stat.ino}`;
    const first = stat.links > 1 ? this.#linked.get(identity) : undefined;
    if (first !== undefined && (await this.#isStillAt(first, stat))) {
      await this.#writer.link(target, first);
      return this.#count(0);
    }
    const ino = await this.#writer.putData(target, stat.size, attributesOf(stat));
    const name = path.at(-1) ?? directory.name;
    this.#sources.set(ino, foundAs({ path, stat, parent: directory, name }, NO_CHILDREN, false));
    if (stat.links > 1) this.#linked.set(identity, target);
    this.#count(stat.size);
  }

  /** If nothing is at the path any more, notes that and returns undefined. */
  async #unlessGone<Result>(path: DiskPath, work: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await work();
    } catch (error) {
      if (path.length === 0 || !hasVanished(error) || this.#isInUnit(path)) throw error;
      this.vanished.push(pathText(path));
      return undefined;
    }
  }

  /** A part of a repository or a database may not be missing, nor be older than the rest. */
  #isInUnit(path: DiskPath): boolean {
    const { units } = this.#opened();
    return path.some((name) => units.isTree(name)) || path.slice(-1).some((name) => units.mainsOf(name).length > 0);
  }

  /** Whether the file is still as it was put: between two portions, others may replace or remove it. */
  async #isStillAt(target: Path, { size, mtimeNs }: DiskStat): Promise<boolean> {
    const there = await this.#writer.record(target);
    return there?.type === "file" && there.size === size && there.mtimeNs === mtimeNs;
  }

  #count(bytes: number): void {
    this.files++;
    this.bytes += bytes;
    this.#options.moved(0);
  }

  async #nextPortion(): Promise<void> {
    await this.publish();
    await this.#portions.next();
    this.#room = undefined;
  }

  get #writer(): BucketWriter {
    return this.#portions.writer;
  }

  #opened(): OpenTree {
    if (this.#tree === undefined) throw new SynclineError("internal", "No directory is being copied.");
    return this.#tree;
  }

  #roomOf(): PortionRoom {
    return (this.#room ??= new PortionRoom(this.#options.portion ?? PORTION, this.#opened().units));
  }
}

interface OpenTree {
  readonly disk: SyncDisk;
  readonly units: UnitRules;
}

const PORTION: Most = { things: PUT_PORTION_THINGS, bytes: SYNC_PORTION_BYTES };

/** Counts nothing for unreadable paths: the copy itself reports the problem. */
async function countFiles(disk: SyncDisk, path: DiskPath): Promise<{ files: number; bytes: number }> {
  const total = { files: 0, bytes: 0 };
  for (const { name, stat } of await disk.list(path).catch(() => [])) {
    if (stat.type === "directory") {
      const below = await countFiles(disk, path.concat(name));
      total.files += below.files;
      total.bytes += below.bytes;
    } else if (stat.type === "file" || stat.type === "symlink") total.files++;
    if (stat.type === "file") total.bytes += stat.size;
  }
  return total;
}

async function look(source: string): Promise<BigIntStats> {
  try {
    return await lstat(source, { bigint: true });
  } catch (cause) {
    if (!failedWith(cause, "ENOENT")) throw cause;
    throw new SynclineError("no_such_path", `${escapeForPrint(source)} does not exist.`, {
      hint: "Check the path.",
      cause,
    });
  }
}

function isADirectoryError(source: string): SynclineError {
  return new SynclineError("is_a_directory", `${escapeForPrint(source)} is a directory.`, {
    hint: "Add -r to put the whole directory.",
  });
}

function attributesOf({ type, mode, uid, gid, mtimeNs }: DiskStat): NewAttributes {
  return { mode: ONLY_READ_ONLY ? usualMode(type, mode) : mode, uid, gid, mtimeNs };
}
