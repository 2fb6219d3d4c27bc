/** Names that are gone here and stay in the bucket: they were ignored here, or the bucket has them at an ignored path. */
import type { Cid } from "../../base/ids.ts";
import { lookup } from "../../fstree/fs-reader.ts";
import { placeText } from "../../fstree/object-rows.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { Entry } from "../known/entry.ts";
import { TreePaths } from "../known/tree-paths.ts";
import type { IgnoreRules } from "./ignore-rules.ts";
import { withoutLogs } from "./left-units.ts";
import { match, type ScanRules } from "./match.ts";
import type { LocalObject, Matching } from "./matching.ts";
import type { Looked, Unsure } from "./missed.ts";

interface Context {
  readonly db: SyncDatabase;
  readonly nodes: NodeStore;
  readonly rules: ScanRules;
  readonly units: UnitRules;
}

/**
 * What a scan found, without what is gone and stays in the bucket: the database forgets that, and it comes back once its path
 * is not ignored.
 */
export async function withoutKept(context: Context, { walked, matching, unsure }: Looked & Unsure): Promise<Matching> {
  const { db, nodes, rules, units } = context;
  const base = db.base();
  if (unsure.length > 0 || base === undefined) return matching;
  const lost = withoutLogs(matching.lostUnseen, matching, units);
  const kept = [...lost, ...(await ignoredIn({ nodes, tree: base.tree }, rules.now, matching))];
  if (kept.length === 0) return matching;
  await db.transaction(() => {
    for (const entry of kept) {
      db.remove(entry);
      db.unsettle(entry);
    }
  });
  return db.reading(() => match(db, walked, rules));
}

/**
 * Names that are gone, and that the tree has at an ignored path. Others moved their directory there: what is removed of it
 * here, also by a killed pass, is not to be removed there.
 */
async function ignoredIn(
  { nodes, tree }: { readonly nodes: NodeStore; readonly tree: Cid },
  rules: IgnoreRules,
  matching: Matching,
): Promise<Entry[]> {
  const paths = new TreePaths({ nodes, tree });
  const ignored: Entry[] = [];
  for (const entry of matching.objects.flatMap((object) => goneNames(matching, object))) {
    const above = await paths.of(entry.parent);
    if (above === undefined || !rules.ignores([...above, entry.name], entry.record.type === "directory")) continue;
    if ((await lookup(nodes, tree, entry))?.id === entry.id) ignored.push(entry);
  }
  return ignored;
}

/** None for an object that was moved here. */
function goneNames({ objectOf }: Matching, { entries, found, kept }: LocalObject): readonly Entry[] {
  if (found.length + kept.length >= entries.length) return [];
  const known = new Set(entries.map(placeText));
  const there = found.flatMap(({ parent, name }) => {
    const id = parent && objectOf.get(parent)?.id;
    return [id === undefined ? "" : placeText({ parent: id, name })];
  });
  if (!there.every((place) => known.has(place))) return [];
  const left = new Set([...there, ...kept.map(placeText)]);
  return entries.filter((entry) => !left.has(placeText(entry)));
}
