/**
 * The masters that an address's own masters last named: files `masters/<hash of its origins>` in the folder of all states,
 * one origin a line. All buckets of these masters share the file.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { orElse } from "../../base/unless.ts";
import type { KnownMasters } from "../../net/masters.ts";
import { makeFolders } from "../../runtime/make-folders.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";

/** `root` is the folder of all states. Best effort: a start works without them. */
export function knownMasters(root: string): (origins: readonly string[]) => KnownMasters {
  const folder = join(root, "masters");
  return (origins) => {
    const hash = createHash("sha256").update(origins.toSorted().join("\n")).digest("hex");
    const path = join(folder, hash.slice(0, 32));
    return {
      read: () => orElse([], () => (readStateFile(path)?.toString() ?? "").split("\n").filter(Boolean)),
      note(named) {
        orElse(undefined, () => {
          makeFolders(folder, 0o700);
          writeStateFile(path, Buffer.from(named.join("\n")));
        });
      },
    };
  };
}
