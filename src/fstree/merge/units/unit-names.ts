/**
 * Which names of a file go on where it is. A file may have names in several units that both sides changed: those in a unit of which the
 * other side's stays are only in that unit's copy.
 */
import type { FileId } from "../../../base/ids.ts";
import type { TreeObject } from "../../fs-reader.ts";
import { placeText } from "../../object-rows.ts";
import type { ContestedUnit } from "./contested-units.ts";
import type { Role } from "../triple.ts";

export interface KeptUnit extends ContestedUnit {
  /** Whose unit stays. */
  readonly keeper: Role;
  /** Whose gives way. */
  readonly other: Role;
}

export class UnitNames {
  readonly #kept = { winner: new Set<FileId>(), loser: new Set<FileId>() };
  /** A name of a side's tree is one object's: no ids are needed. */
  readonly #given = { winner: new Set<string>(), loser: new Set<string>() };

  constructor(units: readonly KeptUnit[]) {
    for (const { members, other } of units)
      for (const { places } of members[other].values())
        for (const place of places) this.#given[other].add(placeText(place));
    // A database's directory that its side moved into a repository: the database stays where the repository's copy has it, too.
    for (const { members, keeper } of units)
      for (const [id, { places }] of members[keeper]) {
        this.#kept[keeper].add(id);
        for (const place of places) this.#given[keeper].delete(placeText(place));
      }
  }

  /** Whether this side has it in a unit of which that side's stays. */
  isKept(role: Role, id: FileId): boolean {
    return this.#kept[role].has(id);
  }

  /** What this side has, without its names in units that give way. Undefined: it has no others. */
  staying<Found extends TreeObject | undefined>(role: Role, object: Found): Found | undefined {
    if (object === undefined) return undefined;
    const names = object.names.filter((name) => !this.#given[role].has(placeText(name)));
    if (names.length === object.names.length) return object;
    return names.length === 0 ? undefined : { ...object, names };
  }
}
