/**
 * The blocks of a root that the next writer reads first: the commit, the root of its tree, and its list of retained commits
 * down to the last entry. They are sent along with a turn, since separate calls would each delay everyone in line.
 */
import type { Cid } from "../../base/ids.ts";
import { decodeCommit } from "../../format/commits/commit.ts";
import { decodeNode } from "../../format/tree/node-decoder.ts";
import type { OwnerBlocks } from "../store/owner-blocks.ts";

/** Anything beyond this takes calls of its own. */
export const FIRST_READS_BYTES = 64 * 1024;

/** The blocks, the commit first, as far as they are in memory and well-formed. */
export function firstReads(blocks: Pick<OwnerBlocks, "recent">, commit: Cid): Uint8Array[] {
  const reads: Uint8Array[] = [];
  let left = FIRST_READS_BYTES;
  try {
    for (const block of walk(blocks, commit)) {
      left -= block.length;
      if (left < 0) break;
      reads.push(block);
    }
  } catch {
    // Callers that read it themselves get the error.
  }
  return reads;
}

function* walk(blocks: Pick<OwnerBlocks, "recent">, commit: Cid): Generator<Uint8Array> {
  const head = blocks.recent(commit);
  if (head === undefined) return;
  yield head;
  const { body } = decodeCommit(head);
  const tree = blocks.recent(body.tree);
  if (tree !== undefined) yield tree;
  for (let next: Cid | undefined = body.kept; next !== undefined;) {
    const list = blocks.recent(next);
    if (list === undefined) return;
    yield list;
    const node = decodeNode(list);
    next = node.level === 0 ? undefined : node.childAt(node.count - 1);
  }
}
