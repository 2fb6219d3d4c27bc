/**
 * Files that appear in a folder whole or not at all, and survive power loss: written under a temporary name, synced, named
 * by link(2) or rename(2), and the folder synced. Several names can share one sync of their folder.
 */
import type { FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Random } from "../base/random.ts";
import { SynclineError } from "../base/errors.ts";
import { STALE_TEMP_MS } from "../base/limits.ts";
import { failedWith } from "../base/system-errors.ts";
import { unless } from "../base/unless.ts";
import { type Disk, makeDurableFolder, NO_LINKS, readRanges, requireOwnFolder, syncFolder } from "./disk.ts";
import { FolderRights } from "./folder-rights.ts";
import type { LockOwner } from "./lock-holder.ts";
import { type ObjectBody, tokenOf } from "./object-store.ts";

/** A synced file under a temporary name. */
export interface StagedFile {
  readonly path: string;
  /** The content's token; undefined for large contents. */
  readonly token: string | undefined;
}

/** A staged file that may replace another, and can be told from it afterwards. */
export interface IdentifiedFile extends StagedFile {
  /** Its inode number, which identifies it whatever its name, as long as it exists. */
  readonly ino: bigint;
}

/** A new, empty file. The holder closes it. */
export interface TemporaryFile {
  readonly path: string;
  readonly file: FileHandle;
}

export type LinkOutcome =
  | { readonly kind: "linked" }
  /** Another file has the name. */
  | { readonly kind: "taken" }
  | { readonly kind: "unknown"; readonly cause: unknown };

export class DurableFolder {
  readonly path: string;
  readonly #disk: Disk;
  readonly #random: Random;
  readonly #nowMs: () => number;
  readonly #mode: number | undefined;
  readonly #rights: FolderRights;
  /** Folders with names that no sync covers yet. */
  readonly #unsettled = new Set<string>();
  /** The sync in progress of each folder. */
  readonly #settling = new Map<string, Promise<void>>();
  #swept = false;

  /** `mode`: of the folder, where it is made. */
  constructor(path: string, disk: Disk, random: Random, nowMs: () => number, mode?: number) {
    this.path = path;
    this.#disk = disk;
    this.#random = random;
    this.#nowMs = nowMs;
    this.#mode = mode;
    this.#rights = new FolderRights(disk, path);
  }

  /** Makes the folder and its parents, durably. */
  async create(): Promise<void> {
    await makeDurableFolder(this.#disk, this.path, this.#mode);
  }

  /**
   * Writes and syncs a file under a temporary name, which the caller must remove in the end. With an owner, others can
   * `withdraw` it. Throws the reason of `end`.
   */
  async stage(body: ObjectBody, end?: AbortSignal, owner?: LockOwner): Promise<StagedFile> {
    const { path, file } = await this.openTemporary(owner && nameOf(owner));
    try {
      let token: string | undefined;
      let chunks = 0;
      for await (const chunk of grouped(body)) {
        end?.throwIfAborted();
        token = chunks++ === 0 && chunk.length < GROUP_BYTES ? tokenOf(chunk) : undefined;
        await file.writeFile(chunk);
      }
      await file.sync();
      return { path, token: chunks === 0 ? tokenOf(new Uint8Array()) : token };
    } catch (cause) {
      await this.remove(path).catch(() => {});
      throw cause;
    } finally {
      await file.close();
    }
  }

  /**
   * Gives a staged file an unused name. Durable after `settle`. If the answer is lost, network file systems report that the
   * link failed or the name is taken, so this checks whose file has the name.
   */
  async link({ path }: StagedFile, target: string): Promise<LinkOutcome> {
    try {
      await this.#inFolder(dirname(target), () => this.#disk.link(path, target));
    } catch (cause) {
      if (failedWith(cause, ...NO_LINKS)) throw cause;
      const isOurs = await this.#isSame(path, target);
      if (isOurs === undefined) return { kind: "unknown", cause };
      if (!isOurs && failedWith(cause, "EEXIST")) return { kind: "taken" };
      if (!isOurs) throw cause;
    }
    this.#unsettled.add(dirname(target));
    return { kind: "linked" };
  }

  /** Call it before `rename`, outside of any time-critical section around that. */
  async identify(staged: StagedFile): Promise<IdentifiedFile> {
    return { ...staged, ino: await this.#inodeOf(staged.path) };
  }

  /**
   * Gives a staged file a name, replacing any file there. Durable after `settle`. A failed call that took effect counts as
   * done. If the staged file is gone and the name is not known to be its, the outcome is unknown: throws `store_failed`.
   */
  async rename(staged: IdentifiedFile, target: string): Promise<void> {
    const { path } = staged;
    await this.#inFolder(dirname(target), () => this.#disk.rename(path, target)).catch(async (cause: unknown) => {
      if (!(await this.#hasLeft(path))) throw cause;
      if (!(await this.#isAt(target, staged).catch(() => false))) throw vanished(target, cause);
    });
    this.#unsettled.add(dirname(target));
  }

  /** Makes the names given so far durable, in all folders or in one. */
  async settle(folder?: string): Promise<void> {
    const folders = new Set(folder === undefined ? [...this.#unsettled, ...this.#settling.keys()] : [folder]);
    await Promise.all([...folders].map((each) => this.#settleOne(each)));
  }

  /** Makes the names in a folder durable. */
  sync(folder: string): Promise<void> {
    return syncFolder(this.#disk, folder);
  }

  /** Removes the file that this owner has staged, so that its rename fails. Throws as `requireOwnFolder`. */
  async withdraw(owner: LockOwner): Promise<void> {
    const folder = join(this.path, TEMPORARY);
    await requireOwnFolder(this.#disk, folder);
    await this.remove(join(folder, nameOf(owner)));
  }

  /** Opens a file with an unused name on the same file system. */
  async openTemporary(name = temporaryName(this.#random)): Promise<TemporaryFile> {
    const folder = join(this.path, TEMPORARY);
    await this.#sweep(folder);
    const path = join(folder, name);
    const file = await this.#inFolder(folder, () => this.#disk.open(path, "wx"));
    await this.#rights.giveToFile(file);
    return { path, file };
  }

  /** Makes a subfolder. Rejects as mkdir does. */
  async makeFolder(folder: string): Promise<void> {
    await this.#disk.mkdir(folder);
    await this.#rights.giveToFolder(folder);
  }

  /** The file system's date for a new file; over a network it is the server's. */
  async now(): Promise<number> {
    const { path, file } = await this.openTemporary();
    try {
      return (await file.stat()).mtimeMs;
    } finally {
      await file.close();
      await this.remove(path);
    }
  }

  async remove(path: string): Promise<void> {
    await unless(["ENOENT", "ENOTDIR"], () => this.#disk.unlink(path));
  }

  /** Whether both name the same file; undefined if the disk does not answer. */
  async #isSame(path: string, other: string): Promise<boolean | undefined> {
    try {
      const [a, b] = await Promise.all([this.#inodeOf(path), this.#inodeOf(other)]);
      return a !== 0n && a === b;
    } catch (cause) {
      return failedWith(cause, "ENOENT", "ENOTDIR") ? false : undefined;
    }
  }

  /** Whether the staged file has this name. A file made after it was removed may have got its inode number. */
  async #isAt(target: string, { ino, token }: IdentifiedFile): Promise<boolean> {
    if ((await this.#inodeOf(target)) !== ino) return false;
    if (token === undefined) return true;
    const small = (size: number) => [{ offset: 0, length: Math.min(size, GROUP_BYTES) }];
    return tokenOf(Buffer.concat((await readRanges(this.#disk, target, small)).parts)) === token;
  }

  /** Compares inodes only: all files of one folder are on one device, which Windows numbers in two ways. */
  async #inodeOf(path: string): Promise<bigint> {
    return (await this.#disk.stat(path, { bigint: true })).ino;
  }

  /** Whether a temporary file is gone although its folder exists: renamed, or swept by a process with a wrong clock. */
  async #hasLeft(path: string): Promise<boolean> {
    const isThere = (name: string) =>
      this.#disk.stat(name).then(
        () => true,
        (cause: unknown) => (failedWith(cause, "ENOENT") ? false : undefined),
      );
    return (await isThere(path)) === false && (await isThere(dirname(path))) === true;
  }

  /**
   * Runs `work` in a subfolder, made if necessary. The folder itself is never made: it may have moved away. Throws as
   * `requireOwnFolder`.
   */
  async #inFolder<Result>(folder: string, work: () => Promise<Result>): Promise<Result> {
    if (folder !== this.path) await requireOwnFolder(this.#disk, folder);
    try {
      return await work();
    } catch (cause) {
      if (!failedWith(cause, "ENOENT") || folder === this.path) throw cause;
    }
    await unless("EEXIST", () => this.makeFolder(folder));
    await this.sync(this.path);
    return work();
  }

  /** A name covered by another call's sync becomes durable when that sync ends. */
  async #settleOne(folder: string): Promise<void> {
    if (!this.#unsettled.delete(folder)) return this.#settling.get(folder);
    const settling = this.sync(folder).catch((cause: unknown) => {
      this.#unsettled.add(folder);
      throw cause;
    });
    this.#settling.set(folder, settling);
    try {
      await settling;
    } finally {
      if (this.#settling.get(folder) === settling) this.#settling.delete(folder);
    }
  }

  /** Removes a crash's leftovers, once per opening: files that are old by both this machine's clock and the store's. */
  async #sweep(folder: string): Promise<void> {
    if (this.#swept) return;
    const entries = await this.#inFolder(folder, () => this.#disk.readdir(folder));
    this.#swept = true;
    const old: { readonly path: string; readonly modifiedMs: number }[] = [];
    for (const entry of entries.filter((name) => TEMPORARY_NAME.test(name))) {
      const path = join(folder, entry);
      const stat = await this.#disk.stat(path).catch(() => undefined);
      if (stat !== undefined && isOld(stat.mtimeMs, this.#nowMs())) old.push({ path, modifiedMs: stat.mtimeMs });
    }
    if (old.length === 0) return;
    const storeMs = await this.now().catch(() => undefined);
    if (storeMs === undefined) return;
    for (const { path, modifiedMs } of old) if (isOld(modifiedMs, storeMs)) await this.remove(path);
  }
}

function isOld(modifiedMs: number, nowMs: number): boolean {
  return nowMs - modifiedMs > STALE_TEMP_MS;
}

function vanished(target: string, cause: unknown): SynclineError {
  const message = `It is unknown whether ${target} was written: its temporary file is gone.`;
  return new SynclineError("store_failed", message, {
    hint: "Check the clocks of all machines that use this folder.",
    cause,
  });
}

export const TEMPORARY = "tmp";

/** The process, and a random number. */
function temporaryName(random: Random): string {
  return `${process.pid}-${Buffer.from(random.bytes(8)).toString("hex")}`;
}

/** Has the form of all temporary names, so that leftovers are swept. */
function nameOf({ pid, nonce }: LockOwner): string {
  return `${pid}-${nonce.slice(0, 16)}`;
}

const TEMPORARY_NAME = /^\d+-[0-9a-f]{16}$/;

/** Small chunks are joined before writing; large ones are not: copying them costs more than a call. */
const GROUP_BYTES = 1024 * 1024;
const LARGE_BYTES = 128 * 1024;

/** A group's bytes are valid until the next one is requested. */
async function* grouped(body: ObjectBody): AsyncGenerator<Uint8Array> {
  let group: Uint8Array[] = [];
  let room: Buffer | undefined;
  let bytes = 0;
  for await (const chunk of body) {
    const isLarge = chunk.length >= LARGE_BYTES;
    if (!isLarge) {
      group.push(chunk);
      bytes += chunk.length;
    }
    if (bytes > 0 && (isLarge || bytes >= GROUP_BYTES)) {
      if (bytes >= GROUP_BYTES) room ??= Buffer.allocUnsafeSlow(GROUP_BYTES + LARGE_BYTES);
      yield joined(group, bytes, room);
      group = [];
      bytes = 0;
    }
    if (isLarge) yield chunk;
  }
  if (bytes > 0) yield joined(group, bytes, room);
}

function joined(parts: readonly Uint8Array[], bytes: number, room: Buffer = Buffer.allocUnsafeSlow(bytes)): Uint8Array {
  let at = 0;
  for (const part of parts) {
    room.set(part, at);
    at += part.length;
  }
  return room.subarray(0, at);
}
