/**
 * Which blocks a block below a root reaches. A commit other than the root reaches all of its links but its list of kept
 * commits: the newest root's list says what a bucket retains; older ones name deleted commits (docs/design/retention.md). A
 * master does not know what links mean, so it recognizes commits by shape. Clients that imitate it only hide their own
 * blocks.
 */
import { unlessSync } from "../../base/unless.ts";
import type { Cid } from "../../base/ids.ts";
import { decodeCommit, looksLikeCommit } from "../../format/commits/commit.ts";
import type { LinkList } from "../../format/blocks/link-scan.ts";
import { linkListOf } from "../../format/blocks/links.ts";

/** The links to follow, in order; all of them for a root. Throws `format_invalid`. */
export function reachedLinks(cid: Cid, bytes: Uint8Array, isRoot: boolean): LinkList {
  const links = linkListOf(cid, bytes);
  const kept = isRoot ? undefined : keptListOf(bytes);
  return kept === undefined ? links : links.without(kept);
}

/** The list of kept commits, if this is a commit. */
function keptListOf(bytes: Uint8Array): Cid | undefined {
  if (!looksLikeCommit(bytes)) return undefined;
  return unlessSync(["format_invalid", "feature_unknown"], () => decodeCommit(bytes).body.kept);
}
