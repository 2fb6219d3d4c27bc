/** What becomes of a unit that both sides changed and that does not stay. */
import type { MovedObject } from "../../change-set.ts";
import type { Place } from "../../object-rows.ts";
import type { Head } from "../context.ts";
import type { Role } from "../triple.ts";
import type { Members, Unit } from "./unit-members.ts";

/** A whole unit that is to be put beside the one that stays. */
export interface UnitCopy {
  readonly unit: Unit;
  readonly members: Members;
  readonly hash: Uint8Array;
  /** Whose unit stays. */
  readonly keeper: Role;
  readonly origin: Pick<Head, "writer" | "epoch">;
}

/** What of units that lost the conflict went where, by the side whose they were, with the ids of phase 0. */
export type UnitMoves = Readonly<Record<Role, { readonly objects: MovedObject[]; readonly names: UnitName[] }>>;

export interface UnitName {
  readonly from: Place;
  readonly to: Place;
}
