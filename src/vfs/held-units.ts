/**
 * Databases in use. If others change a database while a program here has one of its files open to write in place, all its
 * names stay as the program saw them until its last file is closed. The first local change makes all of the database local
 * changes on top of what the program saw: the merge then sees that both sides changed it.
 */
import type { Clock } from "../base/clock.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import type { FileId, FileName, Ino } from "../base/ids.ts";
import type { BaseChange, NewBase } from "../fstree/change-set.ts";
import { peekDentry, peekSelf } from "../fstree/fs-reader.ts";
import { UnitRules } from "../fstree/merge/units/unit-rules.ts";
import type { Units } from "../format/commits/policy.ts";
import { type Dentry, dentryId } from "../format/files/rows.ts";
import type { AddedFile, HeldFamily, HeldFile } from "../overlay/in-use.ts";
import type { Overlay } from "../overlay/overlay.ts";
import type { JournalRecord } from "../overlay/journal/journal-record.ts";
import type { Link } from "../overlay/links.ts";
import { neverSeen } from "../overlay/unit-keeping.ts";
import type { CleanInodes } from "./clean-inodes.ts";
import type { CleanObject } from "./clean-object.ts";
import { heldObject, type HeldVersions } from "./held-versions.ts";
import type { Loader } from "./loader.ts";

interface ObjectAccess {
  readonly overlay: Overlay;
  readonly clean: CleanInodes;
  readonly held: HeldVersions;
  readonly loader: Loader;
  readonly clock: Clock;
  child(parent: Ino, name: FileName): Ino | undefined;
  keep(ino: Ino, records: JournalRecord[]): void;
}

/** A family of files (docs/design/merge.md, Units). */
interface Family {
  readonly parent: Ino;
  readonly parentId: FileId;
  readonly main: FileName;
}

/** A family in use that others have changed, as it was before. */
interface HeldUnit extends Family {
  /** What each name leads to; undefined: to nothing. */
  readonly names: ReadonlyMap<FileName, CleanObject | undefined>;
  /** Files that others created at names that lead to nothing here. */
  readonly added: Added[];
}

/** A file of the epoch in flight, as it will be once published. */
export type OwnVersion = (ino: Ino) => CleanObject | undefined;

interface Added extends AddedFile {
  /** Set by `hold`: by the time of a change, its records may contain the next free numbers already. */
  ino: Ino | undefined;
  /** Undefined: an earlier process has found the file. */
  readonly dentry: Dentry | undefined;
}

export class HeldUnits {
  readonly #objects: ObjectAccess;
  readonly #units = new Map<string, HeldUnit>();
  /** The keys are made by `keyOf`. */
  readonly #byName = new Map<string, HeldUnit>();
  readonly #byIno = new Map<Ino, HeldUnit>();

  constructor(objects: ObjectAccess) {
    this.#objects = objects;
  }

  has(ino: Ino): boolean {
    return this.#byIno.has(ino);
  }

  /** The held object at a name, which may be none. Undefined: the name is not held, so the base decides. */
  at(parent: Ino, name: FileName): { readonly object: CleanObject | undefined } | undefined {
    const unit = this.#units.size === 0 ? undefined : this.#byName.get(keyOf(parent, name));
    return unit && { object: unit.names.get(name) };
  }

  /** The names of held objects in a directory. */
  namesIn(directory: Ino): FileName[] {
    const units = [...this.#units.values()].filter(({ parent }) => parent === directory);
    return units.flatMap(({ names }) => [...names].flatMap(([name, object]) => (object === undefined ? [] : [name])));
  }

  stored(): HeldFamily[] {
    return [...this.#units.values()].map(({ parent, parentId, main, names, added }) => {
      const files: HeldFile[] = [];
      const free: FileName[] = [];
      for (const [name, object] of names) {
        if (object === undefined) free.push(name);
        else files.push({ ino: object.ino, id: object.id, record: object.record, names: [{ parent: parentId, name }] });
      }
      return { parent, parentId, main, files, free, added };
    });
  }

  /** Goes on with what an earlier process had stored. Returns the files. */
  restore(families: readonly HeldFamily[]): Ino[] {
    const { held } = this.#objects;
    // The first change of a file made the whole unit local changes.
    const kept = families.filter(({ files }) => files.every((file) => held.isUnchanged(file)));
    this.hold(
      kept.map(({ parent, parentId, main, files, free, added }) => {
        const names = new Map<FileName, CleanObject | undefined>(free.map((name) => [name, undefined]));
        for (const file of files) names.set(file.names[0]?.name ?? main, heldObject(file));
        return { parent, parentId, main, names, added: added.map((each) => ({ ...each, dentry: undefined })) };
      }),
    );
    return kept.flatMap(({ files }) => files.map(({ ino }) => ino));
  }

  /** The inode numbers of held objects, of the files that others created, and of their directories. */
  *inodes(): Generator<Ino> {
    for (const { parent, names, added } of this.#units.values()) {
      yield parent;
      for (const object of names.values()) if (object !== undefined) yield object.ino;
      for (const { ino } of added) if (ino !== undefined) yield ino;
    }
  }

  /**
   * The families in use that `base` changes, as shown now. Call before the overlay moves to it. `own`: what the epoch in flight
   * publishes of a file; undefined if the file will have unpublished changes. Throws BlockMiss.
   */
  seen({ tree, changes }: NewBase, units: Units, own: OwnVersion): HeldUnit[] {
    const { inUse } = this.#objects.held;
    if (inUse.size === 0) return [];
    const rules = new UnitRules(units);
    const places = changes?.filter((change) => change.kind === "dentry" && rules.mainsOf(change.name).length > 0);
    if (places?.length === 0) return [];
    const touched = places && new Set(places.flatMap((place) => (place.kind === "dentry" ? [place.parent] : [])));
    const found: HeldUnit[] = [];
    for (const [key, family] of this.#families(rules, touched)) {
      const names = this.#units.get(key)?.names ?? this.#shown(family, rules, own);
      if (names === undefined || !(places?.some((change) => touches(change, family, names)) ?? true)) continue;
      found.push({ ...family, names, added: this.#added(family, names, tree) });
    }
    return found;
  }

  /** As `seen`, but returns none if blocks are missing. */
  seenNow(base: NewBase, units: Units | undefined, own: OwnVersion = () => undefined): HeldUnit[] {
    return units === undefined ? [] : noneIfMissing(() => this.seen(base, units, own));
  }

  /** The files of families in use of which the epoch in flight changes attributes alone. */
  attributesChanged(units: Units | undefined): Ino[] {
    const { overlay, held } = this.#objects;
    const { inFlight } = overlay.state;
    if (units === undefined || inFlight === undefined || held.inUse.size === 0) return [];
    const rules = new UnitRules(units);
    return noneIfMissing(() =>
      [...this.#families(rules).values()].flatMap(({ parent, main }) =>
        namesOf(main, rules).flatMap((name) => {
          const ino = this.#objects.child(parent, name);
          return ino !== undefined && inFlight.objects.get(ino)?.content.kind === "same" ? [ino] : [];
        }),
      ),
    );
  }

  /** By `keyOf`. `within`: only those in these directories. */
  #families(rules: UnitRules, within?: ReadonlySet<FileId>): Map<string, Family> {
    const families = new Map<string, Family>();
    for (const ino of this.#objects.held.inUse)
      for (const family of this.#familiesOf(ino, rules, within))
        families.set(keyOf(family.parent, family.main), family);
    return families;
  }

  /** Holds what `seen` returned. Call this once the overlay is on the new base. */
  hold(units: readonly HeldUnit[]): void {
    const { held, clean } = this.#objects;
    for (const unit of units) {
      const { parent, parentId, main, names } = unit;
      for (const added of unit.added)
        if (added.dentry !== undefined)
          added.ino = clean.found(parent, parentId, added.name, added.dentry) ?? added.ino;
      this.#units.set(keyOf(parent, main), unit);
      for (const [name, object] of names) {
        this.#byName.set(keyOf(parent, name), unit);
        if (object === undefined) continue;
        this.#byIno.set(object.ino, unit);
        held.put({ object, names: [{ parent: parentId, name }], isOld: true, isWhole: true });
      }
    }
  }

  /** The files of the held unit that this file is in. */
  filesWith(ino: Ino): Ino[] {
    const { names } = this.#byIno.get(ino) ?? {};
    return [...(names?.values() ?? [])].flatMap((object) => object?.ino ?? []);
  }

  /** A file was closed. If it was the last open one of its unit, the unit is let go: returns what doors must look up again. */
  closed(ino: Ino): { readonly inodes: Ino[]; readonly names: Link[] } {
    const unit = this.#byIno.get(ino);
    const inodes = this.filesWith(ino);
    if (unit === undefined || inodes.some((each) => this.#objects.held.inUse.has(each)))
      return { inodes: [], names: [] };
    this.#drop(unit);
    return { inodes, names: [...unit.names.keys()].map((name) => ({ parent: unit.parent, name })) };
  }

  /** Adds the records that turn each held unit which these ones touch into local changes, as a whole. Throws BlockMiss. */
  whole(records: readonly JournalRecord[]): readonly JournalRecord[] {
    if (this.#units.size === 0) return records;
    const units = new Set(records.flatMap((record) => this.#changedBy(record)));
    if (units.size === 0) return records;
    const kept = records.filter(({ kind }) => kind === "keep");
    const hidden: JournalRecord[] = [];
    for (const unit of units) {
      for (const object of unit.names.values()) if (object !== undefined) this.#objects.keep(object.ino, kept);
      if (unit.added.length > 0) this.#objects.keep(unit.parent, kept);
      for (const added of unit.added) this.#hide(unit, added, kept, hidden);
    }
    return [...kept, ...hidden, ...records.filter(({ kind }) => kind !== "keep")];
  }

  /** These records were executed: the units that they touched are local changes now. */
  changed(records: readonly JournalRecord[]): void {
    if (this.#units.size === 0) return;
    for (const unit of new Set(records.flatMap((record) => this.#changedBy(record)))) this.#drop(unit);
  }

  #drop(unit: HeldUnit): void {
    this.#units.delete(keyOf(unit.parent, unit.main));
    for (const [name, object] of unit.names) {
      this.#byName.delete(keyOf(unit.parent, name));
      if (object === undefined) continue;
      this.#byIno.delete(object.ino);
      this.#objects.held.drop(object.ino);
    }
  }

  /** Hides a file that others created. The merge must not read that as its removal. */
  #hide({ parent, parentId }: HeldUnit, added: Added, kept: JournalRecord[], hidden: JournalRecord[]): void {
    const { clock, overlay } = this.#objects;
    const { name, id, record, ino } = added;
    if (ino === undefined || overlay.state.object(ino) !== undefined) return;
    kept.push({
      kind: "keep",
      object: { ino, id, record: neverSeen(record), baseNames: [{ parent: parentId, name }], parents: [parent] },
    });
    hidden.push({ kind: "unlink", ino, parent, name, timeNs: clock.nowNs() }, { kind: "forget", ino });
  }

  #changedBy(record: JournalRecord): HeldUnit[] {
    const units: (HeldUnit | undefined)[] = [];
    const named = (parent: Ino, name: FileName | "") =>
      name !== "" && units.push(this.#byName.get(keyOf(parent, name)));
    if (record.kind === "keep") units.push(this.#byIno.get(record.object.ino));
    else if (record.kind === "create") named(record.parent, record.name);
    else if (record.kind === "link" || record.kind === "unlink") named(record.parent, record.name);
    else if (record.kind === "rename") {
      named(record.parent, record.name);
      named(record.newParent, record.newName);
    }
    return units.filter((unit) => unit !== undefined);
  }

  /** The families that a file belongs to, in these directories only; undefined: in any. */
  #familiesOf(ino: Ino, rules: UnitRules, within: ReadonlySet<FileId> | undefined): Family[] {
    const { overlay, clean } = this.#objects;
    const object = overlay.state.object(ino);
    const place = object === undefined ? clean.get(ino)?.place : undefined;
    if (place !== undefined && within?.has(place.parent) === false) return [];
    const links =
      place === undefined
        ? [...(object?.links ?? [])]
        : [{ parent: clean.directoryIno(place.parent), name: place.name }];
    return links.flatMap(({ parent, name }) => {
      const directory = overlay.state.object(parent);
      const parentId = directory === undefined ? clean.directoryId(parent) : directory.id;
      if (parentId === undefined || within?.has(parentId) === false) return [];
      return rules.mainsOf(name).map((main) => ({ parent, parentId, main }));
    });
  }

  /** Undefined: the family cannot be held, since it will have unpublished changes or has hard links. */
  #shown({ parent, parentId, main }: Family, rules: UnitRules, own: OwnVersion): HeldUnit["names"] | undefined {
    const { overlay, clean } = this.#objects;
    const names = new Map<FileName, CleanObject | undefined>();
    for (const name of namesOf(main, rules)) {
      const ino = this.#objects.child(parent, name);
      const isChanged = ino !== undefined && overlay.state.object(ino) !== undefined;
      if (!isChanged && overlay.state.hides(parentId, name)) return undefined;
      const object = ino === undefined ? undefined : isChanged ? own(ino) : clean.get(ino);
      if (isChanged && object === undefined) return undefined;
      if (object !== undefined && (object.record.type !== "file" || object.names > 1)) return undefined;
      names.set(name, object);
    }
    return names;
  }

  #added({ parentId }: Family, names: HeldUnit["names"], tree: NewBase["tree"]): Added[] {
    const { nodes } = this.#objects.loader;
    const added: Added[] = [];
    for (const [name, object] of names) {
      if (object !== undefined) continue;
      const dentry = peekDentry(nodes, tree, parentId, name);
      if (dentry === undefined) continue;
      const id = dentryId(parentId, name, dentry);
      // It is one of the family's own files: others have moved it.
      if ([...names.values()].some((held) => held?.id === id)) continue;
      const record = dentry.kind === "record" ? dentry.record : peekSelf(nodes, tree, id)?.record;
      if (record?.type === "file") added.push({ name, id, record, ino: undefined, dentry });
    }
    return added;
  }
}

function namesOf(main: FileName, rules: UnitRules): FileName[] {
  return ["", ...rules.suffixesOf(main)].map((suffix) => (main + suffix) as FileName);
}

function noneIfMissing<Item>(find: () => Item[]): Item[] {
  try {
    return find();
  } catch (error) {
    if (error instanceof BlockMiss) return [];
    throw error;
  }
}

function touches(change: BaseChange, { parentId }: Family, names: HeldUnit["names"]): boolean {
  return change.kind === "dentry" && change.parent === parentId && names.has(change.name);
}

function keyOf(parent: Ino, name: FileName): string {
  return `${parent}/${name}`;
}
