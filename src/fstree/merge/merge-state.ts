/** The state of the phases: the three trees, the merged tree in the making, and the findings. */
import type { FileId } from "../../base/ids.ts";
import type { MovedObject } from "../change-set.ts";
import type { FileRecord } from "../../format/files/record.ts";
import type { Place } from "../object-rows.ts";
import type { Conflict } from "./conflict.ts";
import type { MergeContext } from "./context.ts";
import type { Role } from "./triple.ts";
import type { MergedTree } from "./merged-tree.ts";
import type { View } from "./snapshot.ts";
import type { UnitRules } from "./units/unit-rules.ts";
import type { UnitCopy } from "./units/unit-copy.ts";

export interface MergeState {
  readonly context: MergeContext;
  readonly base: View;
  readonly winner: View;
  /** With the ids after phase 0. */
  readonly loser: View;
  readonly merged: MergedTree;
  /** The losing versions that are to become copies, by the object that has the winner's version. */
  readonly copies: Map<FileId, Copy>;
  /** Losing units that are to be put beside the kept ones. */
  readonly unitCopies: UnitCopy[];
  readonly moves: Moves;
  readonly unitRules: UnitRules;
  /** Objects of kept units that both sides changed, and whose units they are: they keep their names in clashes. */
  readonly kept: Map<FileId, Role>;
  /** The roots of trees that both sides changed, whatever their names are now. */
  readonly contestedTrees: Set<FileId>;
  /** Files merged into another of equal bytes: id → the other's. */
  readonly absorbed: Map<FileId, FileId>;
  /** Directories folded into another one: id → the other's. */
  readonly folded: Map<FileId, FileId>;
  readonly findings: Finding[];
}

/** What became of each side's losing files and units, by side. Ids are those after phase 0. */
export type Moves = Readonly<Record<Role, { readonly objects: MovedObject[]; readonly names: NameMove[] }>>;

export interface NameMove {
  readonly from: Place;
  readonly to: Place;
}

export interface Copy {
  readonly record: FileRecord;
  /** The names that this version has in the loser's tree. */
  readonly names: readonly Place[];
  readonly rule: Conflict["rule"];
}

/** A conflict whose paths may still change. */
export interface Finding extends Pick<Conflict, "kind" | "rule"> {
  /** Whose version lost the conflict, where that may be the winner's. */
  readonly origin?: Pick<Conflict, "writer" | "epoch">;
  readonly kept: FileId;
  readonly other: FileId;
  readonly places: { readonly kept: Place; readonly other: Place };
}
