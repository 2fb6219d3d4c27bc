/** Which names make units, by the policy: directories whose whole trees belong together, and files with those beside them. */
import type { FileName } from "../../base/ids.ts";
import type { Units } from "../../format/policy.ts";
import { matchesAll } from "./globs.ts";

export class UnitRules {
  readonly #trees: readonly string[];
  readonly #families: Units["families"];

  constructor({ trees, families }: Units) {
    this.#trees = trees.map(nameGlob);
    this.#families = families;
  }

  /** Whether all below a directory of this name is a unit. A copy of a unit is one, too. */
  isTree(name: FileName): boolean {
    return matchesAll(this.#trees, [name.replace(CONFLICT_MARKS, "") as FileName]);
  }

  /** The main names of the families that a file of this name belongs to: its own, and what its ending is put behind. */
  mainsOf(name: FileName): FileName[] {
    const mains = new Set<FileName>();
    for (const { globs, suffixes } of this.#families) {
      for (const suffix of ["", ...suffixes.map(bytesOf)]) {
        const main = name.slice(0, name.length - suffix.length) as FileName;
        if (name.endsWith(suffix) && matchesAll(globs, [main])) mains.add(main);
      }
    }
    return [...mains];
  }

  /** What the other members of this family have behind its main name, sorted. */
  suffixesOf(main: FileName): string[] {
    const families = this.#families.filter(({ globs }) => matchesAll(globs, [main]));
    return [...new Set(families.flatMap(({ suffixes }) => suffixes.map(bytesOf)))].sort();
  }
}

const CONFLICT_MARKS = /(?: \(conflict [0-9a-f]{8,64}(?: \d+)?\))+$/;

/** Where a directory lies makes no difference: it may be moved while somebody writes in it. */
function nameGlob(glob: string): string {
  return glob.replace(/^(?:\*\*\/)+/, "");
}

function bytesOf(text: string): string {
  return Buffer.from(text).toString("latin1");
}
