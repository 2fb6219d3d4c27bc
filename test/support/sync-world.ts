/** Folders in memory that sync with one bucket in memory. Each has a database, a device, and a process that may die. */
import { expect } from "vitest";
import type { FileName } from "../../src/base/ids.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Bucket } from "../../src/bucket/bucket.ts";
import type { PublishContext } from "../../src/bucket/publish.ts";
import { SyncDatabase } from "../../src/sync/known/database.ts";
import type { DiskPath } from "../../src/sync/disk/disk.ts";
import { newPath, PARKED_PATH } from "../../src/sync/disk/paths.ts";
import { dryRunPass, syncPass } from "../../src/sync/sync-pass.ts";
import type { PassContext, PassResult } from "../../src/sync/pass-result.ts";
import type { Most } from "../../src/sync/scan/walk.ts";
import { MemoryRemote } from "./memory-remote.ts";
import { Crash, MemorySyncDisk } from "../../src/simulate/folder/memory-sync-disk.ts";
import { createBucket, hurriedClock, newWriter, openBucket, pathsOf, seededStream } from "./test-bucket.ts";

export class SyncedFolder {
  readonly disk = new MemorySyncDisk();
  readonly db = new SyncDatabase(":memory:");
  /** Database transactions left before the process dies; undefined: it lives. */
  notes: number | undefined;
  /** The most new data published at once; undefined: the real limit. */
  portion: Most | undefined;
  /** Whether the running or last pass has begun its scan. What happens earlier, the scan sees. */
  hasScanned = false;
  readonly #remote: MemoryRemote;
  readonly #seed: number;
  #first = true;
  #device: Promise<PublishContext> | undefined;

  constructor(remote: MemoryRemote, seed: number) {
    this.#remote = remote;
    this.#seed = seed;
    // Every other folder's disk places files one by one.
    if (seed % 2 === 0) this.disk.placeAll = undefined;
    const transaction = this.db.transaction.bind(this.db);
    this.db.transaction = async (...call) => {
      if (this.notes !== undefined && this.notes-- <= 0) throw new Crash("The process died.");
      return transaction(...call);
    };
  }

  /** Runs one pass in a process of its own. */
  async sync(options: Partial<PassContext> = {}): Promise<PassResult> {
    return syncPass(await this.#context(options));
  }

  /** What a pass would do. */
  async dryRun(): Promise<PassResult> {
    return dryRunPass(await this.#context({}));
  }

  async #context(options: Partial<PassContext>): Promise<PassContext> {
    const bucket = await openBucket(this.#remote);
    this.#device ??= newWriter(bucket, this.#seed, seededStream(this.#seed));
    const { writer } = await this.#device;
    this.disk.tick();
    const clock = { ...hurriedClock, nowNs: () => this.disk.nowNs() };
    const context: PassContext = {
      db: this.db,
      disk: this.disk,
      bucket,
      writer,
      clock,
      log: silentLog,
      again: this.#first,
      random: seededStream(this.#seed * 1_000_003 + Number(this.disk.nowNs() % 1_000_000_007n)),
      names: { folder: `folder ${this.#seed}`, state: "state" },
      attention: { modeMask: 0o1777, owners: false },
      progress: { looking: () => this.#scanBegins() },
      ...(this.portion !== undefined && { portion: this.portion }),
      ...options,
    };
    this.#first = false;
    this.hasScanned = false;
    return context;
  }

  #scanBegins(): Disposable {
    this.hasScanned = true;
    return { [Symbol.dispose]: () => {} };
  }
}

export interface SyncWorld {
  readonly remote: MemoryRemote;
  readonly bucket: Bucket;
  readonly folders: readonly SyncedFolder[];
}

export async function syncWorld(count: number): Promise<SyncWorld> {
  const remote = new MemoryRemote();
  const bucket = await createBucket(remote);
  const folders = Array.from({ length: count }, (_, index) => new SyncedFolder(remote, 100 + index));
  return { remote, bucket, folders };
}

/** Thrown if folders keep changing, or wait for something that never comes. */
export class Unrest extends Error {}

/** Syncs all folders until none has anything to do. Throws `Unrest` if they do not come to rest. */
export async function settle(
  { bucket, folders }: SyncWorld,
  pass: (folder: SyncedFolder) => Promise<PassResult> = (folder) => folder.sync(),
): Promise<void> {
  let [last, quiet] = ["", 0];
  for (let turn = 0; quiet < 2; turn++) {
    if (turn > 30) throw new Unrest("The folders do not come to rest.");
    let busy = 0;
    for (const folder of folders) {
      folder.disk.tick(3_000_000_000n);
      const { local, added, applied } = await pass(folder);
      busy += local.length + added + applied.files + applied.removed + applied.left.length;
    }
    const head = (await bucket.head()).commit.cid;
    quiet = busy === 0 && head === last ? quiet + 1 : 0;
    last = head;
  }
}

export async function bucketTree(bucket: Bucket): Promise<Map<string, string>> {
  return new Map(Object.entries(await pathsOf(bucket, (await bucket.head()).commit.body.tree)));
}

/** Syncs all folders and returns the final tree: the same in the bucket and in every folder, with nothing parked. */
export async function settledTree(world: SyncWorld): Promise<Map<string, string>> {
  await settle(world);
  const whole = await bucketTree(world.bucket);
  for (const { disk } of world.folders) expect([disk.tree(), disk.tree(PARKED_PATH).size]).toEqual([whole, 0]);
  return whole;
}

export function path(text: string): DiskPath {
  return text.split("/") as FileName[];
}

/** The folders of a world of two. */
export function pair({ folders }: SyncWorld): [SyncedFolder, SyncedFolder] {
  const [one, other] = folders;
  if (one === undefined || other === undefined) throw new Error("There are not two folders.");
  return [one, other];
}

/** A world of two folders, by name. */
export async function twoFolders(): Promise<{ world: SyncWorld; a: SyncedFolder; b: SyncedFolder }> {
  const world = await syncWorld(2);
  const [a, b] = pair(world);
  return { world, a, b };
}

/** Runs a pass that dies before a change of the disk; returns whether it reached that change. */
export async function killed(folder: SyncedFolder, change: number): Promise<boolean> {
  folder.disk.budget = change;
  try {
    await folder.sync();
    return false;
  } catch (error) {
    if (error instanceof Crash) return true;
    throw error;
  } finally {
    folder.disk.budget = undefined;
    folder.disk.tick(3_000_000_000n);
  }
}

/** Runs a pass whose process dies before it records what its swap did. */
export async function dyingAfterSwap(folder: SyncedFolder): Promise<void> {
  folder.notes = 0;
  await expect(folder.sync()).rejects.toThrow(Crash);
  folder.notes = undefined;
}

/** Removes many paths in several passes, each below the deletion limit: other folders must then ask for approval. */
export async function removeUnasked(folder: SyncedFolder, paths: readonly string[]): Promise<void> {
  for (let at = 0; at < paths.length; at += 90) {
    for (const each of paths.slice(at, at + 90)) folder.disk.remove(path(each));
    expect((await folder.sync()).held).toBeUndefined();
  }
}

/** The redo log. */
export const REDO_LOG = newPath("redo");

export async function redoLogOf({ disk }: SyncedFolder): Promise<string> {
  if ((await disk.look(REDO_LOG)) === undefined) return "";
  const file = await disk.read(REDO_LOG);
  return Buffer.from(await file.read(0, (await file.stat()).size)).toString();
}

/** Calls back right after each listing of a directory. */
export function afterListing({ disk }: SyncedFolder, directory: string, act: () => void): Disposable {
  const { list } = disk;
  disk.list = async (at) => {
    const entries = await list.call(disk, at);
    if (at.join("/") === directory) {
      disk.tick();
      act();
    }
    return entries;
  };
  return { [Symbol.dispose]: () => void (disk.list = list) };
}
