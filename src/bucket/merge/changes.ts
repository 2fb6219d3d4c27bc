/**
 * What one side changed: its objects by id, gathered from the rows of diff(base, side).
 *
 * The row of a single-link file is all of it, so both states of such a file come out of the diff alone. Of directories and
 * hard-linked files some rows may be equal, so those are read by id.
 */
import type { FileId } from "../../base/ids.ts";
import { parseKey } from "../../format/keys.ts";
import { decodeDentry, dentryId } from "../../format/rows.ts";
import type { Dentry } from "../../format/rows.ts";
import type { Change } from "../../tree/diff.ts";
import type { Entry } from "../../tree/entry.ts";
import type { TreeObject } from "../fs-reader.ts";
import type { Place } from "../object-rows.ts";
import type { View } from "./snapshot.ts";

/** An object before and after, undefined where there is none. */
export interface ObjectChange {
  readonly base: TreeObject | undefined;
  readonly side: TreeObject | undefined;
}

export class Changes {
  readonly #seen = new Map<FileId, Seen>();

  /** Takes one changed row. */
  add({ key, before, after }: Change): void {
    const parsed = parseKey(key);
    if (parsed.kind === "self") this.#of(parsed.id).byId = true;
    // A file's back-references change with its dentries only.
    if (parsed.kind !== "dentry") return;
    const place: Place = { parent: parsed.id, name: parsed.name };
    const [old, now] = [dentryAt(place, before), dentryAt(place, after)];
    const oldId = old && dentryId(place.parent, place.name, old);
    // Ids from places cost more than all else here, and most files stay what they are.
    const nowId = now && (isBornAlike(old, now) ? oldId : dentryId(place.parent, place.name, now));
    this.#addDentry(place, oldId, old, "base");
    this.#addDentry(place, nowId, now, "side");
  }

  /** All changed objects, sorted by id. `base` and `side` read what the rows did not tell. */
  async *objects(base: View, side: View): AsyncGenerator<readonly [FileId, ObjectChange]> {
    for (const id of [...this.#seen.keys()].sort()) {
      const seen = this.#of(id);
      this.#seen.delete(id);
      if (!seen.byId) yield [id, { base: seen.base, side: seen.side }];
      else yield [id, { base: await base.object(id, seen.hints), side: await side.object(id, seen.hints) }];
    }
  }

  #addDentry(place: Place, id: FileId | undefined, dentry: Dentry | undefined, which: "base" | "side"): void {
    if (id === undefined || dentry === undefined) return;
    const seen = this.#of(id);
    seen.hints.push(place);
    if (dentry.kind === "record") seen[which] = { id, record: dentry.record, names: [place], subdirs: 0 };
    else seen.byId = true;
  }

  #of(id: FileId): Seen {
    let seen = this.#seen.get(id);
    if (seen === undefined) this.#seen.set(id, (seen = { base: undefined, side: undefined, byId: false, hints: [] }));
    return seen;
  }
}

function dentryAt(place: Place, entry: Entry | undefined): Dentry | undefined {
  return entry && decodeDentry(place.parent, place.name, entry);
}

/** Whether the ids of both follow from the place, and are one. */
function isBornAlike(a: Dentry | undefined, b: Dentry): boolean {
  if (a?.kind !== "record" || b.kind !== "record") return false;
  return a.stated === undefined && b.stated === undefined && a.record.type === b.record.type;
}

interface Seen {
  base: TreeObject | undefined;
  side: TreeObject | undefined;
  /** It has rows under its own id on one side at least. */
  byId: boolean;
  readonly hints: Place[];
}
