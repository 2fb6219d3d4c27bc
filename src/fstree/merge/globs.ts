/** The policy's globs on file names: `*` matches any run of characters, `?` one, all else itself. Bytes, case-sensitive. */
import type { FileName } from "../../base/ids.ts";

/** Globs prepared for matching many names. */
export class Globs {
  /** The endings of globs that are a star followed by no further wildcard: nearly all globs. */
  readonly #endings: string[] = [];
  readonly #others: string[] = [];

  constructor(globs: readonly string[]) {
    for (const glob of globs.map(globBytes)) {
      if (/^\*[^*?]*$/.test(glob)) this.#endings.push(glob.slice(1));
      else this.#others.push(glob);
    }
  }

  /** Whether the name matches at least one glob. */
  match(name: string): boolean {
    for (const ending of this.#endings) if (name.endsWith(ending)) return true;
    for (const glob of this.#others) if (matches(glob, name)) return true;
    return false;
  }
}

/** Whether each of these names matches at least one of the globs; false without names. */
export function matchesAll(globs: readonly string[], names: readonly FileName[]): boolean {
  const ready = new Globs(globs);
  return names.length > 0 && names.every((name) => ready.match(name));
}

/** A policy's text in the form of names: bytes. */
export function globBytes(text: string): string {
  return Buffer.from(text).toString("latin1");
}

/** Linear except for restarts at the last star: at most glob × name steps. */
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
