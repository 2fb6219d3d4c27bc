/** Checks what only a node's parent knows: level, key range, and the number of entries below. */
import { SynclineError } from "../base/errors.ts";
import type { Node } from "../format/tree/node.ts";

/** Throws `format_invalid` unless `child` matches entry `index` of `parent`. */
export function checkChild(parent: Node, index: number, child: Node): void {
  if (parent.isProven(index)) return;
  if (child.level !== parent.level - 1) throw misplaced(parent, index, "is at a different level than its parent says");
  if (child.count === 0) throw misplaced(parent, index, "is empty");
  const run = parent.runOf(index);
  if (parent.compareEntries(run, index, child, child.layout.runs - 1, child.count - 1) !== 0) {
    throw misplaced(parent, index, "ends with a different key than its parent says");
  }
  if (index > 0 && parent.compareEntries(parent.runOf(index - 1), index - 1, child, 0, 0) >= 0) {
    throw misplaced(parent, index, "begins before its parent's range");
  }
  if (child.total !== parent.childTotal(index)) {
    throw misplaced(parent, index, "holds a different number of entries than its parent says");
  }
  parent.prove(index);
}

function misplaced(parent: Node, index: number, what: string): SynclineError {
  return new SynclineError("format_invalid", `Tree node ${parent.childAt(index)} ${what}.`, {
    hint: "Run `syncline verify` on the bucket.",
  });
}
