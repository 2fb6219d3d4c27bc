/** The policy's globs on file names: `*` is any run of characters, `?` is one, all else stands for itself. Bytes, no case. */
import type { FileName } from "../../base/ids.ts";

/** Whether each of these names matches one of the globs at least; false without names. */
export function matchesAll(globs: readonly string[], names: readonly FileName[]): boolean {
  return (
    names.length > 0 && names.every((name) => globs.some((glob) => matches(Buffer.from(glob).toString("latin1"), name)))
  );
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
