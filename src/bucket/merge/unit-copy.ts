/** What becomes of a unit that both sides changed and that does not stay. */
import type { Head } from "./context.ts";
import type { Role } from "./triple.ts";
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
