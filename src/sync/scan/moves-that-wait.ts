/**
 * Directories that others moved, and that wait at their old path here. What is created in them is published at the new path,
 * so it is ignored if the rules ignore either path.
 */
import { lookup } from "../../fstree/fs-reader.ts";
import { isGone } from "../../blocks/not-found.ts";
import { unless } from "../../base/unless.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { DiskPath } from "../disk/disk.ts";
import { isOwn, isWithin, pathText } from "../disk/paths.ts";
import type { SyncDatabase } from "../known/database.ts";
import { directoryInFolder } from "../known/path-in-folder.ts";
import { TreePaths } from "../known/tree-paths.ts";
import type { IgnoreRules } from "./ignore-rules.ts";

interface WaitingMove {
  readonly here: DiskPath;
  readonly inBucket: DiskPath;
}

/** None if the base's tree is gone. */
export async function movesThatWait(db: SyncDatabase, nodes: NodeStore, rules: IgnoreRules): Promise<WaitingMove[]> {
  const { tree } = db.base() ?? {};
  if (tree === undefined || rules.isEmpty) return [];
  const paths = new TreePaths({ nodes, tree });
  const moves: WaitingMove[] = [];
  const find = async () => {
    for (const place of db.behind.for("in the way")) {
      const target = await lookup(nodes, tree, place);
      if (target?.record.type !== "directory") continue;
      const [here, inBucket] = [directoryInFolder(db, target.id), await paths.of(target.id)];
      if (here === undefined || inBucket === undefined || isOwn(here)) continue;
      if (pathText(here) !== pathText(inBucket)) moves.push({ here, inBucket });
    }
  };
  await unless(isGone, find);
  return moves;
}

export function withBucketPaths(rules: IgnoreRules, moves: readonly WaitingMove[]): IgnoreRules {
  if (moves.length === 0) return rules;
  return {
    ...rules,
    ignores(path, isDirectory) {
      if (rules.ignores(path, isDirectory)) return true;
      return moves.some(({ here, inBucket }) => {
        if (path.length <= here.length || !isWithin(path, here)) return false;
        return rules.ignores(inBucket.concat(path.slice(here.length)), isDirectory);
      });
    },
  };
}
