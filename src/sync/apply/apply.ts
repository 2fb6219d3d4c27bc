/**
 * Makes the folder show what a plan says, never over what was changed in it since it was looked at: that stays for the next scan, and
 * its place stays unsettled. Each batch is durable on the disk before the database knows of it; what a crash leaves between the two
 * the next scan sees as a change that the bucket has already.
 */
import type { FileId } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import { failedWith, isDiskFull } from "../../base/system-errors.ts";
import { sameVersion } from "../../fstree/merge/objects.ts";
import { placeText, type Place } from "../../fstree/object-rows.ts";
import type { ApplyContext } from "./apply-context.ts";
import type { Reason } from "../known/unsettled.ts";
import { REFUSALS, type DiskPath } from "../disk/disk.ts";
import { digestOn, setAttributes, writeIncoming, type Ready } from "./incoming.ts";
import { NEW_PATH } from "../disk/paths.ts";
import type { Plan, Put, Removal } from "./plan.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { newFilesFrom, placeNew, type NewFilePut } from "./place-new.ts";
import { sourceOf } from "../known/entry.ts";
import { Placing } from "./placing.ts";
import { RedoLog } from "./redo-log.ts";
import { seenOf } from "../known/seen.ts";

export interface Applied {
  readonly files: number;
  readonly removed: number;
  /** Places that stay as they are for now. */
  readonly left: readonly { readonly path: DiskPath; readonly reason: Reason }[];
}

/**
 * `touched`: directories whose entries this plan changed, or others before it. Of several plans the last one finishes directories; what an earlier
 * one made is behind until then.
 */
export async function applyPlan(
  context: Omit<ApplyContext, "redo">,
  plan: Plan,
  touched: Set<FileId>,
  isLast: boolean,
): Promise<Applied> {
  if (plan.puts.length + plan.removals.length + touched.size === 0) return { files: 0, removed: 0, left: [] };
  const redo = await RedoLog.open(context);
  let isDone = false;
  try {
    const applier = new Applier({ ...context, redo }, plan, touched, isLast);
    const full = await putAll(applier, [...batchesOf(plan.puts)]);
    // What goes makes room.
    const removals = full === undefined ? plan.removals : plan.removals.filter((each) => !applier.isAwaited(each));
    for (let at = 0; at < removals.length; at += BATCH_PLACES)
      await applier.remove(removals.slice(at, at + BATCH_PLACES));
    if (isLast) await applier.finish();
    if (full !== undefined) throw full.error;
    isDone = true;
    return applier.result();
  } finally {
    await redo.close(isDone);
  }
}

/**
 * Each batch is written under temporary names while the one before it is put in place. Where the disk is full what still has room comes, and it is
 * answered what had none.
 */
async function putAll(
  applier: Applier,
  batches: readonly (readonly Put[])[],
): Promise<{ readonly error: unknown } | undefined> {
  let next: Promise<Written> | undefined;
  try {
    for (const [index, batch] of batches.entries()) {
      let written: Written;
      try {
        written = await (next ?? applier.write(batch));
      } catch (error) {
        if (!isDiskFull(error)) throw error;
        await putEach(applier, batches.slice(index).flat());
        return { error };
      }
      const following = batches[index + 1];
      next = following === undefined ? undefined : applier.write(following);
      // Told when it is its turn.
      next?.catch(() => {});
      await applier.put(batch, written);
    }
    return undefined;
  } catch (error) {
    // What is written already, and comes no more, needs room that others have to have.
    if (isDiskFull(error)) await next?.then((written) => applier.discard([...written.values()])).catch(() => {});
    throw error;
  } finally {
    // The disk is closed behind this.
    await next?.catch(() => {});
  }
}

/**
 * One by one, until so many have no room that the others will not have it either. One that was written and has no room for its name ends it: what
 * was done of that is told by the log alone, which whatever came next would clear.
 */
async function putEach(applier: Applier, puts: readonly Put[]): Promise<void> {
  let refused = 0;
  for (const put of puts) {
    if (refused === FULL_PUTS) return;
    let written: Written;
    try {
      written = await applier.write([put]);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      refused++;
      continue;
    }
    await applier.put([put], written);
  }
}

/** What of a batch is on the disk under temporary names. */
type Written = ReadonlyMap<Put, Ready>;

class Applier {
  readonly #context: ApplyContext;
  readonly #left: { path: DiskPath; reason: Reason }[] = [];
  /** Directories that get their attributes last. */
  readonly #unfinished = new Map<FileId, Put>();
  /** Those whose entries changed: their times follow. */
  readonly #touched: Set<FileId>;
  /** Objects that get another place, and places that get an object. */
  readonly #arriving: ReadonlySet<FileId>;
  readonly #awaited: ReadonlySet<string>;
  readonly #isLast: boolean;
  #files = 0;
  #removed = 0;

  constructor(context: ApplyContext, { puts }: Plan, touched: Set<FileId>, isLast: boolean) {
    this.#context = context;
    this.#isLast = isLast;
    this.#touched = touched;
    this.#arriving = new Set(puts.map(({ target }) => target.id));
    this.#awaited = new Set(puts.map(({ place }) => placeText(place)));
  }

  result(): Applied {
    return { files: this.#files, removed: this.#removed, left: this.#left };
  }

  /** Whether something is to come where this is, which stays for as long as that has not. */
  isAwaited({ entry }: Removal): boolean {
    return this.#awaited.has(placeText(entry));
  }

  /** Whatever of it turns out not to be needed is removed when it is put in place. */
  async write(puts: readonly Put[]): Promise<Written> {
    const { db, signal } = this.#context;
    signal?.throwIfAborted();
    const wanted = db.reading(() => puts.filter((put) => this.#needsContent(put)));
    const ready = await writeIncoming(
      this.#context,
      wanted.map(({ target }) => target.record),
    );
    return new Map(wanted.flatMap((put, index) => (ready[index] === undefined ? [] : [[put, ready[index]]])));
  }

  async put(puts: readonly Put[], ready: Written): Promise<void> {
    const placing = new Placing(this.#context, this.#arriving);
    const discard = () => this.discard([...ready.values()].filter((each) => !placing.hasPlaced(each)));
    try {
      await this.#putAll(placing, puts, ready);
    } catch (error) {
      if (isDiskFull(error)) await discard().catch(() => {});
      throw error;
    }
    await discard();
  }

  async #putAll(placing: Placing, puts: readonly Put[], ready: Written): Promise<void> {
    const { db, redo, signal } = this.#context;
    signal?.throwIfAborted();
    await redo.transaction(async () => {
      let mayPlace = true;
      for (let at = 0; at < puts.length; at++) {
        const files: readonly NewFilePut[] = mayPlace ? newFilesFrom(db, puts, at, ready) : [];
        const placed: number = await placeNew(this.#context, placing, files);
        for (const { put } of files.slice(0, placed)) this.#placed(put);
        at += placed;
        // One that cannot have its place by itself is told why; the others of the batch go the same way.
        mayPlace &&= placed === files.length;
        const next = puts[at];
        if (next !== undefined) await this.#putOne(placing, next, ready.get(next));
      }
      await placing.sync();
    });
  }

  async remove(removals: readonly Removal[]): Promise<void> {
    const { redo, signal } = this.#context;
    signal?.throwIfAborted();
    await redo.transaction(async () => {
      const placing = new Placing(this.#context, this.#arriving);
      for (const { entry, path } of removals) {
        const done = await attempt(() => placing.remove(entry));
        if (done === "done") {
          this.#removed++;
          // Its place may be behind still: what comes there settles it.
          this.#settled(entry, path, !this.isAwaited({ entry, path }));
        } else this.#leave(entry, path, done);
      }
      await placing.sync();
    });
  }

  /** Attributes of directories, from the leaves up: one may forbid to write in it. */
  async finish(): Promise<void> {
    const { db, redo } = this.#context;
    const puts = [...this.#unfinished.values()].reverse();
    for (let at = 0; at < puts.length; at += BATCH_PLACES) {
      const batch = puts.slice(at, at + BATCH_PLACES);
      await redo.transaction(async () => {
        for (const put of batch) await this.#finishOne(put);
      });
    }
    for (const id of this.#touched) {
      const [entry] = db.byId(id);
      const path = entry === undefined ? undefined : pathInFolder(db, entry);
      if (entry === undefined || path === undefined || this.#unfinished.has(id)) continue;
      await ifThere(this.#context.disk.setModified(path, entry.record.mtimeNs));
    }
  }

  #needsContent({ place, target, isNew }: Put): boolean {
    const { record, id } = target;
    if (record.type === "directory") return false;
    if (isNew) return true;
    const { db } = this.#context;
    const there = db.at(place);
    const basis = (there?.id === id ? there : sourceOf(db.byId(id), record))?.record;
    return basis === undefined || !sameVersion(basis, record);
  }

  async #putOne(placing: Placing, put: Put, ready: Ready | undefined): Promise<void> {
    const { place, target, path } = put;
    const done = await attempt(() => placing.put(place, target, ready));
    if (done !== "done") return this.#leave(place, path, done);
    if (target.record.type !== "directory") return this.#placed(put);
    this.#touch(place);
    this.#unfinished.set(target.id, put);
  }

  #placed({ place, path }: Put): void {
    this.#files++;
    this.#settled(place, path);
  }

  async #finishOne({ place, target, path }: Put): Promise<void> {
    const { db, disk, nowNs } = this.#context;
    const entry = db.at(place);
    const there = entry === undefined ? undefined : pathInFolder(db, entry);
    if (entry?.id !== target.id || there === undefined) return;
    const before = await disk.look(there);
    if (before?.type !== "directory" || before.ino !== entry.seen.ino) return this.#leave(place, path, "changed here");
    const done = await attempt(async () => {
      await setAttributes(this.#context, there, target.record);
      return "done";
    });
    if (done !== "done") return this.#leave(place, path, done);
    const stat = await disk.look(there);
    if (stat === undefined) return this.#leave(place, path, "changed here");
    const digest = disk.hasXattrs ? await digestOn(disk, there) : entry.seen.xattrs;
    db.put({ ...entry, record: target.record, seen: seenOf(stat, digest, nowNs()) });
    this.#settled(place, path);
  }

  #settled(place: Place, path: DiskPath, isWhole = true): void {
    if (isWhole) this.#context.db.settle(place);
    this.#touch(place);
    this.#context.applied?.(path);
  }

  #leave(place: Place, path: DiskPath, reason: Reason): void {
    // What the last plan does may make room: it looks at it again, and others before it do not.
    this.#context.db.unsettle({ parent: place.parent, name: place.name }, this.#isLast ? reason : "in the way");
    this.#left.push({ path, reason });
  }

  #touch({ parent }: Place): void {
    if (parent !== ROOT_ID) this.#touched.add(parent);
  }

  /** What found no place. */
  async discard(ready: readonly Ready[]): Promise<void> {
    for (const { path } of ready) await ifThere(this.#context.disk.unlink(path));
    if (ready.length > 0) await ifThere(this.#context.disk.syncDirectory(NEW_PATH));
  }
}

/** What stands in the way is somebody's, and stays. */
async function attempt(work: () => Promise<"done" | Reason>): Promise<"done" | Reason> {
  try {
    return await work();
  } catch (error) {
    if (failedWith(error, "ENOENT", "ENOTDIR", "ELOOP", "EEXIST", "EISDIR")) return "changed here";
    if (failedWith(error, "ENOTEMPTY", ...REFUSALS)) return "in the way";
    throw error;
  }
}

async function ifThere(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP", "EPERM", "EACCES")) throw error;
  }
}

/** As many as are written under temporary names at once. */
function* batchesOf(puts: readonly Put[]): Generator<Put[]> {
  let batch: Put[] = [];
  let bytes = 0;
  for (const put of puts) {
    batch.push(put);
    bytes += put.target.record.size;
    if (batch.length < BATCH_PLACES && bytes < BATCH_BYTES) continue;
    yield batch;
    [batch, bytes] = [[], 0];
  }
  if (batch.length > 0) yield batch;
}

/** Each batch is made durable by itself: four waits for the disk, however many files are in it. */
const BATCH_PLACES = 1_024;
/** On a full disk. */
const FULL_PUTS = 16;
/** In memory, of two batches. */
const BATCH_BYTES = 32 * 1024 * 1024;
