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
  const paths = new Paths(merged);
  for (const { kind, rule, kept, other, places, origin = loser } of [...findings].sort((a, b) =>
    orderOf(a) < orderOf(b) ? -1 : 1,
  )) {
    const names = { kept: await paths.of(places.kept), other: await paths.of(places.other) };
    conflicts.push({ kind, rule, ids: { kept, other }, names, writer: origin.writer, epoch: origin.epoch });
  }
  return conflicts;
}

function orderOf({ kind, places, kept, other }: Finding): string {
  return `${placeText(places.kept)}/${kind}${kept}${other}`;
}

/** Finds paths in the merged tree. It keeps those of directories, since a deep one may hold very many conflicts. */
class Paths {
  readonly #merged: MergedTree;
  readonly #directories = new Map<FileId, readonly FileName[]>();

  constructor(merged: MergedTree) {
    this.#merged = merged;
  }

  async of({ parent, name }: Place): Promise<FileName[]> {
    const above = this.#directories.get(parent) ?? (await this.#walkTo(parent));
    return [...above, name];
  }

  /** Walks up while directories exist: a dropped move's target may be gone, and a damaged bucket may contain cycles. */
  async #walkTo(directory: FileId): Promise<readonly FileName[]> {
    const path: FileName[] = [];
    const passed = new Set<FileId>();
    for (let at = directory; at !== ROOT_ID && !passed.has(at);) {
      passed.add(at);
      const place = await this.#merged.placeOf(at);
      if (place === undefined) break;
      path.push(place.name);
      at = place.parent;
    }
    const found = path.toReversed();
    this.#directories.set(directory, found);
    return found;
  }
}
