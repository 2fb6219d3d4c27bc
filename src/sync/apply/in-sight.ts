/** What was ignored and is no longer, since a directory above it came or moved. */
import { groupBy } from "../../base/collections.ts";
import type { Cid } from "../../base/ids.ts";
import { lookup } from "../../fstree/fs-reader.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { SyncDatabase } from "../known/database.ts";
import { directoryInFolder } from "../known/path-in-folder.ts";
import { TreePaths } from "../known/tree-paths.ts";
import type { IgnoreRules } from "../scan/ignore-rules.ts";

interface Behind {
  readonly db: SyncDatabase;
  readonly nodes: NodeStore;
  readonly tree: Cid;
  readonly rules: IgnoreRules;
}

/** Notes as waiting what is ignored no longer. Call before the plan, in its transaction. */
export async function noteInSight({ db, nodes, tree, rules }: Behind): Promise<void> {
  if (db.fact("directory moved") === undefined) return;
  const paths = new TreePaths({ nodes, tree });
  const ignored = db.behind.for("ignored");
  for (const [parent, places] of groupBy(ignored, (place) => place.parent)) {
    // If others removed the directory, its remains here must go.
    const above = (await paths.of(parent)) ?? directoryInFolder(db, parent);
    // One look for all that is in it: there may be very many.
    if (above === undefined || rules.ignores(above, true)) continue;
    for (const place of places) {
      const path = [...above, place.name];
      if (rules.ignores(path, false) && rules.ignores(path, true)) continue;
      const { record } = (await lookup(nodes, tree, place)) ?? db.at(place) ?? {};
      if (record !== undefined && !rules.ignores(path, record.type === "directory")) db.unsettle(place);
    }
  }
  db.setFact("directory moved", undefined);
}
