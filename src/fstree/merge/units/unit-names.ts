/**
 * Which names of a file stay in place. A file may have names in several units that both sides changed. Names in a unit
 * where the other side's is kept are only in that unit's copy.
 */
import type { FileId } from "../../../base/ids.ts";
import type { TreeObject } from "../../fs-reader.ts";
import { placeText } from "../../object-rows.ts";
import type { Place } from "../../object-rows.ts";
import type { ContestedUnit } from "./contested-units.ts";
import type { Role } from "../triple.ts";
import type { UnitMembers } from "./unit-members.ts";

export interface KeptUnit extends ContestedUnit {
  /** The side whose unit is kept. */
  readonly keeper: Role;
  /** The side whose unit is displaced. */
  readonly other: Role;
}

export class UnitNames {
  readonly #in = { winner: new Set<FileId>(), loser: new Set<FileId>() };
  /** A name of a tree leads to one object: ids are not needed. */
  readonly #kept = { winner: new Set<string>(), loser: new Set<string>() };
  readonly #given = { base: new Set<string>(), winner: new Set<string>(), loser: new Set<string>() };

  constructor(units: readonly KeptUnit[]) {
    for (const { members, keeper, other } of units) {
      for (const role of ["winner", "loser"] as const) for (const id of members[role].keys()) this.#in[role].add(id);
      addPlaces(this.#given.base, members.base);
      addPlaces(this.#given[other], members[other]);
      addPlaces(this.#kept[keeper], members[keeper]);
    }
    // A kept database in a repository, where its side moved its directory, also stays where the repository's copy has it.
    for (const role of ["winner", "loser"] as const)
      for (const place of this.#kept[role]) this.#given[role].delete(place);
  }

  /** Whether this side has the object in a unit that both changed. */
  isIn(role: Role, id: FileId): boolean {
    return this.#in[role].has(id);
  }

  /** Of this side's names, those in units of its own that are kept. */
  kept(role: Role, names: readonly Place[]): Place[] {
    return names.filter((name) => this.#kept[role].has(placeText(name)));
  }

  /** This side's object without its names in displaced units. Undefined: it has no other names. */
  staying<Found extends TreeObject | undefined>(role: Role, object: Found): Found | undefined {
    const rest = object && this.#without(this.#given[role], object);
    return rest?.names.length === 0 ? undefined : rest;
  }

  /** The base's object with its names outside of these units only: maybe none. */
  outside(base: TreeObject | undefined): TreeObject | undefined {
    return base && this.#without(this.#given.base, base);
  }

  #without<Found extends TreeObject>(places: ReadonlySet<string>, object: Found): Found {
    const names = object.names.filter((name) => !places.has(placeText(name)));
    return names.length === object.names.length ? object : { ...object, names };
  }
}

function addPlaces(to: Set<string>, members: UnitMembers): void {
  for (const { places } of members.values()) for (const place of places) to.add(placeText(place));
}
