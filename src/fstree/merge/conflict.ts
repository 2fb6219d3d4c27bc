/**
 * A conflict as a value: what the merge could not keep as both sides meant it, where the two versions are now, and which
 * rule decided. Commands list conflicts. The tree stores only the origin, in a copy's record.
 */
import type { FileId, FileName, WriterId } from "../../base/ids.ts";

/**
 * `copy`: the loser's version became a new file. `displaced`: an object took a conflict name, and kept its id.
 * `dropped-move`: a directory returned to its old place, because its move closed a cycle.
 */
export type ConflictKind = "copy" | "displaced" | "dropped-move";

/** The row of docs/design/merge.md's table that decided. */
export type ConflictRule =
  | "content / content"
  | "create / create"
  | "two directories at one name"
  | "two files at one name"
  | "file / directory at one name"
  | "moves that close a cycle"
  | "units";

export interface Conflict {
  readonly kind: ConflictKind;
  readonly rule: ConflictRule;
  /**
   * The object that kept its name (dropped-move: the directory itself), and the loser: the copy, the displaced object, or
   * the directory that the dropped move led into.
   */
  readonly ids: { readonly kept: FileId; readonly other: FileId };
  /**
   * Paths in the merged tree, one part a name. `other` is where the losing version is; for a dropped move, where the loser
   * had put the directory.
   */
  readonly names: { readonly kept: readonly FileName[]; readonly other: readonly FileName[] };
  /** Whose change lost this merge, and in which of its epochs. */
  readonly writer: WriterId;
  readonly epoch: number;
}
