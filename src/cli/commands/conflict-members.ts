/** What a decision about a conflict acts on: its versions and the file that kept the name, each with its family. */
import type { Cid, FileName } from "../../base/ids.ts";
import { familyOf } from "../../bucket/conflicts/family.ts";
import type { OpenConflict } from "../../bucket/conflicts/open-conflicts.ts";
import { isUnchanged } from "../../bucket/conflicts/unchanged.ts";
import { resolvePath, type TreeObject } from "../../fstree/fs-reader.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { type ConflictSource, lastChange } from "./conflict-report.ts";

/** A place that a decision may change, and what is there now. */
interface Member {
  readonly path: readonly FileName[];
  readonly object: TreeObject | undefined;
}

/** Whether a version or anything of its family was made or changed after this time. */
export async function hasChangedSince(
  timeNs: bigint,
  source: ConflictSource,
  rules: UnitRules,
  conflict: OpenConflict,
): Promise<boolean> {
  const { nodes, commit } = source;
  for (const { path, object } of await membersIn(nodes, commit.body.tree, rules, conflict)) {
    if (object === undefined) continue;
    const { body } = await lastChange(source, { path, object });
    if (body.timeNs > timeNs) return true;
  }
  return false;
}

/** Whether a conflict has the same versions, with the same families, in both trees. */
export async function isSameConflict(
  nodes: NodeStore,
  rules: UnitRules,
  before: { readonly tree: Cid; readonly conflict: OpenConflict },
  after: { readonly tree: Cid; readonly conflict: OpenConflict },
): Promise<boolean> {
  const [old, now] = [
    await membersIn(nodes, before.tree, rules, before.conflict),
    await membersIn(nodes, after.tree, rules, after.conflict),
  ];
  if (old.length !== now.length) return false;
  for (const [index, { path, object }] of now.entries()) {
    const earlier = old[index];
    if (earlier === undefined || earlier.path.join("/") !== path.join("/")) return false;
    if (earlier.object === undefined || object === undefined) {
      if (earlier.object !== object) return false;
    } else if (
      !(await isUnchanged(nodes, { tree: before.tree, object: earlier.object }, { tree: after.tree, object }))
    ) {
      return false;
    }
  }
  return true;
}

async function membersIn(nodes: NodeStore, tree: Cid, rules: UnitRules, conflict: OpenConflict): Promise<Member[]> {
  const above = conflict.path.slice(0, -1);
  const plain = conflict.path.at(-1) ?? ("" as FileName);
  const names = new Set<FileName>();
  for (const { path } of conflict.versions) {
    for (const member of familyOf(rules, plain, path.at(-1) ?? plain)) names.add(member.version).add(member.plain);
  }
  const members: Member[] = [];
  for (const name of names) {
    const path = [...above, name];
    members.push({ path, object: await resolvePath(nodes, tree, path) });
  }
  return members;
}
