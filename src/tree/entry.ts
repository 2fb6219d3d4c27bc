/** The contents of a tree, and edits of it: rows of bytes. Higher layers define their meaning. */
import { compareBytes } from "../base/bytes.ts";
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { MAX_ENTRY_BYTES, MAX_ENTRY_LINKS } from "../base/limits.ts";
import type { Node } from "../format/tree/node.ts";
import { LINK_BYTES } from "../format/tree/node-layout.ts";

export interface Entry {
  /** At least one byte. */
  readonly key: Uint8Array;
  /** May be a view of a block: do not write to it. */
  readonly value: Uint8Array;
  /** Blocks that the value names by index, 0 to links.length - 1. */
  readonly links: readonly Cid[];
}

/** Sets the entry of a key, or deletes it when `value` is undefined. */
export interface Edit {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
  readonly links: readonly Cid[];
}

export function entryAt(node: Node, index: number): Entry {
  return { key: node.keyAt(index), value: node.valueAt(index), links: node.linksAt(index) };
}

/** Whether two entries have the same value and links. */
export function sameContents(a: Omit<Entry, "key">, b: Omit<Entry, "key">): boolean {
  return (
    compareBytes(a.value, b.value) === 0 &&
    a.links.length === b.links.length &&
    a.links.every((link, index) => link === b.links[index])
  );
}

/** Throws `limit_exceeded` for an entry too large for any node. */
export function checkEntry(entry: Entry): void {
  const bytes = entry.key.length + entry.value.length + LINK_BYTES * entry.links.length;
  if (bytes <= MAX_ENTRY_BYTES && entry.links.length <= MAX_ENTRY_LINKS && entry.key.length > 0) return;
  throw new SynclineError(
    "limit_exceeded",
    `A tree entry of ${bytes} bytes and ${entry.links.length} links is out of bounds.`,
    {
      hint: `A key must have at least one byte, an entry at most ${MAX_ENTRY_BYTES} bytes and ${MAX_ENTRY_LINKS} links.`,
    },
  );
}
