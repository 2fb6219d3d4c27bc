/** How to continue a `put` of a directory of which only a part reached the bucket. */
import { basename } from "node:path";
import { shellWord } from "../../base/names.ts";
import type { Path } from "../../bucket/writer.ts";

/** Whether a source means the contents of a directory, which go into the target itself. */
export function isContents(source: string): boolean {
  return ["", ".", ".."].includes(basename(source));
}

/** If the first run made the directory that the address names, the same command would copy the source into that directory. */
export function againText([source = "", url = ""]: readonly string[], given: Path, target: Path): string {
  if (isContents(source) || target.length > given.length) return "Run the same command to continue.";
  return `To continue: syncline put -r ${shellWord(`${source.replace(/\/+$/, "")}/.`)} ${shellWord(url)}`;
}
