/**
 * What one side changed: its objects by id, gathered from the rows of its diff from the base, with the staying side's
 * version of these rows.
 *
 * A single-link file is a single row. The diff alone gives both of its states, and the staying side's too if that side left
 * it unchanged. Directories and hard-linked files may have rows outside the diff, so they are read by id.
 */
import type { FileId } from "../../base/ids.ts";
import { parseKey } from "../../format/files/keys.ts";
import { decodeDentry, dentryId } from "../../format/files/rows.ts";
import type { Dentry } from "../../format/files/rows.ts";
import type { ChangeBeside } from "../../tree/diff.ts";
import type { Entry } from "../../tree/entry.ts";
import { keyText } from "../../tree/sorted-keys.ts";
import type { TreeObject } from "../fs-reader.ts";
import type { Place } from "../object-rows.ts";
import type { View } from "./snapshot.ts";

/** An object before and after, undefined where there is none. */
export interface ObjectChange {
  readonly base: TreeObject | undefined;
  readonly side: TreeObject | undefined;
  /** The staying side has all rows of this change as the base has them, and a file has no other rows. */
  readonly alone: boolean;
}

/** A row that the side changed: the ids of its object before and after; undefined where there was or is no row. */
export interface ChangedRow {
  readonly before: FileId | undefined;
  readonly after: FileId | undefined;
  /** The staying side has the row as the base has it. */
  readonly alone: boolean;
  /** What the side has in the row; undefined in rows of files with one name, where it is not needed. */
  readonly contents: Pick<Entry, "value" | "links"> | undefined;
}

export class Changes {
  /** By `keyText`. */
  readonly rows = new Map<string, ChangedRow>();
  /** Directories of the names that changed since the directories were last taken. */
  #parents = new Set<FileId>();
  readonly #seen = new Map<FileId, Seen>();

  /** Takes one changed row. */
  add({ key, before, after, beside }: ChangeBeside): void {
    const parsed = parseKey(key);
    const alone = beside === before;
    // A file's back-references change with its dentries only.
    if (parsed.kind === "dentry") {
      this.#addDentry(keyText(key), { parent: parsed.id, name: parsed.name }, before, after, alone);
      return;
    }
    if (parsed.kind === "self") this.#of(parsed.id).byId = true;
    if (!alone) this.#of(parsed.id).alone = false;
    const [old, now] = [before && parsed.id, after && parsed.id];
    this.rows.set(keyText(key), { before: old, after: now, alone, contents: copyOf(after) });
  }

  takeParents(): ReadonlySet<FileId> {
    const parents = this.#parents;
    this.#parents = new Set();
    return parents;
  }

  /** All changed objects, sorted by id, `size` at a time. `base` and `side` supply what the rows did not tell. */
  async *objects(base: View, side: View, size: number): AsyncGenerator<(readonly [FileId, ObjectChange])[]> {
    const ids = [...this.#seen.keys()].sort();
    for (let from = 0; from < ids.length; from += size) {
      const batch: (readonly [FileId, ObjectChange])[] = [];
      for (const id of ids.slice(from, from + size)) {
        const seen = this.#of(id);
        this.#seen.delete(id);
        if (!seen.byId) batch.push([id, { base: seen.base, side: seen.side, alone: seen.alone }]);
        else {
          const { hints } = seen;
          const change = { base: await base.object(id, hints), side: await side.object(id, hints), alone: false };
          batch.push([id, change]);
        }
      }
      yield batch;
    }
  }

  #addDentry(key: string, place: Place, before: Entry | undefined, after: Entry | undefined, alone: boolean): void {
    const [old, now] = [dentryAt(place, before), dentryAt(place, after)];
    const oldId = old && dentryId(place.parent, place.name, old);
    // Computing ids from places costs more than all else here, and most files keep their id.
    const nowId = now && (isBornAlike(old, now) ? oldId : dentryId(place.parent, place.name, now));
    this.#addState(place, oldId, old, "base", alone);
    this.#addState(place, nowId, now, "side", alone);
    const contents = now?.kind === "reference" ? copyOf(after) : undefined;
    this.rows.set(key, { before: oldId, after: nowId, alone, contents });
    this.#parents.add(place.parent);
  }

  #addState(
    place: Place,
    id: FileId | undefined,
    dentry: Dentry | undefined,
    which: "base" | "side",
    alone: boolean,
  ): void {
    if (id === undefined || dentry === undefined) return;
    const seen = this.#of(id);
    seen.hints.push(place);
    if (!alone) seen.alone = false;
    if (dentry.kind === "record") seen[which] = { id, record: dentry.record, names: [place], subdirs: 0 };
    else seen.byId = true;
  }

  #of(id: FileId): Seen {
    let seen = this.#seen.get(id);
    if (seen === undefined) {
      seen = { base: undefined, side: undefined, byId: false, alone: true, hints: [] };
      this.#seen.set(id, seen);
    }
    return seen;
  }
}

function dentryAt(place: Place, entry: Entry | undefined): Dentry | undefined {
  return entry && decodeDentry(place.parent, place.name, entry);
}

/** Whether both ids follow from the place and are equal. */
function isBornAlike(a: Dentry | undefined, b: Dentry): boolean {
  if (a?.kind !== "record" || b.kind !== "record") return false;
  return a.stated === undefined && b.stated === undefined && a.record.type === b.record.type;
}

/** A copy, so that the node that holds it can leave memory. */
function copyOf(entry: Entry | undefined): ChangedRow["contents"] {
  return entry && { value: entry.value.slice(), links: entry.links };
}

interface Seen {
  base: TreeObject | undefined;
  side: TreeObject | undefined;
  /** Whether it has rows under its own id on at least one side. */
  byId: boolean;
  alone: boolean;
  readonly hints: Place[];
}
