/** Which names make units, by the policy: directories with their whole trees, and files with those beside them. */
import type { FileName } from "../../../base/ids.ts";
import type { Units } from "../../../format/commits/policy.ts";
import { globBytes, Globs } from "../globs.ts";

export class UnitRules {
  readonly #trees: Globs;
  readonly #families: readonly { readonly globs: Globs; readonly suffixes: readonly string[] }[];

  constructor({ trees, families }: Units) {
    this.#trees = new Globs(trees.map(nameGlob));
    this.#families = families.map(({ globs, suffixes }) => {
      return { globs: new Globs(globs), suffixes: suffixes.map(globBytes) };
    });
  }

  /** Whether everything below a directory of this name is a unit. A unit's copy is one, too. */
  isTree(name: FileName): boolean {
    return this.#trees.match(name.endsWith(")") ? name.replace(CONFLICT_MARKS, "") : name);
  }

  /** The main names of the families that a file of this name belongs to: its own, and the one that its suffix follows. */
  mainsOf(name: FileName): FileName[] {
    const mains: FileName[] = [];
    const add = (globs: Globs, main: string) => {
      if (globs.match(main) && !mains.includes(main as FileName)) mains.push(main as FileName);
    };
    for (const { globs, suffixes } of this.#families) {
      add(globs, name);
      for (const suffix of suffixes) if (name.endsWith(suffix)) add(globs, name.slice(0, name.length - suffix.length));
    }
    return mains;
  }

  /** The suffixes that this family's other members add to its main name, sorted. */
  suffixesOf(main: FileName): string[] {
    const families = this.#families.filter(({ globs }) => globs.match(main));
    return [...new Set(families.flatMap(({ suffixes }) => suffixes))].sort();
  }
}

const CONFLICT_MARKS = /(?: \(conflict [0-9a-f]{8,64}(?: \d+)?\))+$/;

/** A directory's location makes no difference: it may be moved while files in it are written. */
function nameGlob(glob: string): string {
  return glob.replace(/^(?:\*\*\/)+/, "");
}
