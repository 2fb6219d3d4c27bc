/** The unit that a file of a folder belongs to (docs/design/merge.md, Units), as paths on the disk. */
import type { FileName } from "../../base/ids.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { DiskPath } from "../disk/disk.ts";

export interface UnitPaths {
  /** The outermost directory that is a unit with everything below it. */
  readonly tree: DiskPath | undefined;
  /** The file and those beside it that make a unit; none if it has no such names. */
  readonly family: readonly DiskPath[];
}

export function unitPathsOf(units: UnitRules, path: DiskPath): UnitPaths {
  const root = path.findIndex((name, at) => at < path.length - 1 && units.isTree(name));
  const [name, above] = [path.at(-1), path.slice(0, -1)];
  return {
    tree: root < 0 ? undefined : path.slice(0, root + 1),
    family: name === undefined ? [] : familyOf(units, name).map((member) => above.concat(member)),
  };
}

/** The names of the family that a file of this name belongs to, if any. */
export function familyOf(units: UnitRules, name: FileName): FileName[] {
  return units.mainsOf(name).flatMap((main) => {
    return ["", ...units.suffixesOf(main)].map((suffix) => (main + suffix) as FileName);
  });
}
