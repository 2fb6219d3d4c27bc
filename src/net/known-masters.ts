/**
 * The masters that those of an address last named, one origin a line: a start tries them, too, if its own are away. Files in
 * a folder of the state, named by a hash of the address's origins. Best effort.
 */
import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFolders } from "../runtime/make-folders.ts";
import { orElse } from "../base/unless.ts";

export interface KnownMasters {
  read(): readonly string[];
  note(origins: readonly string[]): void;
}

/** `own`: the origins that the address names, in any order. */
export function knownMasters(folder: string, own: readonly string[]): KnownMasters {
  const hash = createHash("sha256").update(own.toSorted().join("\n"));
  const path = join(folder, hash.digest("hex").slice(0, 32));
  const read = () => orElse("", () => readFileSync(path, "utf8"));
  return {
    read: () => read().split("\n").filter(Boolean),
    note(origins) {
      const text = origins.join("\n");
      if (text === read()) return;
      orElse(undefined, () => {
        makeFolders(folder, 0o700);
        const temporary = `${path}.${process.pid}`;
        writeFileSync(temporary, text, { mode: 0o600 });
        renameSync(temporary, path);
      });
    },
  };
}
