/**
 * Files that appear whole or not at all in a folder, and stay after power loss: written under a temporary name, synced, named
 * by link(2) or rename(2), and the folder synced. Several names can share one sync of their folder.
 */
import type { FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Random } from "../base/random.ts";
import { SynclineError } from "../base/errors.ts";
import { STALE_TEMP_MS } from "../base/limits.ts";
import { failedWith } from "../base/system-errors.ts";
import { type Disk, makeDurableFolder, NO_LINKS, syncFolder } from "./disk.ts";
import { tokenOf } from "./object-store.ts";
import type { ObjectBody } from "./object-store.ts";

/** A synced file under a temporary name. */
export interface StagedFile {
  readonly path: string;
  /** The content's token; undefined for large contents. */
  readonly token: string | undefined;
}

/** One that may take the place of another, and can then be told from it. */
export interface IdentifiedFile extends StagedFile {
  /** Which file of its file system it is, whatever its name: its inode number. */
  readonly ino: bigint;
}

/** A file that is new, and empty. Whoever has it closes it. */
export interface TemporaryFile {
  readonly path: string;
  readonly file: FileHandle;
}

export type LinkOutcome =
  | { readonly kind: "linked" }
  /** Somebody else has the name. */
  | { readonly kind: "taken" }
  | { readonly kind: "unknown"; readonly cause: unknown };

export class DurableFolder {
  readonly path: string;
  readonly #disk: Disk;
  readonly #random: Random;
  readonly #nowMs: () => number;
  /** Folders with names that no sync took up yet. */
  readonly #unsettled = new Set<string>();
  /** The last sync of each folder that is being synced. */
  readonly #settling = new Map<string, Promise<void>>();
  #swept = false;

  constructor(path: string, disk: Disk, random: Random, nowMs: () => number) {
    this.path = path;
    this.#disk = disk;
    this.#random = random;
    this.#nowMs = nowMs;
  }

  /** Makes the folder and the folders above it, durably. */
  async create(): Promise<void> {
    await makeDurableFolder(this.#disk, this.path);
  }

  /** Writes and syncs a file that has no name of its own yet; whoever stages also removes it in the end. */
  async stage(body: ObjectBody): Promise<StagedFile> {
    const { path, file } = await this.openTemporary();
    try {
      let token: string | undefined;
      let chunks = 0;
      for await (const chunk of grouped(body)) {
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
   * Gives a staged file a name that nobody has. Durable after `settle`. Network file systems say of a link whose answer was lost that it
   * failed, or that the name is taken: so it is looked whose it is.
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

  /** To be asked before `rename`, and before whatever must not last long when that is called. */
  async identify(staged: StagedFile): Promise<IdentifiedFile> {
    return { ...staged, ino: await this.#inodeOf(staged.path) };
  }

  /**
   * Gives a staged file a name, in place of whatever has it. Durable after `settle`. What fails and took place has not failed; where the
   * staged file is gone and its name is not known to be there, that throws `store_failed`, for nobody can tell whether it was.
   */
  async rename({ path, ino }: IdentifiedFile, target: string): Promise<void> {
    await this.#inFolder(dirname(target), () => this.#disk.rename(path, target)).catch(async (cause: unknown) => {
      if (!(await this.#hasLeft(path))) throw cause;
      if ((await this.#inodeOf(target).catch(() => undefined)) !== ino) throw vanished(target, cause);
    });
    this.#unsettled.add(dirname(target));
  }

  /** Makes the names given so far durable, or those of one folder. */
  async settle(folder?: string): Promise<void> {
    const folders = new Set(folder === undefined ? [...this.#unsettled, ...this.#settling.keys()] : [folder]);
    await Promise.all([...folders].map((each) => this.#settleOne(each)));
  }

  /** Makes the names in a folder durable. */
  sync(folder: string): Promise<void> {
    return syncFolder(this.#disk, folder);
  }

  /** A file on the same file system under a name that nobody uses. */
  async openTemporary(): Promise<TemporaryFile> {
    const folder = join(this.path, TEMPORARY);
    await this.#sweep(folder);
    const path = join(folder, `${process.pid}-${Buffer.from(this.#random.bytes(8)).toString("hex")}`);
    return { path, file: await this.#inFolder(folder, () => this.#disk.open(path, "wx")) };
  }

  /** The date that the file system gives a file that is made now; over a network it is the server's. */
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
    await this.#disk.unlink(path).catch((cause: unknown) => {
      if (!failedWith(cause, "ENOENT", "ENOTDIR")) throw cause;
    });
  }

  /** Whether both are names of one file; undefined where the disk does not answer. */
  async #isSame(path: string, other: string): Promise<boolean | undefined> {
    try {
      const [a, b] = await Promise.all([this.#inodeOf(path), this.#inodeOf(other)]);
      return a !== 0n && a === b;
    } catch (cause) {
      return failedWith(cause, "ENOENT", "ENOTDIR") ? false : undefined;
    }
  }

  /** All in one folder are of one device, which Windows numbers in two ways. */
  async #inodeOf(path: string): Promise<bigint> {
    return (await this.#disk.stat(path, { bigint: true })).ino;
  }

  /** Whether a temporary name is gone while its folder is there: it was renamed, or swept away by one whose clock is wrong. */
  async #hasLeft(path: string): Promise<boolean> {
    const isThere = (name: string) =>
      this.#disk.stat(name).then(
        () => true,
        (cause: unknown) => (failedWith(cause, "ENOENT") ? false : undefined),
      );
    return (await isThere(path)) === false && (await isThere(dirname(path))) === true;
  }

  /** Does something in a folder below, which is made if need be; the folder itself never is, since it may have moved away. */
  async #inFolder<Result>(folder: string, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (cause) {
      if (!failedWith(cause, "ENOENT") || folder === this.path) throw cause;
    }
    await this.#disk.mkdir(folder).catch((cause: unknown) => {
      if (!failedWith(cause, "EEXIST")) throw cause;
    });
    await this.sync(this.path);
    return work();
  }

  /** A name that another call's sync took up is durable when that sync has ended, and not before. */
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

  /** Removes what a crash left, once per opening: what is old by both this machine's clock and the store's date. */
  async #sweep(folder: string): Promise<void> {
    if (this.#swept) return;
    const entries = await this.#inFolder(folder, () => this.#disk.readdir(folder));
    this.#swept = true;
    const old: { readonly path: string; readonly modifiedMs: number }[] = [];
    for (const entry of entries) {
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
  const message = `Nobody can tell whether ${target} was written: what was to be named so is gone.`;
  return new SynclineError("store_failed", message, {
    hint: "Check that the clocks of all machines that use this folder are right.",
    cause,
  });
}

export const TEMPORARY = "tmp";

/** Small chunks are written together, large ones as they are: copying them costs more than a call. */
const GROUP_BYTES = 1024 * 1024;
const LARGE_BYTES = 128 * 1024;

async function* grouped(body: ObjectBody): AsyncGenerator<Uint8Array> {
  let group: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    const isLarge = chunk.length >= LARGE_BYTES;
    if (!isLarge) {
      group.push(chunk);
      bytes += chunk.length;
    }
    if (bytes > 0 && (isLarge || bytes >= GROUP_BYTES)) {
      yield Buffer.concat(group);
      group = [];
      bytes = 0;
    }
    if (isLarge) yield chunk;
  }
  if (bytes > 0) yield Buffer.concat(group);
}
