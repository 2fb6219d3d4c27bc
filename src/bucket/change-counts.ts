/** How many names a commit changed: for people who read the history. */
import type { Cid } from "../base/ids.ts";
import { decodeSelf } from "../format/files/rows.ts";
import { parseKey } from "../format/files/keys.ts";
import { diffBatches, type Change } from "../tree/diff.ts";
import type { NodeStore } from "../tree/node-store.ts";

export interface ChangeCounts {
  /** Names that are there now; a moved object is one added and one removed. */
  readonly added: number;
  readonly removed: number;
  /** Names whose object changed or was replaced, and hard-linked files that changed. */
  readonly changed: number;
  /** Whether everything was counted: counting stops at a limit. */
  readonly complete: boolean;
}

/** The most rows to count: reading this many still takes only a moment. */
export const MAX_COUNTED_CHANGES = 100_000;

/** The changes from tree `from` to tree `to`. Rejects as reading does. */
export async function countChanges(nodes: NodeStore, from: Cid, to: Cid): Promise<ChangeCounts> {
  const counts = { added: 0, removed: 0, changed: 0 };
  let rows = 0;
  for await (const batch of diffBatches(nodes, from, to)) {
    for (const change of batch) {
      const kind = kindOf(change);
      if (kind !== undefined) counts[kind]++;
    }
    rows += batch.length;
    if (rows >= MAX_COUNTED_CHANGES) return { ...counts, complete: false };
  }
  return { ...counts, complete: true };
}

function kindOf({ key: bytes, before, after }: Change): "added" | "removed" | "changed" | undefined {
  const key = parseKey(bytes);
  if (key.kind === "dentry") return before === undefined ? "added" : after === undefined ? "removed" : "changed";
  if (key.kind === "backref" || before === undefined || after === undefined) return undefined;
  // A directory's own row changes whenever an entry comes or goes.
  return decodeSelf(key.id, after).kind === "directory" ? undefined : "changed";
}
