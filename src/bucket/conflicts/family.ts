/** Files that only make sense together lose a conflict together: what is decided about one of them holds for all (docs/design/merge.md, Units). */
import type { FileName } from "../../base/ids.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";

/** Names of one version's member, and of the member in whose place it would be. */
export interface FamilyMember {
  readonly version: FileName;
  readonly plain: FileName;
  /** What stands behind the main name; nothing for a file that has no family. */
  readonly suffix: FileName;
}

/** All that may belong to a version, the main one first; those that are not there included. `plain` is the name that it lost to. */
export function familyOf(rules: UnitRules, plain: FileName, version: FileName): FamilyMember[] {
  // The shortest: a database's journal is one itself only by its looks.
  const [main = plain] = rules.mainsOf(plain).sort((a, b) => a.length - b.length);
  const ending = plain.slice(main.length);
  const stem = version.slice(0, version.length - ending.length);
  return ["", ...rules.suffixesOf(main)].map((suffix) => {
    return { version: (stem + suffix) as FileName, plain: (main + suffix) as FileName, suffix: suffix as FileName };
  });
}
