/**
 * Which names of a file stay in place. A file may have names in several units that both sides changed. Names in a unit
 * where the other side's is kept are only in that unit's copy.
 */
import type { FileId } from "../../../base/ids.ts";
import type { TreeObject } from "../../fs-reader.ts";
import { placeText } from "../../object-rows.ts";
import type { ContestedUnit } from "./contested-units.ts";
import type { Role } from "../triple.ts";

export interface KeptUnit extends ContestedUnit {
  /** The side whose unit is kept. */
  readonly keeper: Role;
  /** The side whose unit is displaced. */
  readonly other: Role;
}

export class UnitNames {
  readonly #kept = { winner: new Set<FileId>(), loser: new Set<FileId>() };
  /** A name of a side's tree leads to one object: ids are not needed. */
  readonly #given = { winner: new Set<string>(), loser: new Set<string>() };

  constructor(units: readonly KeptUnit[]) {
    for (const { members, other } of units)
      for (const { places } of members[other].values())
        for (const place of places) this.#given[other].add(placeText(place));
    // A kept database in a repository, where its side moved its directory, also stays where the repository's copy has it.
    for (const { members, keeper } of units)
      for (const [id, { places }] of members[keeper]) {
        this.#kept[keeper].add(id);
        for (const place of places) this.#given[keeper].delete(placeText(place));
      }
  }

  /** Whether this side has the object in a unit of its own that is kept. */
  isKept(role: Role, id: FileId): boolean {
    return this.#kept[role].has(id);
  }

  /** This side's object without its names in displaced units. Undefined: it has no other names. */
  staying<Found extends TreeObject | undefined>(role: Role, object: Found): Found | undefined {
    if (object === undefined) return undefined;
    const names = object.names.filter((name) => !this.#given[role].has(placeText(name)));
    if (names.length === object.names.length) return object;
    return names.length === 0 ? undefined : { ...object, names };
  }
}
