/**
 * What blocks below a root reach. A commit that is not the root reaches all that it links but its own list of kept commits: what a
 * bucket retains is what the newest root's list says, and older lists name commits that are gone (docs/design/retention.md).
 *
 * A commit is known by its shape, since a master does not know what a link means. Whoever makes other blocks look like one
 * hides from the master what only he stored.
 */
import { hasCode } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { decodeCommit } from "../../format/commits/commit.ts";
import type { LinkList } from "../../format/blocks/link-scan.ts";
import { linkListOf } from "../../format/blocks/links.ts";

/** The links to follow, in the order in which they stand; all of them for a root. Throws `format_invalid`. */
export function reachedLinks(cid: Cid, bytes: Uint8Array, isRoot: boolean): LinkList {
  const links = linkListOf(cid, bytes);
  const kept = isRoot ? undefined : keptListOf(bytes);
  return kept === undefined ? links : links.without(kept);
}

/** The list of kept commits, if this is a commit. */
function keptListOf(bytes: Uint8Array): Cid | undefined {
  // dag-cbor of a list of four that begins with 1 and a map: no node, list or certificate does.
  const [list = 0, version = 0, body = 0] = bytes;
  if (list !== 0x84 || version !== 1 || body >> 5 !== MAP) return undefined;
  try {
    return decodeCommit(bytes).body.kept;
  } catch (error) {
    if (hasCode(error, "format_invalid") || hasCode(error, "feature_unknown")) return undefined;
    throw error;
  }
}

const MAP = 5;
