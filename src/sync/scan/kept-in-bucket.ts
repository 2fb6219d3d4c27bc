/** Names that are gone here but stay in the bucket: they were ignored, or the bucket has them at an ignored path. */
import type { Cid } from "../../base/ids.ts";
import { isGone } from "../../blocks/not-found.ts";
import { lookup } from "../../fstree/fs-reader.ts";
import { placeText } from "../../fstree/object-rows.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { Entry } from "../known/entry.ts";
import { TreePaths } from "../known/tree-paths.ts";
import type { IgnoreRules } from "./ignore-rules.ts";
import { ChangedUnits } from "./changed-units.ts";
import { withoutLogs } from "./left-units.ts";
import { match, type ScanRules } from "./match.ts";
import type { LocalObject, Matching } from "./matching.ts";
import type { Looked } from "./missed.ts";

interface Context {
  readonly db: SyncDatabase;
  readonly nodes: NodeStore;
  readonly rules: ScanRules;
  readonly units: UnitRules;
}

/**
 * Makes the database forget the names that are gone here and stay in the bucket, and matches again. They come back once their
 * path is no longer ignored. `isSure`: also looks up what the bucket has at ignored paths. That needs the bucket, and a scan
 * during which no files moved.
 */
export async function withoutKept(context: Context, { walked, matching }: Looked, isSure: boolean): Promise<Matching> {
  const { db, nodes, rules, units } = context;
  const { tree } = db.base() ?? {};
  const lost = withoutLogs(matching.lostUnseen, matching, units);
  const changed = new ChangedUnits(db, matching, units);
  const all = isSure && tree !== undefined ? await ignoredIn({ nodes, tree }, rules.now, matching) : [];
  const ignored = db.fact("leaving") === undefined ? all.filter((entry) => !changed.has(entry)) : all;
  if (lost.length + ignored.length === 0) return matching;
  await db.transaction(() => {
    for (const entry of withKeptInside(db, matching, [...lost, ...ignored])) {
      db.remove(entry);
      db.unsettle(entry);
    }
  });
  return db.reading(() => match(db, walked, rules));
}

/**
 * Names that are gone, and that the tree has at an ignored path. Others moved their directory there: what is removed of it
 * here, also by a killed pass, is not to be removed there. None if the tree is gone: then the deletions count.
 */
async function ignoredIn(
  { nodes, tree }: { readonly nodes: NodeStore; readonly tree: Cid },
  rules: IgnoreRules,
  matching: Matching,
): Promise<Entry[]> {
  if (rules.isEmpty) return [];
  const paths = new TreePaths({ nodes, tree });
  const ignored: Entry[] = [];
  try {
    for (const entry of matching.objects.flatMap((object) => goneNames(matching, object))) {
      const above = await paths.of(entry.parent);
      if (above === undefined || !rules.ignores([...above, entry.name], entry.record.type === "directory")) continue;
      if ((await lookup(nodes, tree, entry))?.id === entry.id) ignored.push(entry);
    }
  } catch (error) {
    if (!isGone(error)) throw error;
    return [];
  }
  return ignored;
}

/** These names, and the ignored names inside those that are directories: without them they would have no path. */
function withKeptInside(db: SyncDatabase, matching: Matching, gone: readonly Entry[]): readonly Entry[] {
  const all = [...gone];
  for (const { id, record } of all) {
    if (record.type !== "directory") continue;
    for (const child of db.children(id)) {
      const kept = matching.ofId(child.id)?.kept ?? [];
      if (kept.some((entry) => placeText(entry) === placeText(child))) all.push(child);
    }
  }
  return all;
}

/** Of a file with several names, also if another one was moved. */
function goneNames({ objectOf }: Matching, { entries, found, kept }: LocalObject): readonly Entry[] {
  if (found.length + kept.length >= entries.length) return [];
  const there = found.flatMap(({ parent, name }) => {
    const id = parent && objectOf.get(parent)?.id;
    return id === undefined ? [] : [placeText({ parent: id, name })];
  });
  const left = new Set([...there, ...kept.map(placeText)]);
  return entries.filter((entry) => !left.has(placeText(entry)));
}
