/** Turns what the phases found into conflicts: with final paths of the merged tree, in a fixed order. */
import type { FileId, FileName } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import { placeText } from "../object-rows.ts";
import type { Place } from "../object-rows.ts";
import type { Conflict } from "./conflict.ts";
import type { Finding, MergeState } from "./merge-state.ts";
import type { MergedTree } from "./merged-tree.ts";

export async function conflictsOf(
  { merged, findings }: MergeState,
  loser: Pick<Conflict, "writer" | "epoch">,
): Promise<Conflict[]> {
  const conflicts: Conflict[] = [];
  for (const { kind, rule, kept, other, places, origin = loser } of [...findings].sort((a, b) =>
    orderOf(a) < orderOf(b) ? -1 : 1,
  )) {
    const names = { kept: await pathOf(merged, places.kept), other: await pathOf(merged, places.other) };
    conflicts.push({ kind, rule, ids: { kept, other }, names, writer: origin.writer, epoch: origin.epoch });
  }
  return conflicts;
}

function orderOf({ kind, places, kept, other }: Finding): string {
  return `${placeText(places.kept)}/${kind}${kept}${other}`;
}

/** Walks up while directories exist: a dropped move's target may be gone, and a damaged bucket may contain cycles. */
async function pathOf(merged: MergedTree, place: Place): Promise<FileName[]> {
  const path: FileName[] = [];
  const passed = new Set<FileId>();
  for (let at: Place | undefined = place; at !== undefined; at = await merged.placeOf(at.parent)) {
    path.unshift(at.name);
    if (at.parent === ROOT_ID || passed.has(at.parent)) break;
    passed.add(at.parent);
  }
  // A copy has no room to grow: there may be very many.
  return path.slice();
}
