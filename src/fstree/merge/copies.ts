/**
 * Phase 5: losing versions become files beside the owner's smallest name. A copy's name and id come from its original and
 * its bytes, so every writer makes the same copy, and repeating the merge makes no second one.
 */
import type { FileId } from "../../base/ids.ts";
import { copyId } from "../../format/files/keys.ts";
import type { FileRecord } from "../../format/files/record.ts";
import type { TreeObject } from "../fs-reader.ts";
import { placeText } from "../object-rows.ts";
import type { Place } from "../object-rows.ts";
import { fileNames } from "./conflict-names.ts";
import type { Conflict } from "./conflict.ts";
import { versionHash } from "./contents/content.ts";
import type { Copy, MergeState } from "./merge-state.ts";
import { sameVersion } from "./objects.ts";
import { noteCopied } from "./moves.ts";
import { isAlive } from "./splits.ts";

export async function placeCopies(
  state: MergeState,
  loser: { readonly writer: Conflict["writer"]; readonly epoch: number },
): Promise<void> {
  const copies: (Copy & { readonly id: FileId; readonly owner: TreeObject; readonly beside: Place })[] = [];
  for (const [id, copy] of state.copies) {
    const owner = await state.merged.object(survivorOf(state, id));
    const [beside] = owner?.names ?? [];
    if (owner !== undefined && beside !== undefined) copies.push({ ...copy, id, owner, beside });
  }
  // Else they would keep the losing records in memory.
  state.copies.clear();
  copies.sort((a, b) => (placeText(a.beside) + a.id < placeText(b.beside) + b.id ? -1 : 1));
  for (const { id, owner, beside, record, names, rule } of copies) {
    const conflict = { of: id, writer: loser.writer, epoch: loser.epoch };
    const placed = await place(state, beside, { ...record, conflict });
    if (placed === undefined) continue;
    noteCopied(state, { id, names }, placed);
    const [other = beside] = placed.names;
    state.findings.push({ kind: "copy", rule, kept: owner.id, other: placed.id, places: { kept: beside, other } });
  }
}

/** The new file, or undefined when one of equal bytes has the name already. */
async function place(state: MergeState, beside: Place, record: FileRecord): Promise<TreeObject | undefined> {
  const hash = await versionHash(state.context, record);
  for (const name of fileNames(beside.name, hash)) {
    const target: Place = { parent: beside.parent, name };
    const taken = await state.merged.at(target);
    if (taken.some((object) => sameVersion(object.record, record))) return undefined;
    if (taken.length > 0) continue;
    const copy: TreeObject = { id: await freshId(state, target, record, hash), record, names: [target], subdirs: 0 };
    state.merged.layer(copy.id, undefined, copy);
    return copy;
  }
  return undefined;
}

/** The first id of this copy that no object in any of the trees has: a user may have renamed an earlier copy. */
async function freshId(state: MergeState, target: Place, record: FileRecord, hash: Uint8Array): Promise<FileId> {
  const { base, winner, loser, merged } = state;
  for (let generation = 0; ; generation++) {
    const id = copyId(target.parent, record.conflict?.of ?? target.parent, target.name, hash, generation);
    if (!(await isAlive(id, [base, winner, loser])) && merged.get(id) === undefined) return id;
  }
}

function survivorOf({ absorbed }: MergeState, id: FileId): FileId {
  let survivor = id;
  for (let next = absorbed.get(id); next !== undefined; next = absorbed.get(next)) survivor = next;
  return survivor;
}
