/**
 * Databases that lost a conflict while a program here has one of their files open to write. The program knows them by the
 * names that it opened: it will create, look for and remove a journal there. So on this mount those names lead to the copy
 * until the last such file is closed, also for names that nothing has yet.
 */
import { BlockMiss } from "../blocks/block-store.ts";
import { type FileId, type FileName, type Ino, ROOT_ID, ROOT_INO } from "../base/ids.ts";
import { MAX_NAME_BYTES } from "../base/limits.ts";
import type { PublishedEpoch } from "../fstree/change-set.ts";
import { UnitRules } from "../fstree/merge/units/unit-rules.ts";
import type { Link } from "../overlay/links.ts";
import type { LostFamily as StoredFamily } from "../overlay/in-use.ts";
import type { OverlayState } from "../overlay/state.ts";
import type { HeldVersions } from "./held-versions.ts";

interface ObjectAccess {
  readonly overlay: { readonly state: OverlayState };
  readonly held: HeldVersions;
  readonly onUncovered: (parent: Ino, name: FileName) => void;
  child(parent: Ino, name: FileName): Ino | undefined;
}

interface LostFamily {
  /** Where the copy's main file is. */
  readonly main: Link;
  /** For the main name and each suffix: the name that was lost, and the copy's. The keys are made by `keyOf`. */
  readonly names: ReadonlyMap<string, { readonly from: Link; readonly to: Link }>;
}

export class LostFamilies {
  readonly #objects: ObjectAccess;
  #families: readonly LostFamily[] = [];

  constructor(objects: ObjectAccess) {
    this.#objects = objects;
  }

  /** The copy's name, if this name leads to a copy. Throws BlockMiss. */
  placeOf(parent: Ino, name: FileName): Link | undefined {
    if (this.#families.length === 0) return undefined;
    const key = keyOf({ parent, name });
    for (const { main, names } of this.#families) {
      const place = names.get(key)?.to;
      // Others may have moved or removed the copy.
      if (place !== undefined && this.#objects.child(main.parent, main.name) !== undefined) return place;
    }
    return undefined;
  }

  /** The names in a directory that lead to a name of a copy. */
  namesIn(directory: Ino): FileName[] {
    return namesOf(this.#families).flatMap(({ parent, name }) => (parent === directory ? [name] : []));
  }

  /** Changes a name where it leads, and has doors look up the other names that lead there. */
  change<Result>(parent: Ino, name: FileName, change: (parent: Ino, name: FileName) => Result): Result {
    if (this.#families.length === 0) return change(parent, name);
    const place = this.placeOf(parent, name) ?? { parent, name };
    const result = change(place.parent, place.name);
    const others = this.#families.flatMap(({ names }) =>
      [...names.values()].flatMap(({ from, to }) => (isSame(to, place) ? [from, to] : [])),
    );
    if (others.length === 0) return result;
    const stale = others.filter((other) => !isSame(other, { parent, name }));
    for (const other of [...stale, ...this.letGo()]) this.#objects.onUncovered(other.parent, other.name);
    return result;
  }

  /** Notes the families in use that the epoch lost. Call this once the overlay has settled it. */
  note({ moved, units }: Pick<PublishedEpoch, "moved" | "units">): void {
    if (moved === undefined || units === undefined || this.#objects.held.inUse.size === 0) return;
    const rules = new UnitRules(units);
    for (const { from, to } of moved.names) {
      if (!rules.mainsOf(from.name).includes(from.name)) continue;
      const [here, there] = [this.#inoOf(from.parent), this.#inoOf(to.parent)];
      if (here === undefined || there === undefined) continue;
      const names = new Map<string, { from: Link; to: Link }>();
      for (const suffix of ["", ...rules.suffixesOf(from.name)]) {
        const lost = { parent: here, name: (from.name + suffix) as FileName };
        const copy = { parent: there, name: (to.name + suffix) as FileName };
        if (copy.name.length <= MAX_NAME_BYTES) names.set(keyOf(lost), { from: lost, to: copy });
      }
      const family = { main: { parent: there, name: to.name }, names };
      if (!this.#isInUse(family)) continue;
      const others = this.#families.filter((older) => !older.names.has(keyOf(family.main)));
      this.#families = [family, ...others.map((older) => followed(older, family))];
    }
  }

  /** Lets families go that no program has open any more, or that have no main file. Returns what doors must look up again. */
  letGo(): Link[] {
    if (this.#families.length === 0) return [];
    const gone: LostFamily[] = [];
    const unknown: LostFamily[] = [];
    for (const family of this.#families) {
      const isThere = this.#isInUse(family) && this.#isThere(family);
      if (isThere !== true) (isThere === undefined ? unknown : gone).push(family);
    }
    this.#families = this.#families.filter((family) => !gone.includes(family));
    return namesOf([...gone, ...unknown]);
  }

  stored(): StoredFamily[] {
    return this.#families.map(({ main, names }) => ({ main, names: [...names.values()] }));
  }

  /** Goes on with what an earlier process had stored. */
  restore(families: readonly StoredFamily[]): void {
    this.#families = families.map(({ main, names }) => ({
      main,
      names: new Map(names.map((each) => [keyOf(each.from), each])),
    }));
  }

  /** As far as inode rows tell where unchanged files are. */
  #isInUse({ names }: LostFamily): boolean {
    const { held, overlay } = this.#objects;
    const copy = new Set(Array.from(names.values(), ({ to }) => keyOf(to)));
    for (const ino of held.inUse) {
      const links = overlay.state.object(ino)?.links;
      const row = links === undefined ? overlay.state.inodes.row(ino) : undefined;
      const parent = row && this.#inoOf(row.parent);
      const places = row === undefined || parent === undefined ? (links ?? []) : [{ parent, name: row.name }];
      for (const place of places) if (copy.has(keyOf(place))) return true;
    }
    return false;
  }

  /** Undefined: that needs blocks. */
  #isThere({ main }: LostFamily): boolean | undefined {
    try {
      return this.#objects.child(main.parent, main.name) !== undefined;
    } catch (error) {
      if (error instanceof BlockMiss) return undefined;
      throw error;
    }
  }

  #inoOf(id: FileId): Ino | undefined {
    const { state } = this.#objects.overlay;
    return id === ROOT_ID ? ROOT_INO : (state.dirtyWithId(id)?.ino ?? state.inodes.find(id)?.ino);
  }
}

/** The copy may lose, too: what led to it now leads to its copy. */
function followed(family: LostFamily, next: LostFamily): LostFamily {
  const isNext = next.names.get(keyOf(family.main));
  if (isNext === undefined) return family;
  const names = new Map(
    Array.from(family.names, ([key, { from, to }]) => [key, { from, to: next.names.get(keyOf(to))?.to ?? to }]),
  );
  return { main: next.main, names };
}

function namesOf(families: readonly LostFamily[]): Link[] {
  return families.flatMap(({ names }) => Array.from(names.values(), ({ from }) => from));
}

function isSame(one: Link, other: Link): boolean {
  return one.parent === other.parent && one.name === other.name;
}

function keyOf({ parent, name }: Link): string {
  return `${parent}/${name}`;
}
