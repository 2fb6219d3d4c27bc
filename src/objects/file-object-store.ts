/**
 * Objects as files in a folder that several processes may share, also over a network file system.
 *
 * A put stages a file, names it by link(2) (create only) or by rename(2) under the `lock` (if match), and syncs the folder.
 * After power loss an object is complete or absent, and present if acknowledged. `get` also syncs the folder when it meets
 * new content, so that nothing builds on a root that a power cut could take back.
 */
import { dirname, join } from "node:path";
import { BoundedMap } from "../base/bounded-map.ts";
import type { Clock } from "../base/clock.ts";
import { hasCode, SynclineError } from "../base/errors.ts";
import type { Ports } from "../base/ports.ts";
import { failedWith } from "../base/system-errors.ts";
import { GENESIS_OBJECT, ROOT_OBJECT } from "../format/blocks/object-name.ts";
import { readOrSalvage, throwUnread } from "./bad-sector.ts";
import { type Disk, NO_LINKS, type RangesOf, requireOwnFolder, storeError, systemDisk, unreachable } from "./disk.ts";
import { DurableFolder, type LinkOutcome, type StagedFile, TEMPORARY } from "./durable-folder.ts";
import { FileLock } from "./file-lock.ts";
import type { LockOwner } from "./lock-holder.ts";
import { Turns } from "./turns.ts";
import { watchFile, watchFolder } from "./folder-watch.ts";
import { checkSize, objectNotFound, tokenOf, wholeRanges } from "./object-store.ts";
import type {
  ByteRange,
  ObjectBody,
  ObjectInfo,
  ObjectStore,
  PutOptions,
  PutOutcome,
  StoredObject,
  Turn,
} from "./object-store.ts";
import { mayHaveHappened, type ReplaceProgress, untilPutEnds } from "./put-end.ts";

export interface FileObjectStoreOptions extends Pick<Ports, "clock" | "random"> {
  readonly path: string;
  /** For display. */
  readonly address: string;
  readonly disk?: Disk;
  /** The mode of the folder, where `initialize` makes it. Absent: as the umask has it. */
  readonly mode?: number;
  /** As ObjectStore.salvaging; absent: such reads fail. */
  readonly unread?: (name: string) => void;
}

export class FileObjectStore implements ObjectStore {
  readonly address: string;
  readonly isDoneWithBodies = true;
  readonly #options: FileObjectStoreOptions;
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #folder: DurableFolder;
  readonly #lock: FileLock;
  readonly #turns: Turns;
  /** Tokens of contents that were durable when last read or written. */
  readonly #durable = new BoundedMap<string, string>(DURABLE_KEPT);
  readonly #taken = new Set<Turn>();
  /** Once the folder was seen, its absence means that it is unreachable, not that there is no bucket. */
  #seen = false;

  constructor(options: FileObjectStoreOptions) {
    const { path, address, clock, random, disk = systemDisk, mode } = options;
    this.#options = options;
    this.address = address;
    this.#disk = disk;
    this.#clock = clock;
    const folder = new DurableFolder(path, disk, random, () => Number(clock.nowNs() / 1_000_000n), mode);
    this.#folder = folder;
    this.#lock = new FileLock({ disk, clock, random, path: join(path, LOCK), folder });
    this.#turns = new Turns({ disk, clock, random, folder, path: join(path, TURNS), watch: watchFile });
  }

  initialize(): Promise<void> {
    return this.#doing("creating the folder", async () => {
      await this.#folder.create();
      this.#seen = true;
      const foreign = (await this.#disk.readdir(this.#folder.path)).find((entry) => !OURS.test(entry));
      if (foreign !== undefined) throw notEmpty(this.#folder.path, foreign);
    });
  }

  head(name: string): Promise<ObjectInfo | undefined> {
    return this.#doing(`looking for ${name}`, async () => {
      const stat = await this.#unlessAbsent(() => this.#disk.stat(this.#file(name)));
      return stat?.isFile() === true ? { name, size: stat.size, modifiedMs: stat.mtimeMs } : undefined;
    });
  }

  get(name: string): Promise<StoredObject | undefined> {
    return this.#doing(`reading ${name}`, async () => {
      const bytes = await this.#whole(name);
      if (bytes === undefined) return undefined;
      await this.#lock.tidy();
      const token = tokenOf(bytes);
      if (this.#durable.get(name) !== token) await this.#folder.sync(dirname(this.#file(name)));
      this.#durable.set(name, token);
      return { bytes, token };
    });
  }

  async getRanges(name: string, ranges: readonly ByteRange[]): Promise<Uint8Array[]> {
    const { parts } = await this.#readable(name, () => ranges);
    return wholeRanges(name, ranges, parts);
  }

  async getTail(name: string, length: number): Promise<{ bytes: Uint8Array; size: number }> {
    const tailOf = (all: number): ByteRange[] => [{ offset: Math.max(0, all - length), length: Math.min(all, length) }];
    const { size, parts } = await this.#readable(name, tailOf);
    return { bytes: parts[0] ?? new Uint8Array(), size };
  }

  putNew(name: string, body: ObjectBody, options: PutOptions = {}): Promise<PutOutcome> {
    return this.#putting(`writing ${name}`, options, (end) =>
      this.#staging(body, end, async (staged) => {
        const created = await this.#create(staged, name);
        if (created.kind !== "linked") return created.kind === "taken" ? { kind: "refused" } : created;
        if (options.durable === "later") return { kind: "stored", token: staged.token };
        return this.#settle(name, staged.token);
      }),
    );
  }

  putIfMatch(name: string, body: ObjectBody, token: string, options: PutOptions = {}): Promise<PutOutcome> {
    return this.#putting(`replacing ${name}`, options, async (end) => {
      const wanted = () => this.#matches(name, token);
      // Most late writers stop here, without the lock or a write. During our turn a conflict is unlikely.
      if (this.#taken.size === 0 && !(await wanted())) return { kind: "refused" };
      const progress: ReplaceProgress = { renamed: "no" };
      try {
        await this.#lock.run(async (confirm, owner) => {
          if (!(await wanted())) return;
          const put = async (staged: StagedFile) => {
            const identified = await this.#folder.identify(staged);
            await confirm();
            progress.renamed = "perhaps";
            await this.#folder.rename(identified, this.#file(name));
            progress.renamed = "yes";
            progress.token = staged.token;
            // The next writer makes our names durable when it reads the root, so it need not wait for our sync.
            if (name === ROOT_OBJECT) for (const turn of this.#taken) this.#end(turn);
          };
          await this.#staging(body, end, put, owner);
        }, wanted);
      } catch (cause) {
        if (!mayHaveHappened(progress, cause)) throw cause;
        return { kind: "unknown", cause };
      }
      // The folder is synced after the lock is released: readers of the new content meanwhile sync it too.
      return progress.renamed === "yes" ? this.#settle(name, progress.token) : { kind: "refused" };
    });
  }

  settle(): Promise<void> {
    return this.#doing("syncing folders", () => this.#folder.settle());
  }

  async delete(name: string): Promise<void> {
    await this.#doing(`deleting ${name}`, () => this.#inOwnFolder(name, () => this.#disk.unlink(this.#file(name))));
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    for (const folder of ["", ...FOLDERS]) {
      if (!folder.startsWith(prefix) && !prefix.startsWith(folder)) continue;
      const read = () => this.#inOwnFolder(folder, () => this.#disk.readdir(this.#file(folder)));
      for (const entry of (await this.#doing("listing", read)) ?? []) {
        const name = folder + entry;
        const ours = folder !== "" || TOP_OBJECTS.has(name);
        const info = ours && name.startsWith(prefix) ? await this.head(name) : undefined;
        if (info !== undefined) yield info;
      }
    }
  }

  async now(): Promise<number | undefined> {
    // A folder that takes no new files, as on a full disk, may still be read and emptied.
    return this.#folder.now().catch(() => undefined);
  }

  salvaging(unread: (name: string) => void): ObjectStore {
    return new FileObjectStore({ ...this.#options, unread });
  }

  watch(name: string, changed: () => void): Disposable {
    return watchFolder(this.#folder.path, name, changed);
  }

  breakLock(force: boolean): Promise<string | undefined> {
    return this.#doing("unlocking", async () => {
      await this.#turns.break(force);
      // Older versions kept the line in a lock.
      await this.#disk.unlink(this.#file(OLD_TURN)).catch(() => {});
      return this.#lock.break(force);
    });
  }

  async takeTurn(): Promise<Turn | undefined> {
    const turn = await this.#turns.take();
    if (turn === undefined) return undefined;
    this.#taken.add(turn);
    return { waited: turn.waited, [Symbol.dispose]: () => this.#end(turn) };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #end(turn: Turn): void {
    if (this.#taken.delete(turn)) turn[Symbol.dispose]();
  }

  #file(name: string): string {
    return join(this.#folder.path, name);
  }

  /** As `#unlessAbsent`, for objects ("lease/x") and subfolders ("lease/"). Also throws as `requireOwnFolder`. */
  async #inOwnFolder<Result>(name: string, work: () => Promise<Result>): Promise<Result | undefined> {
    const [folder, below] = name.split("/");
    if (folder !== undefined && below !== undefined) await requireOwnFolder(this.#disk, this.#file(folder));
    return this.#unlessAbsent(work);
  }

  #putting(
    what: string,
    options: PutOptions,
    put: (end: AbortSignal | undefined) => Promise<PutOutcome>,
  ): Promise<PutOutcome> {
    return untilPutEnds(options, this.#clock, (end) => this.#doing(what, () => put(end)));
  }

  /** Stages `body`, and removes the temporary name whatever happens. Once it is staged, `end` no longer counts. */
  async #staging<Result>(
    body: ObjectBody,
    end: AbortSignal | undefined,
    put: (staged: StagedFile) => Promise<Result>,
    owner?: LockOwner,
  ): Promise<Result> {
    const staged = await this.#folder.stage(body, end, owner);
    try {
      end?.throwIfAborted();
      return await put(staged);
    } finally {
      // A leftover is swept another day; it must not hide the put's outcome.
      await this.#folder.remove(staged.path).catch(() => {});
    }
  }

  /** Gives a staged file its name. */
  async #create(staged: StagedFile, name: string): Promise<LinkOutcome> {
    try {
      return await this.#folder.link(staged, this.#file(name));
    } catch (cause) {
      if (!failedWith(cause, ...NO_LINKS)) throw cause;
    }
    const created = await this.#lock.run(async (confirm) => {
      if ((await this.head(name)) !== undefined) return false;
      const identified = await this.#folder.identify(staged);
      await confirm();
      await this.#folder.rename(identified, this.#file(name));
      return true;
    });
    return { kind: created === true ? "linked" : "taken" };
  }

  async #settle(name: string, token: string | undefined): Promise<PutOutcome> {
    try {
      await this.#folder.settle(dirname(this.#file(name)));
    } catch (cause) {
      return { kind: "unknown", cause };
    }
    if (token !== undefined) this.#durable.set(name, token);
    return { kind: "stored", token };
  }

  async #matches(name: string, token: string): Promise<boolean> {
    try {
      const bytes = await this.#whole(name);
      return bytes !== undefined && tokenOf(bytes) === token;
    } catch (error) {
      // Too large to be what was read or written here.
      if (hasCode(error, "format_invalid")) return false;
      throw error;
    }
  }

  /** Undefined if the object is absent. Throws `format_invalid` if it is too large. */
  async #whole(name: string): Promise<Uint8Array | undefined> {
    const all = (size: number): ByteRange[] => {
      checkSize(name, size);
      return [{ offset: 0, length: size }];
    };
    return (await this.#read(name, all))?.parts[0];
  }

  /** As `#read`. Throws `object_not_found`. */
  async #readable(name: string, rangesOf: RangesOf) {
    const read = await this.#read(name, rangesOf);
    if (read === undefined) throw objectNotFound(this.address, name);
    return read;
  }

  /** Ranges picked by the object's size; fewer bytes at its end. Undefined if it is absent. Throws `block_corrupt` for a bad sector. */
  #read(name: string, rangesOf: RangesOf) {
    const { unread } = this.#options;
    const salvage = unread && { unread: () => unread(name), now: () => this.now() };
    const read = () => readOrSalvage(this.#disk, this.#file(name), rangesOf, salvage);
    const reading = this.#doing(`reading ${name}`, () => this.#unlessAbsent(read));
    return reading.catch((cause: unknown) => throwUnread(this, name, cause));
  }

  /** Undefined if the object is absent. Throws `store_unreachable` if the whole folder is gone. */
  async #unlessAbsent<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
    try {
      const result = await work();
      this.#seen = true;
      return result;
    } catch (cause) {
      if (!failedWith(cause, "ENOENT", "ENOTDIR")) throw cause;
      const there = await this.#disk.stat(this.#folder.path).catch(() => undefined);
      if (there === undefined && this.#seen) throw unreachable(this.address, cause);
      this.#seen ||= there !== undefined;
      return undefined;
    }
  }

  async #doing<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (cause) {
      throw storeError(cause, this.address, what);
    }
  }
}

const LOCK = "lock";
const TURNS = "turns";
const OLD_TURN = "turn";
/** Enough for objects read repeatedly, such as the root; forgotten ones are synced once more. */
const DURABLE_KEPT = 128;
const FOLDERS = ["commit/", "pack/", "run/", "lease/", "bases/"];
const TOP_OBJECTS = new Set([GENESIS_OBJECT, ROOT_OBJECT]);
/** Names allowed in a bucket's folder. A fresh ext4 has lost+found. */
const OURS = new RegExp(
  `^(commit|pack|run|lease|bases|owners|${TEMPORARY}|genesis|root|arbiter|${LOCK}|${LOCK}-takeover-.*|${TURNS}|${OLD_TURN}|lost\\+found)$`,
);
function notEmpty(path: string, entry: string): SynclineError {
  return new SynclineError("path_exists", `${path} already holds other files (${entry}).`, {
    hint: "Give the bucket a folder of its own.",
  });
}
