/** Whether a merge gave a version its conflict name. A person may have saved a file under a name that looks like one. */
import type { FileName } from "../../base/ids.ts";
import { resolvePath, type TreeObject } from "../../fstree/fs-reader.ts";
import { idDigits } from "../../fstree/merge/conflict-names.ts";
import { versionHash } from "../../fstree/merge/contents/content.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { familyOf } from "./family.ts";
import type { ConflictSource } from "./last-change.ts";
import { digitsIn } from "./marked-name.ts";
import type { Displaced, OpenConflict } from "./open-conflicts.ts";

/**
 * A copy says whose it is. A displaced object does not, but its name has digits of its bytes, or of a directory's id. False
 * for one that was edited since.
 */
export async function isMergeMade(
  { bucket, nodes, commit }: ConflictSource,
  rules: UnitRules,
  conflict: OpenConflict,
  { path, object }: Displaced,
): Promise<boolean> {
  const name = path.at(-1) ?? ("" as FileName);
  const digits = digitsIn(name) ?? "";
  const isNamedFor = async ({ id, record }: TreeObject) =>
    record.conflict !== undefined ||
    (record.type === "directory"
      ? idDigits(id)
      : Buffer.from(await versionHash(bucket, record)).toString("hex")
    ).startsWith(digits);
  if (await isNamedFor(object)) return true;
  // The files of a displaced family have the digits of one of them.
  for (const { version } of familyOf(rules, conflict.path.at(-1) ?? name, name)) {
    const member = await resolvePath(nodes, commit.body.tree, [...path.slice(0, -1), version]);
    if (member !== undefined && version !== name && (await isNamedFor(member))) return true;
  }
  return false;
}
