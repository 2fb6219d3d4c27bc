/** What becomes of a unit that both sides changed and that is not kept. */
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
