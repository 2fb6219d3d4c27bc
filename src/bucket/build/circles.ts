/**
 * No directory may come to lie in itself: all that is in it would be lost to everybody. Whoever gives places to an epoch's directories sees
 * to that; this looks once more before anything is published.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, FileId } from "../../base/ids.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { readSelf } from "../fs-reader.ts";
import type { Transition } from "./transition.ts";

/** Throws `internal` if one of the directories that moved lies in itself in `tree`. Circles that others made are not looked for. */
export async function refuseCircles(nodes: NodeStore, tree: Cid, transitions: readonly Transition[]): Promise<void> {
  const checked = new Set<FileId>();
  for (const { before, after } of transitions) {
    if (after?.type !== "directory" || before?.names[0]?.parent === after.names[0]?.parent) continue;
    const above = new Set<FileId>();
    for (let at: FileId | undefined = after.id; at !== undefined && !checked.has(at);) {
      if (above.has(at) && at === after.id) throw liesInItself(after.id);
      if (above.has(at)) break;
      above.add(at);
      const self = await readSelf(nodes, tree, at);
      at = self?.kind === "directory" ? self.place?.parent : undefined;
    }
    for (const id of above) checked.add(id);
  }
}

function liesInItself(id: FileId): SynclineError {
  return new SynclineError("internal", `Directory ${id} would come to lie in itself: the epoch is not published.`, {
    hint: "What was changed is kept here. Move one of the directories that were moved last to the bucket's root.",
  });
}
