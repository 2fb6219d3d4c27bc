/** What the phases work on: the three trees, the tree in the making, and what they found on the way. */
import type { FileId } from "../../base/ids.ts";
import type { FileRecord } from "../../format/files/record.ts";
import type { Place } from "../object-rows.ts";
import type { Conflict } from "./conflict.ts";
import type { MergeContext } from "./context.ts";
import type { MergedTree } from "./merged-tree.ts";
import type { View } from "./snapshot.ts";
import type { UnitRules } from "./units/unit-rules.ts";
import type { UnitCopy, UnitMoves } from "./units/unit-copy.ts";

export interface MergeState {
  readonly context: MergeContext;
  readonly base: View;
  readonly winner: View;
  /** With the ids of phase 0. */
  readonly loser: View;
  readonly merged: MergedTree;
  /** The loser's versions that are to become copies, by the object that has the winner's. */
  readonly copies: Map<FileId, Copy>;
  /** Units that are to be put beside those that stay. */
  readonly unitCopies: UnitCopy[];
  /** What became of those of each side. */
  readonly moves: UnitMoves;
  readonly unitRules: UnitRules;
  /** Objects of the units that both sides changed and one keeps: they keep their names in clashes. */
  readonly kept: Set<FileId>;
  /** Files that became one with another of equal bytes: id → the other's. */
  readonly absorbed: Map<FileId, FileId>;
  /** Directories whose entries went into another one: id → the other's. */
  readonly folded: Map<FileId, FileId>;
  readonly findings: Finding[];
}

export interface Copy {
  readonly record: FileRecord;
  readonly rule: Conflict["rule"];
}

/** A conflict, while paths may still change. */
export interface Finding extends Pick<Conflict, "kind" | "rule"> {
  /** Whose it was that lost the conflict, where that may be the winner. */
  readonly origin?: Pick<Conflict, "writer" | "epoch">;
  readonly kept: FileId;
  readonly other: FileId;
  readonly places: { readonly kept: Place; readonly other: Place };
}
