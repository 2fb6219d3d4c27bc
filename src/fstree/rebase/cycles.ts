/**
 * Refuses directories that contain themselves: their contents would be unreachable. Earlier passes prevent this; here is
 * the last check before anything is published.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, FileId } from "../../base/ids.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { readSelf } from "../fs-reader.ts";
import type { Transition } from "./transition.ts";

/** Throws `internal` if a directory that moved lies in itself in `tree`. Ignores cycles that others made. */
export async function refuseCycles(nodes: NodeStore, tree: Cid, transitions: readonly Transition[]): Promise<void> {
  const moved = new Set<FileId>();
  for (const { before, after } of transitions) {
    if (after?.type === "directory" && before?.names[0]?.parent !== after.names[0]?.parent) moved.add(after.id);
  }
  const checked = new Set<FileId>();
  for (const directory of moved) {
    const path: FileId[] = [];
    let at: FileId | undefined = directory;
    while (at !== undefined && !checked.has(at)) {
      checked.add(at);
      path.push(at);
      const self = await readSelf(nodes, tree, at);
      at = self?.kind === "directory" ? self.place?.parent : undefined;
    }
    const cycle = at === undefined || !path.includes(at) ? [] : path.slice(path.indexOf(at));
    if (cycle.some((id) => moved.has(id))) throw liesInItself(directory);
  }
}

function liesInItself(id: FileId): SynclineError {
  return new SynclineError("internal", `Directory ${id} would contain itself. The epoch was not published.`, {
    hint: "Local changes are kept. Please report this with the agent's log.",
  });
}
