/**
 * Moves one object to its place or away: checks that the disk has what the database says, makes one rename that other
 * programs see whole or not at all, and checks again what was displaced.
 */
import { ROOT_ID, type FileId } from "../../base/ids.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { FileRecord } from "../../format/files/record.ts";
import type { TreeObject } from "../../fstree/fs-reader.ts";
import { sameVersion } from "../../fstree/merge/objects.ts";
import type { Place } from "../../fstree/object-rows.ts";
import { samePlace } from "../../fstree/object-rows.ts";
import { ActedInodes } from "./acted-inodes.ts";
import type { ApplyContext } from "./apply-context.ts";
import type { Reason } from "../known/unsettled.ts";
import type { DiskPath, DiskStat } from "../disk/disk.ts";
import { LateFiles } from "./late-files.ts";
import { syncAttributes, syncDirectories, type Changed } from "../scan/durable.ts";
import { sameRecord } from "../../fstree/same-record.ts";
import { isTwin, sourceOf, type Entry } from "../known/entry.ts";
import { sourcesOf } from "./ignored-sources.ts";
import { digestOn, setAttributes, type Ready } from "./incoming.ts";
import { PARKED_ID, parkedPath } from "../disk/paths.ts";
import { returnToSight } from "./parked.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { tryLink } from "./try-link.ts";
import { unfinished } from "./unfinished.ts";
import { replaceWatched } from "./saved-meanwhile.ts";
import { hasSameBytes, looksSame, seenAfterRename, seenOf } from "../known/seen.ts";

export class Placing {
  readonly #context: ApplyContext;
  /** Objects that get another place: none of them is given up if something else comes to theirs. */
  readonly #arriving: ReadonlySet<FileId>;
  readonly #used = new Set<Ready>();
  /** Directories in which names changed, by their paths. */
  readonly #dirty = new Map<string, DiskPath>();
  readonly #changed: Changed[] = [];
  readonly #acted: ActedInodes;
  readonly #late: LateFiles;

  constructor(context: ApplyContext, arriving: ReadonlySet<FileId>) {
    this.#context = context;
    this.#arriving = arriving;
    this.#acted = new ActedInodes(context);
    this.#late = new LateFiles(context, this.#acted);
  }

  /** Whether the file was put in place: then its temporary name is gone. */
  hasPlaced(ready: Ready): boolean {
    return this.#used.has(ready);
  }

  /** Makes all names and attributes durable. */
  async sync(): Promise<void> {
    await this.#late.discard((ready) => this.hasPlaced(ready));
    await this.#acted.settle();
    await syncDirectories(this.#context.disk, this.#dirty.values());
    await syncAttributes(this.#context.disk, this.#changed);
  }

  async put(place: Place, target: TreeObject, ready: Ready | undefined): Promise<"done" | Reason> {
    const { db } = this.#context;
    const path = this.#pathOf(place);
    if (path === undefined) return "in the way";
    const occupant = db.at(place);
    const sources = () => sourcesOf(this.#context, target.id);
    const [first, second] = sources();
    if (occupant?.id === target.id) {
      if (sameVersion(occupant.record, target.record)) return this.#update(occupant, path, target, ready);
      const made = await this.#late.linked(otherWith(sources(), target.record, place));
      return this.#update(occupant, path, target, made ?? (await this.#late.written(target.record, ready)));
    }
    if (occupant !== undefined) {
      const isReplaced = first === undefined && ready !== undefined && occupant.record.type !== "directory";
      if (isReplaced && !this.#arriving.has(occupant.id)) return this.#update(occupant, path, target, ready);
      const vacated = await this.#vacate(occupant, path);
      if (vacated !== "done") return vacated;
    }
    const source = sourceOf(sources(), target.record);
    if (source === undefined) return this.#create(place, path, target, await this.#late.written(target.record, ready));
    const isLink = target.record.type !== "directory" && (second !== undefined || isNamed(target, source));
    const arrived = await (isLink ? this.#link(source, place, path) : this.#move(source, place, path));
    if (arrived === "no links")
      return this.#create(place, path, target, await this.#late.written(target.record, ready));
    if (typeof arrived === "string") return arrived;
    const has = sameVersion(arrived.record, target.record);
    return this.#update(arrived, path, target, has ? undefined : await this.#late.written(target.record, ready));
  }

  /** Removes a name if its object is still as it was synced. */
  async remove({ parent, name, id }: Pick<Entry, keyof Place | "id">): Promise<"done" | Reason> {
    const { db, disk, isHeld } = this.#context;
    // As of now: the batch before may have removed other names of it.
    const entry = db.at({ parent, name });
    if (entry?.id !== id) {
      // Another object took the name: this one was parked for it, unless it was replaced.
      const parked = db.byId(id).find((each) => each.parent === PARKED_ID);
      return parked === undefined ? "done" : this.remove(parked);
    }
    const path = this.#pathOf(entry);
    const stat = path === undefined ? undefined : await disk.look(path);
    // Somebody has removed or moved it since the scan. The next scan sees which.
    if (path !== undefined && stat === undefined && parent !== PARKED_ID && !isHeld) return "changed here";
    if (path === undefined || stat === undefined) {
      db.remove(entry);
      return "done";
    }
    const removed = await this.#removeAt(entry, path, stat);
    if (removed === "done") {
      db.remove(entry);
      this.#acted.note(entry);
    } else if (entry.parent === PARKED_ID) {
      this.#note(path);
      const back = await returnToSight(db, disk, entry.id);
      if (back !== undefined) this.#note(back);
    }
    return removed;
  }

  async #removeAt(entry: Entry, path: DiskPath, stat: DiskStat): Promise<"done" | Reason> {
    if (entry.record.type !== "directory") {
      return (await this.#isAsSynced(path, entry, stat)) ? this.#take(path, entry) : "changed here";
    }
    if (stat.ino !== entry.seen.ino) return "changed here";
    try {
      await this.#context.disk.removeDirectory(path);
    } catch (error) {
      if (!failedWith(error, "ENOTEMPTY", "EEXIST")) throw error;
      return "in the way";
    }
    this.#note(path);
    return "done";
  }

  /** Moves it aside, and deletes it if it is still the same. */
  async #take(path: DiskPath, entry: Entry): Promise<"done" | Reason> {
    const { disk } = this.#context;
    const aside = parkedPath(entry.id);
    if (entry.parent !== PARKED_ID) {
      await disk.rename(path, aside, "free");
      const taken = await disk.look(aside);
      if (taken?.ino !== entry.seen.ino || !hasSameBytes(entry.seen, taken)) {
        await disk.rename(aside, path, "free");
        return "changed here";
      }
    }
    await disk.unlink(aside);
    this.#note(path);
    this.#note(aside);
    return "done";
  }

  async #create(place: Place, path: DiskPath, target: TreeObject, ready: Ready | undefined): Promise<"done" | Reason> {
    const { db, disk, redo } = this.#context;
    const { record, id } = target;
    if (ready !== undefined && record.type !== "directory") {
      redo.placing([this.asMade(place, target, ready)]);
      try {
        await disk.rename(ready.path, path, "free");
        redo.mark();
      } catch (error) {
        if (!failedWith(error, "EEXIST")) throw error;
        const other = await disk.look(path);
        return other !== undefined && this.#collides(place, other) ? "name collides" : "changed here";
      }
      return this.placed(place, path, target, ready, await disk.look(path));
    }
    const there = await disk.look(path);
    if (there !== undefined) return this.#collides(place, there) ? "name collides" : "changed here";
    if (record.type === "directory") {
      await disk.makeDirectory(path);
      this.#note(path);
      const stat = await disk.look(path);
      if (stat === undefined) return "changed here";
      db.put({ ...place, id, record: unfinished(record), seen: this.#seen(stat, await this.#digest(path, stat)) });
      return "done";
    }
    return "waiting";
  }

  async #update(entry: Entry, path: DiskPath, target: TreeObject, ready: Ready | undefined): Promise<"done" | Reason> {
    const { db, disk } = this.#context;
    const { record, id } = target;
    const place = { parent: entry.parent, name: entry.name };
    const stat = await disk.look(path);
    if (record.type === "directory" && entry.id === id)
      return stat?.type === "directory" && stat.ino === entry.seen.ino ? "done" : "changed here";
    if (stat === undefined || !(await this.#isAsSynced(path, entry, stat))) return "changed here";
    // Its bytes were to come from another name, which lost them meanwhile.
    if (ready === undefined && !sameVersion(entry.record, record)) return "waiting";
    if (ready !== undefined) {
      const swapped = await replaceWatched(this.#context, path, entry, ready, this.asMade(place, target, ready));
      this.#note(path);
      if (swapped !== "done") return swapped;
      this.#acted.note(entry);
      return this.placed(place, path, target, ready, await disk.look(path));
    }
    const isTimed = stat.mtimeNs === record.mtimeNs;
    await setAttributes(this.#context, path, record, stat);
    this.#changed.push({ path, type: record.type });
    const now = await disk.look(path);
    if (now?.ino !== stat.ino || now.size !== stat.size) return "changed here";
    if (isTimed && now.mtimeNs !== stat.mtimeNs) return "changed here";
    const seen = this.#seen(now, await this.#digest(path, now));
    // A write just before the mtime was set would look old: the file is read again.
    db.put({ ...place, id, record, seen: isTimed ? seen : { ...seen, hasty: true } });
    this.#acted.note(entry, seen);
    return "done";
  }

  /** What the database is to record once it has its place. */
  asMade(place: Place, { id, record }: TreeObject, { stat, xattrs }: Ready): Entry {
    return { parent: place.parent, name: place.name, id, record, seen: this.#seen(stat, xattrs) };
  }

  /** Records an object that got its place. `now`: how it looks there. */
  placed(place: Place, path: DiskPath, { id, record }: TreeObject, ready: Ready, now: DiskStat | undefined): "done" {
    const { db } = this.#context;
    this.#used.add(ready);
    this.#note(path);
    this.#note(ready.path);
    // If it changed already, records it as it was made, so that the next scan sees the change.
    const isAsMade = now !== undefined && now.ino === ready.stat.ino && hasSameBytes(ready.stat, now);
    const seen = this.#seen(isAsMade ? now : ready.stat, ready.xattrs);
    db.put({ ...place, id, record, seen });
    this.#acted.recorded(seen);
    return "done";
  }

  /** Parks the object at a place, which will move or be removed. */
  async #vacate(occupant: Entry, path: DiskPath): Promise<"done" | Reason> {
    const { db, disk } = this.#context;
    const stat = await disk.look(path);
    if (stat?.ino !== occupant.seen.ino) return "changed here";
    // Another name has its bytes, too. A name that was not replaced yet has older ones.
    if (db.byId(occupant.id).some((entry) => isTwin(entry, occupant))) return this.remove(occupant);
    const aside = parkedPath(occupant.id);
    const wasAsSynced = await this.#isAsSynced(path, occupant, stat);
    await disk.rename(path, aside, "free");
    const parked = await disk.look(aside);
    if (parked?.ino !== occupant.seen.ino) {
      // A program saved a new file in between.
      await disk.rename(aside, path, "free");
      return "changed here";
    }
    this.#note(aside);
    this.#note(path);
    db.touched.add(occupant);
    db.park(wasAsSynced ? this.#renamed(occupant, parked) : occupant);
    return "done";
  }

  async #move(source: Entry, place: Place, path: DiskPath): Promise<Entry | Reason> {
    const { db, disk, redo } = this.#context;
    const from = this.#pathOf(source);
    const stat = from === undefined ? undefined : await disk.look(from);
    if (from === undefined || stat?.ino !== source.seen.ino) return "changed here";
    const there = await disk.look(path);
    if (there?.ino === stat.ino && (stat.type === "directory" || stat.links === 1)) {
      // Some disks ignore a rename to another spelling: it goes out of sight first.
      const vacated = await this.#vacate(source, from);
      const parked = db.byId(source.id).find(({ parent }) => parent === PARKED_ID);
      return vacated === "done" && parked !== undefined ? this.#move(parked, place, path) : "changed here";
    }
    if (there !== undefined) return this.#collides(place, there) ? "name collides" : "changed here";
    // Data written into it meanwhile moves with it: the next scan sees that.
    const wasAsSynced = await this.#isAsSynced(from, source, stat);
    redo.moving(source, { ...source, parent: place.parent, name: place.name });
    await disk.rename(from, path, "free");
    this.#note(from);
    this.#note(path);
    db.touched.add(source);
    return db.move(wasAsSynced ? this.#renamed(source, await disk.look(path)) : source, place);
  }

  #renamed(entry: Entry, now: DiskStat | undefined): Entry {
    return { ...entry, seen: seenAfterRename(entry.seen, now, this.#context.nowNs()) };
  }

  /** "no links": the filesystem has none, so the name needs a file of its own. */
  async #link(source: Entry, place: Place, path: DiskPath): Promise<Entry | Reason | "no links"> {
    const { db, disk } = this.#context;
    const from = this.#pathOf(source);
    const stat = from === undefined ? undefined : await disk.look(from);
    if (from === undefined || stat === undefined || !(await this.#isAsSynced(from, source, stat)))
      return "changed here";
    const there = await disk.look(path);
    if (there !== undefined) return this.#collides(place, there) ? "name collides" : "changed here";
    if (!(await tryLink(disk, from, path))) return "no links";
    this.#note(path);
    const linked = { ...source, parent: place.parent, name: place.name };
    db.put(linked);
    this.#acted.note(source);
    return linked;
  }

  async #isAsSynced(path: DiskPath, entry: Entry, stat: DiskStat): Promise<boolean> {
    const seen = looksSame(entry.seen, stat) ? entry.seen : await this.#acted.seenNow(path, entry, stat);
    return seen !== undefined && (!seen.hasty || this.#context.isAsKnown(path, entry));
  }

  /** On a disk where two spellings are one name: whether the file there is shown under the other spelling. */
  #collides(place: Place, there: DiskStat): boolean {
    return this.#context.db.byInode(there.ino).some((entry) => {
      return entry.parent === place.parent && entry.name !== place.name && entry.seen.ino === there.ino;
    });
  }

  #pathOf(place: Place): DiskPath | undefined {
    if (place.parent === ROOT_ID) return [place.name];
    return pathInFolder(this.#context.db, place);
  }

  #note(path: DiskPath): void {
    const above = path.slice(0, -1);
    this.#dirty.set(above.join("/"), above);
  }

  async #digest(path: DiskPath, stat: DiskStat): Promise<string> {
    return stat.type === "symlink" ? "" : digestOn(this.#context.disk, path);
  }

  #seen(stat: DiskStat, digest: string) {
    return seenOf(stat, digest, this.#context.nowNs());
  }
}

/** Whether the object keeps this place, too. */
function isNamed({ names }: TreeObject, place: Place): boolean {
  return names.some((name) => samePlace(name, place));
}

/** A name at another place that has this record. */
function otherWith(known: Iterable<Entry>, record: FileRecord, place: Place): Entry | undefined {
  for (const entry of known) if (!samePlace(entry, place) && sameRecord(entry.record, record)) return entry;
  return undefined;
}
