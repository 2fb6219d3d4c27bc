/** After a killed run: brings its redo log (redo-log.ts) into the database. */
import type { Place } from "../../fstree/object-rows.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";
import { NEW_PATH } from "../disk/paths.ts";
import { damagedState } from "../known/damaged.ts";
import type { SyncDatabase } from "../known/database.ts";
import { rowOf, type Entry } from "../known/entry.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { isSameInode } from "../known/seen.ts";
import { makeNamesDurable } from "../scan/durable.ts";
import { lookBelow } from "../scan/walk.ts";
import { ANNOUNCED, entryOfTexts, headerOf, parsed, REDO_PATH, textsOf, type Line, type Places } from "./redo-lines.ts";

/**
 * Records in the database what a killed run did, once that is durable. Runs before anything else looks at the folder. A new
 * file whose exchange may have brought out another version is recorded only after that was checked: see `noteExchanged`.
 */
export async function redo(places: Places): Promise<void> {
  const { db, disk } = places;
  const [header, ...lines] = (await textOf(disk)).split("\n");
  if (header === undefined || header !== (await headerOf(places))) return;
  let exchanged: Entry | undefined;
  const touched: Place[] = [];
  await db.transaction(async () => {
    let announced: Line | undefined;
    for (const text of lines) {
      // The marks of an announced action that was not done.
      if (text === "") continue;
      const line = parsed(text);
      if (line === undefined) break;
      touched.push(...line.places, ...line.entries);
      exchanged = undefined;
      if (line.kind === "marks") {
        const done = announced?.entries.slice(0, line.count) ?? [];
        if (announced?.kind === "exchanging") [exchanged] = done;
        else for (const entry of done) db.put(entry);
      } else if (line.kind === "park") for (const entry of line.entries) db.park(entry);
      else if (!ANNOUNCED.has(line.kind)) {
        for (const place of line.places) db.remove(place);
        for (const entry of line.entries) db.put(entry);
      }
      announced = line;
    }
    if (announced?.kind === "moving" && (await hasMoved(places, announced))) {
      for (const place of announced.places) db.remove(place);
      for (const entry of announced.entries) db.put(entry);
    }
    if (exchanged !== undefined)
      db.setFact("exchanged", JSON.stringify([db.base()?.commit, textsOf(rowOf(exchanged))]));
    for (const place of touched) {
      db.touched.add(place);
      // The log does not say which places the batch marked as behind, such as one where a parked file reappeared.
      if (db.behind.reasonAt(place) === undefined) db.unsettle(place);
    }
    await makeNamesDurable(disk, [NEW_PATH, ...touched.flatMap((place) => directoryOf(db, place))]);
  });
  await disk.unlink(REDO_PATH);
}

/** Records the new file of an exchange, after the displaced version was checked. Throws `state_corrupt`. */
export async function noteExchanged(db: SyncDatabase): Promise<void> {
  const text = db.fact("exchanged");
  if (text === undefined) return;
  const { base, entry } = exchangedIn(text);
  await db.transaction(() => {
    // An earlier version of the program may have run meanwhile.
    if (base === db.base()?.commit) db.put(entry);
    db.setFact("exchanged", undefined);
  });
}

function exchangedIn(text: string): { readonly base: unknown; readonly entry: Entry } {
  try {
    const [base, row] = JSON.parse(text) as [unknown, string[]];
    if (row.some((each) => typeof each !== "string")) throw new TypeError("The redo log has an invalid entry.");
    return { base, entry: entryOfTexts(row) };
  } catch (cause) {
    throw damagedState(cause);
  }
}

/** The process died right before or after the rename. The inode tells which; if one of the places is shut, the other tells. */
async function hasMoved({ db, disk }: Places, { places, entries }: Line): Promise<boolean> {
  const [[from], [to]] = [places, entries];
  const [before, after] = [from && pathInFolder(db, from), to && pathInFolder(db, to)];
  if (to === undefined || before === undefined || after === undefined) return false;
  const [left, there] = [await lookBelow(disk, before), await lookBelow(disk, after)];
  const hasLeft = left === "closed" ? there !== "closed" : left?.ino !== to.seen.ino;
  return hasLeft && (there === "closed" || (there?.type === to.record.type && isSameInode(to.seen, there)));
}

function directoryOf(db: SyncDatabase, place: Place): DiskPath[] {
  const path = pathInFolder(db, place);
  return path === undefined ? [] : [path.slice(0, -1)];
}

async function textOf(disk: SyncDisk): Promise<string> {
  try {
    const file = await disk.read(REDO_PATH);
    try {
      const { size } = await file.stat();
      return size > MAX_BYTES ? "" : Buffer.from(await file.read(0, size)).toString("utf8");
    } finally {
      await file.close();
    }
  } catch {
    // Ignoring the log loses no data; failing on it would block every pass.
    return "";
  }
}

/** Batches are far smaller. */
const MAX_BYTES = 256 * 1024 * 1024;
