/** The policy's globs on file names: `*` is any run of characters, `?` is one, all else stands for itself. Bytes, no case. */
import type { FileName } from "../../base/ids.ts";

/** Globs made ready for many names. */
export class Globs {
  /** What names end with that match those which are a star and no wildcard behind it: nearly all. */
  readonly #endings: string[] = [];
  readonly #others: string[] = [];

  constructor(globs: readonly string[]) {
    for (const glob of globs.map(globBytes)) {
      if (/^\*[^*?]*$/.test(glob)) this.#endings.push(glob.slice(1));
      else this.#others.push(glob);
    }
  }

  /** Whether the name matches one of them at least. */
  match(name: string): boolean {
    for (const ending of this.#endings) if (name.endsWith(ending)) return true;
    for (const glob of this.#others) if (matches(glob, name)) return true;
    return false;
  }
}

/** Whether each of these names matches one of the globs at least; false without names. */
export function matchesAll(globs: readonly string[], names: readonly FileName[]): boolean {
  const ready = new Globs(globs);
  return names.length > 0 && names.every((name) => ready.match(name));
}

/** Text of a policy as names are: bytes. */
export function globBytes(text: string): string {
  return Buffer.from(text).toString("latin1");
}

/** Linear but for restarts at the last star: at most glob × name steps. */
function matches(glob: string, name: string): boolean {
  let g = 0;
  let star = -1;
  let resume = 0;
  for (let n = 0; n < name.length;) {
    if (glob[g] === "*") {
      star = g++;
      resume = n;
    } else if (glob[g] === "?" || (g < glob.length && glob[g] === name[n])) {
      g++;
      n++;
    } else if (star >= 0) {
      g = star + 1;
      n = ++resume;
    } else return false;
  }
  while (glob[g] === "*") g++;
  return g === glob.length;
}
