/**
 * Phase 2: every object gets a path to the root. Missing parents are restored, and the loser's moves that close a cycle are
 * dropped. Then directories restored only for a dropped move are removed again. A damaged bucket may have a cycle of the
 * winner's own: its directory with the least id goes to the root.
 */
import type { FileId } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Place } from "../object-rows.ts";
import type { Finding, MergeState } from "./merge-state.ts";
import { hasName, isDirectory } from "./objects.ts";

export async function connectToRoot(state: MergeState): Promise<void> {
  const restored = new Set<FileId>();
  const parents = new Set<FileId>();
  for (const [id, { stay, now }] of state.merged.layered()) {
    // If the staying tree has the name, too, it has the parent; parents that the merge removes are in the layer.
    for (const place of now?.names ?? []) if (!hasName(stay, place)) parents.add(place.parent);
    if (now === undefined && stay?.type === "directory") parents.add(id);
  }
  let open = [...parents].sort();
  do {
    for (const id of open) await restore(state, id, restored);
    open = await dropCycles(state);
  } while (open.length > 0);
  await removeEmpty(state, restored);
}

/** Restores a missing directory that has something in it, and its parents. */
async function restore(state: MergeState, first: FileId, restored: Set<FileId>): Promise<void> {
  for (let id = first; id !== ROOT_ID && !(await state.merged.hasDirectory(id));) {
    if (await state.merged.isEmpty(id)) return;
    const lost = (await state.winner.object(id)) ?? (await state.loser.object(id)) ?? (await state.base.object(id));
    const [place] = lost?.names ?? [];
    if (lost === undefined || place === undefined) throw damaged(`Directory ${id} has entries but is itself missing.`);
    await state.merged.put(id, lost);
    restored.add(id);
    id = place.parent;
  }
}

/** Drops the loser's moves on all cycles. The parents to which these directories return may be missing. */
async function dropCycles(state: MergeState): Promise<FileId[]> {
  const connected = new Set<FileId>([ROOT_ID]);
  const parents: FileId[] = [];
  for (const start of movedDirectories(state)) {
    const path = new Set<FileId>();
    let id: FileId | undefined = start;
    while (id !== undefined && !connected.has(id) && !path.has(id)) {
      path.add(id);
      id = (await state.merged.placeOf(id))?.parent;
    }
    if (id !== undefined && path.has(id)) parents.push(...(await dropCycle(state, [...path], id)));
    for (const passed of path) connected.add(passed);
  }
  return parents;
}

/** Directories of the layer that moved relative to the staying tree: each cycle contains one of them. */
function movedDirectories({ merged }: MergeState): FileId[] {
  const moved: FileId[] = [];
  for (const [id, { stay, now }] of merged.layered()) {
    const [from, to] = [stay?.names[0], now?.names[0]];
    if (now !== undefined && isDirectory(now) && from?.parent !== to?.parent) moved.push(id);
  }
  return moved.sort();
}

async function dropCycle(state: MergeState, path: readonly FileId[], entry: FileId): Promise<FileId[]> {
  const parents: FileId[] = [];
  const cycle = path.slice(path.indexOf(entry)).sort();
  for (const id of cycle) {
    const now = await state.merged.object(id);
    const before = (await state.winner.object(id)) ?? (await state.base.object(id));
    const [wanted, kept] = [now?.names[0], before?.names[0]];
    if (now === undefined || wanted === undefined || kept === undefined) continue;
    if (kept.parent === wanted.parent && kept.name === wanted.name) continue;
    await state.merged.put(id, { ...now, names: [kept] });
    parents.push(kept.parent);
    state.findings.push(droppedMove(id, kept, wanted));
  }
  return parents.length > 0 ? parents : openCycle(state, cycle);
}

/** Opens a cycle that has no move to drop. Phase 4 resolves name clashes in the root directory. */
async function openCycle(state: MergeState, cycle: readonly FileId[]): Promise<FileId[]> {
  for (const id of cycle) {
    const now = await state.merged.object(id);
    const wanted = now?.names[0];
    if (now === undefined || wanted === undefined) continue;
    const kept = { parent: ROOT_ID, name: wanted.name };
    await state.merged.put(id, { ...now, names: [kept] });
    state.findings.push(droppedMove(id, kept, wanted));
    return [ROOT_ID];
  }
  return [];
}

function droppedMove(id: FileId, kept: Place, wanted: Place): Finding {
  const places = { kept, other: wanted };
  return { kind: "dropped-move", rule: "moves that close a cycle", kept: id, other: wanted.parent, places };
}

async function removeEmpty({ merged }: MergeState, restored: ReadonlySet<FileId>): Promise<void> {
  for (const first of [...restored].sort()) {
    for (let id: FileId | undefined = first; id !== undefined && restored.has(id);) {
      const parent: FileId | undefined = (await merged.placeOf(id))?.parent;
      if (parent === undefined || !(await merged.isEmpty(id))) break;
      await merged.put(id, undefined);
      id = parent;
    }
  }
}

/** Trees that agents make cannot merge into this. */
function damaged(what: string): SynclineError {
  return new SynclineError("format_invalid", `The bucket's tree is damaged: ${what}`, {
    hint: "Run `syncline verify` on the bucket to find the damage. Local changes are kept.",
  });
}
