/** What becomes of a unit that both sides changed and that is not kept. */
import type { MovedObject } from "../../change-set.ts";
import type { Place } from "../../object-rows.ts";
import type { Head } from "../context.ts";
import type { Role } from "../triple.ts";
import type { UnitMembers, Unit } from "./unit-members.ts";

/** A whole unit that is to be put beside the kept one. */
export interface UnitCopy {
  readonly unit: Unit;
  readonly members: UnitMembers;
  readonly hash: Uint8Array;
  /** The side whose unit is kept. */
  readonly keeper: Role;
  readonly origin: Pick<Head, "writer" | "epoch">;
}

/** Where the contents of losing units went, by the side that they came from, with the ids after phase 0. */
export type UnitMoves = Readonly<Record<Role, { readonly objects: MovedObject[]; readonly names: UnitName[] }>>;

export interface UnitName {
  readonly from: Place;
  readonly to: Place;
}
