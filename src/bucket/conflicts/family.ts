/** Files of one family lose a conflict together: a decision about one holds for all (docs/design/merge.md, Units). */
import type { FileName } from "../../base/ids.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";

/** The name of a version's member, and of the member whose place it would take. */
export interface FamilyMember {
  readonly version: FileName;
  readonly plain: FileName;
  /** The rest of the name after the main name; empty for a file without a family. */
  readonly suffix: FileName;
}

/** All possible members of a version, existing or not, the main one first. `plain` is the name that it lost to. */
export function familyOf(rules: UnitRules, plain: FileName, version: FileName): FamilyMember[] {
  // The shortest: a database's journal may look like a main file itself.
  const [main = plain] = rules.mainsOf(plain).sort((a, b) => a.length - b.length);
  const ending = plain.slice(main.length);
  const stem = version.slice(0, version.length - ending.length);
  return ["", ...rules.suffixesOf(main)].map((suffix) => {
    return { version: (stem + suffix) as FileName, plain: (main + suffix) as FileName, suffix: suffix as FileName };
  });
}
