/** The files that a decision about a conflict changes: its versions and the file that kept the name, each with its family. */
import type { Cid, FileName } from "../../base/ids.ts";
import { resolvePath, type TreeObject } from "../../fstree/fs-reader.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { familyOf } from "./family.ts";
import { type ConflictSource, lastChange } from "./last-change.ts";
import type { OpenConflict } from "./open-conflicts.ts";
import { isUnchanged } from "./unchanged.ts";

/** A path that a decision may change, and the file there, if there is one. */
interface Member {
  readonly path: readonly FileName[];
  readonly object: TreeObject | undefined;
}

/** Whether any of these files was created or changed after this time. */
export async function hasChangedSince(
  timeNs: bigint,
  source: ConflictSource,
  rules: UnitRules,
  conflict: OpenConflict,
): Promise<boolean> {
  const { nodes, commit } = source;
  for (const { path, object } of await membersIn(nodes, commit.body.tree, rules, conflict)) {
    if (object === undefined) continue;
    const { body } = await lastChange(source, object, path);
    if (body.timeNs > timeNs) return true;
  }
  return false;
}

/** Whether these files are the same in both trees. */
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
  for (const [index, member] of now.entries()) {
    const earlier = old[index];
    if (earlier === undefined || earlier.path.join("/") !== member.path.join("/")) return false;
    const [was, is] = [earlier.object, member.object];
    if (was === undefined || is === undefined) {
      if (was !== is) return false;
    } else if (!(await isUnchanged(nodes, { tree: before.tree, object: was }, { tree: after.tree, object: is })))
      return false;
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
