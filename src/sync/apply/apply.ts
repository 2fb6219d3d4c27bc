/**
 * Makes the folder show a plan. Never overwrites what changed in the folder since the scan: that is left to the next scan,
 * and its place stays unsettled. Each batch is durable on the disk before the database records it. If a crash comes in
 * between, the next scan sees a change that the bucket has already.
 */
import { groupBy } from "../../base/collections.ts";
import type { FileId } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import { failedWith, isDiskFull } from "../../base/system-errors.ts";
import { sameVersion } from "../../fstree/merge/objects.ts";
import { placeText, type Place } from "../../fstree/object-rows.ts";
import type { ApplyContext } from "./apply-context.ts";
import type { Reason } from "../known/unsettled.ts";
import { NOT_HELD, REFUSALS, type DiskPath, type DiskStat } from "../disk/disk.ts";
import { sourcesOf } from "./ignored-sources.ts";
import { digestOn, setAttributes, writeIncoming, type Ready } from "./incoming.ts";
import { NEW_PATH, PARKED_ID } from "../disk/paths.ts";
import { withAttributes } from "../scan/attributes.ts";
import { syncAttributes, type Changed } from "../scan/durable.ts";
import type { Plan, Put, Removal } from "./plan.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { ifThere } from "./if-there.ts";
import { BATCH_PLACES, batchesOf, putAll, type Puts, type Written } from "./put-all.ts";
import { newFilesFrom, placeNew, type NewFilePut } from "./place-new.ts";
import { sourceOf, type Entry } from "../known/entry.ts";
import { Placing } from "./placing.ts";
import { RedoLog } from "./redo-log.ts";
import { isUntouched, seenOf } from "../known/seen.ts";
import { WholeUnits, type PlannedUnit } from "./whole-units.ts";

export interface Applied {
  readonly files: number;
  readonly removed: number;
  /** Places that stay as they are for now. */
  readonly left: readonly { readonly path: DiskPath; readonly reason: Reason }[];
}

/** Of several plans, the last one finishes directories; until then those made by earlier plans are unsettled. */
export async function applyPlan(context: Omit<ApplyContext, "redo">, plan: Plan, isLast: boolean): Promise<Applied> {
  const isIdle = plan.puts.length + plan.removals.length === 0 && context.db.touched.all().length === 0;
  if (isIdle) return { files: 0, removed: 0, left: [] };
  const redo = await RedoLog.open(context);
  let isDone = false;
  try {
    const applier = new Applier({ ...context, redo }, plan, isLast);
    const failure = await putAll(applier, applier.puts);
    // Removals make room.
    const mayGo = (each: Removal) => failure === undefined || each.isLeaving || !applier.isAwaited(each);
    const removals = applier.removals.filter(mayGo);
    for (let at = 0; at < removals.length; at += BATCH_PLACES)
      await applier.remove(removals.slice(at, at + BATCH_PLACES));
    if (isLast) await applier.finish();
    // The last plan tries missing blocks again.
    if (failure !== undefined && (isLast || isDiskFull(failure.error))) throw failure.error;
    isDone = true;
    return applier.result();
  } finally {
    await redo.close(isDone);
  }
}

class Applier implements Puts {
  readonly #context: ApplyContext;
  readonly #left: { place: Place; path: DiskPath; reason: Reason }[] = [];
  /** Directories that get their attributes last. */
  readonly #unfinished = new Map<FileId, Put>();
  /** Objects that get another place, and places that are to get an object, now or once that is possible. */
  readonly #arriving: ReadonlySet<FileId>;
  readonly #awaited: ReadonlySet<string>;
  readonly #directories = new Map<FileId, boolean>();
  readonly #isLast: boolean;
  readonly #units: WholeUnits;
  #files = 0;
  #removed = 0;

  constructor(context: ApplyContext, plan: Plan, isLast: boolean) {
    const { puts, left } = plan;
    this.#context = context;
    this.#units = new WholeUnits(context, plan);
    this.#isLast = isLast;
    this.#arriving = new Set(puts.map(({ target }) => target.id));
    this.#awaited = new Set([...puts.map(({ place }) => place), ...left].map(placeText));
  }

  /** The plan's puts, those of each unit one after another. */
  get puts(): readonly Put[] {
    return this.#units.puts;
  }

  /** The plan's removals, but for those that go with puts of their unit. */
  get removals(): readonly Removal[] {
    return this.#units.removals;
  }

  unitOf(put: Put): PlannedUnit | undefined {
    return this.#units.of(put);
  }

  result(): Applied {
    const { behind } = this.#context.db;
    // A removal may have freed a name that collided before.
    const left = this.#left.map(({ place, path, reason }) => ({ path, reason: behind.reasonAt(place) ?? reason }));
    return { files: this.#files, removed: this.#removed, left };
  }

  /** Whether another object is to take this place. The removed object stays until that one arrives. */
  isAwaited({ entry }: Removal): boolean {
    return this.#awaited.has(placeText(entry));
  }

  /** Files that turn out not to be needed are removed when the batch is put in place. */
  async write(puts: readonly Put[]): Promise<Written> {
    const { db, signal } = this.#context;
    signal?.throwIfAborted();
    const wanted = onceEach(db.reading(() => puts.filter((put) => this.#needsContent(put))));
    const written = new Map<Put, Ready>();
    // A unit may be larger than what is written at once.
    for (const some of batchesOf(wanted)) {
      const records = some.map(({ target }) => target.record);
      try {
        for (const [index, ready] of (await writeIncoming(this.#context, records)).entries()) {
          const put = some[index];
          if (put !== undefined) written.set(put, ready);
        }
      } catch (error) {
        await this.discard([...written.values()]);
        throw error;
      }
    }
    return written;
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
    const { redo, signal } = this.#context;
    signal?.throwIfAborted();
    await redo.transaction(async () => {
      for (const [unit, some] of groupBy(puts, (put) => this.#units.of(put))) {
        const removals = this.#units.takeRemovals(unit);
        if (await this.#units.isAsShown(unit)) {
          await this.#putRun(placing, some, ready);
          await this.#removeRun(placing, removals);
        } else {
          for (const put of some) this.leave(put, "changed here");
          for (const { entry, path } of removals) this.#leave(entry, path, "changed here");
        }
      }
      await placing.sync();
    });
  }

  async #putRun(placing: Placing, puts: readonly Put[], ready: Written): Promise<void> {
    const { db } = this.#context;
    let mayPlace = true;
    for (let at = 0; at < puts.length; at++) {
      const files: readonly NewFilePut[] = mayPlace ? newFilesFrom(db, puts, at, ready) : [];
      const placed: number = await placeNew(this.#context, placing, files);
      for (const { put } of files.slice(0, placed)) this.#placed(put);
      at += placed;
      // Placing a refused file by itself tells why; the rest of the batch follows one by one.
      mayPlace &&= placed === files.length;
      const next = puts[at];
      if (next !== undefined) await this.#putOne(placing, next, ready.get(next));
    }
  }

  async remove(removals: readonly Removal[]): Promise<void> {
    const { redo, signal } = this.#context;
    signal?.throwIfAborted();
    await redo.transaction(async () => {
      const placing = new Placing(this.#context, this.#arriving);
      for (const [unit, some] of groupBy(removals, (each) => this.#units.of(each))) {
        if (await this.#units.isAsShown(unit)) await this.#removeRun(placing, some);
        else for (const { entry, path } of some) this.#leave(entry, path, "changed here");
      }
      await placing.sync();
    });
  }

  async #removeRun(placing: Placing, removals: readonly Removal[]): Promise<void> {
    for (const removal of removals) {
      const { entry, path } = removal;
      const done = await attempt(() => placing.remove(entry));
      const isGone = done === "done" || (done === "in the way" && removal.isLeaving && this.#forgetEmptied(entry));
      if (isGone) {
        this.#removed++;
        // If another object is to come here, that one settles the place.
        this.#settled(entry, path, !this.isAwaited(removal));
      } else this.#leave(entry, path, done);
    }
  }

  /** Only this folder has what is left in a directory that others moved away. The directory becomes its own, too. */
  #forgetEmptied({ id, record }: Entry): boolean {
    const { db } = this.#context;
    const names = record.type === "directory" && db.children(id).length === 0 ? db.byId(id) : [];
    if (names.length === 0 || names.some(({ parent }) => parent === PARKED_ID)) return false;
    for (const name of names) db.remove(name);
    return true;
  }

  /** Sets attributes of directories, leaves first: a mode may forbid writing in its directory. */
  async finish(): Promise<void> {
    const { db, redo } = this.#context;
    const puts = [...this.#unfinished.values()].reverse();
    for (let at = 0; at < puts.length; at += BATCH_PLACES) {
      const batch = puts.slice(at, at + BATCH_PLACES);
      await redo.transaction(async () => {
        const changed: Changed[] = [];
        for (const put of batch) await this.#finishOne(put, changed);
        await syncAttributes(this.#context.disk, changed);
      });
    }
    for (const id of db.touched.all()) {
      const [entry] = db.byId(id);
      const path = entry === undefined ? undefined : pathInFolder(db, entry);
      if (entry === undefined || path === undefined || this.#unfinished.has(id)) continue;
      await ifThere(this.#context.disk.setModified(path, entry.record.mtimeNs));
    }
    db.touched.clear();
  }

  #needsContent({ place, target, isNew }: Put): boolean {
    const { record, id } = target;
    const { db } = this.#context;
    if (record.type === "directory" || !this.#hasDirectory(place.parent)) return false;
    if (isNew) return true;
    const there = db.at(place);
    const basis = (there?.id === id ? there : sourceOf(sourcesOf(this.#context, id), record))?.record;
    return basis === undefined || !sameVersion(basis, record);
  }

  /** Whether the folder shows this directory, or is to get it. */
  #hasDirectory(id: FileId): boolean {
    const known = this.#directories.get(id);
    if (known !== undefined) return known;
    const has = id === ROOT_ID || this.#arriving.has(id) || this.#context.db.isKnown(id);
    this.#directories.set(id, has);
    return has;
  }

  async #putOne(placing: Placing, put: Put, ready: Ready | undefined): Promise<void> {
    const { place, target, path } = put;
    const { db } = this.#context;
    const done = await attempt(() => placing.put(place, target, ready));
    // What the folder shows under another name stays there.
    const isElsewhere = done === "not kept here" && db.isKnown(target.id);
    if (done !== "done") return this.#leave(place, path, isElsewhere ? "in the way" : done);
    if (target.record.type !== "directory") return this.#placed(put);
    db.touched.add(place);
    this.#unfinished.set(target.id, put);
  }

  #placed({ place, path }: Put): void {
    this.#files++;
    this.#settled(place, path);
  }

  async #finishOne({ place, target, path }: Put, changed: Changed[]): Promise<void> {
    const { db, disk, nowNs } = this.#context;
    const entry = db.at(place);
    const there = entry === undefined ? undefined : pathInFolder(db, entry);
    if (entry?.id !== target.id || there === undefined) return;
    const before = await disk.look(there);
    if (before?.type !== "directory" || before.ino !== entry.seen.ino) return this.#leave(place, path, "changed here");
    const done = await attempt(async () => {
      if (await this.#hasOtherAttributes(entry, there, before)) return "changed here";
      await setAttributes(this.#context, there, target.record, before);
      changed.push({ path: there, type: "directory" });
      return "done";
    });
    if (done !== "done") return this.#leave(place, path, done);
    const stat = await disk.look(there);
    if (stat === undefined) return this.#leave(place, path, "changed here");
    const digest = disk.hasXattrs ? await digestOn(disk, there) : entry.seen.xattrs;
    db.put({ ...entry, record: target.record, seen: seenOf(stat, digest, nowNs()) });
    this.#settled(place, path);
  }

  /** Whether somebody set attributes of a directory since the scan. Its entries may have changed its times. */
  async #hasOtherAttributes({ record, seen }: Entry, path: DiskPath, now: DiskStat): Promise<boolean> {
    const { disk, attention } = this.#context;
    if (isUntouched(seen, now)) return false;
    if (withAttributes(record, seen, now, attention) !== record) return true;
    return disk.hasXattrs && (await digestOn(disk, path)) !== seen.xattrs;
  }

  #settled(place: Place, path: DiskPath, isWhole = true): void {
    const { db } = this.#context;
    if (isWhole) db.settle(place);
    db.touched.add(place);
    this.#context.applied?.(path);
  }

  leave({ place, path }: Put, reason: Reason): void {
    this.#leave(place, path, reason);
  }

  #leave(place: Place, path: DiskPath, reason: Reason): void {
    // The last plan may make room, so places left by earlier plans stay "in the way" for it.
    this.#context.db.unsettle({ parent: place.parent, name: place.name }, this.#isLast ? reason : "in the way");
    this.#left.push({ place, path, reason });
  }

  /** Removes files that found no place. */
  async discard(ready: readonly Ready[]): Promise<void> {
    for (const { path } of ready) await ifThere(this.#context.disk.unlink(path));
    if (ready.length > 0) await ifThere(this.#context.disk.syncDirectory(NEW_PATH));
  }
}

/** Without the other names of a file: they are linked to the first (placing.ts). */
function onceEach(puts: readonly Put[]): Put[] {
  const met = new Set<FileId>();
  return puts.filter(({ target: { id, record } }) => {
    if (record.type !== "file") return true;
    const isFirst = !met.has(id);
    met.add(id);
    return isFirst;
  });
}

/** Someone's file in the way stays. */
async function attempt(work: () => Promise<"done" | Reason>): Promise<"done" | Reason> {
  try {
    return await work();
  } catch (error) {
    if (failedWith(error, "ENOENT", "ENOTDIR", "ELOOP", "EEXIST", "EISDIR")) return "changed here";
    if (failedWith(error, ...NOT_HELD)) return "not kept here";
    if (failedWith(error, "ENOTEMPTY", ...REFUSALS)) return "in the way";
    throw error;
  }
}
