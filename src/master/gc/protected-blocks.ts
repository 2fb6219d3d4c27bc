/**
 * What is kept beside all that a root reaches: commits on the way of `skip`, without their trees, since whoever publishes next looks for
 * ancestors along them; and the list of the root before, which those go on reading who still work on that one.
 */
import { hasCode } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { MAX_NODE_LEVEL } from "../../base/limits.ts";
import type { TimeSlice } from "../../base/time-slice.ts";
import { isGone } from "../../blocks/not-found.ts";
import { decodeCommit } from "../../format/commits/commit.ts";
import { linkedHeads } from "../../format/commits/heads.ts";
import type { Node } from "../../format/tree/node.ts";
import { decodeNode } from "../../format/tree/node-decoder.ts";
import type { WalkedBlocks } from "../store/owner-blocks.ts";

/** Where blocks are kept from the sweep. */
export interface Protecting {
  readonly blocks: Pick<WalkedBlocks, "get">;
  /** Keeps these, and not what they link to. */
  protect(cids: readonly Cid[]): Promise<void>;
  /** Whether it is kept already, for whatever reason. */
  isProtected(cid: Cid): boolean;
  /** Awaited before each block that is read. */
  readonly pace: Pick<TimeSlice, "breathe">;
}

/** As far as it is there and well-formed. Throws what the store and the pace throw. */
export async function protectBesidesReached(protecting: Protecting, root: Cid): Promise<void> {
  const { body } = decodeCommit(await protecting.blocks.get(root));
  for (let at = body.skip; at !== undefined;) {
    const commit = await ifThere(protecting, at, decodeCommit);
    if (commit === undefined) break;
    await protecting.protect([at, commit.certificate, ...linkedHeads(commit.body.heads)]);
    at = commit.body.skip;
  }
  const parent = body.parent && (await ifThere(protecting, body.parent, decodeCommit));
  if (parent !== undefined) await protectList(protecting, parent.body.kept);
}

/**
 * All nodes of a list of kept commits, children before parents, so that what is protected has its children protected: its writer may have linked one
 * of them from many places. No deeper than the levels of a tree, so that memory is bounded; what is linked otherwise is no part of a list.
 */
async function protectList(protecting: Protecting, list: Cid): Promise<void> {
  const way: { readonly cid: Cid; readonly node: Node; at: number }[] = [];
  const enter = async (cid: Cid) => {
    if (protecting.isProtected(cid)) return;
    const node = await ifThere(protecting, cid, decodeNode);
    const above = way.at(-1)?.node.level ?? MAX_NODE_LEVEL + 1;
    if (node !== undefined && node.level > 0 && node.level < above) way.push({ cid, node, at: 0 });
    else await protecting.protect([cid]);
  };
  await enter(list);
  for (let last = way.at(-1); last !== undefined; last = way.at(-1)) {
    const { cid, node } = last;
    if (node.level === 1)
      await protecting.protect(Array.from({ length: node.count }, (_, index) => node.childAt(index)));
    if (node.level > 1 && last.at < node.count) await enter(node.childAt(last.at++));
    else {
      await protecting.protect([cid]);
      way.pop();
    }
  }
}

async function ifThere<Value>(
  { blocks, pace }: Protecting,
  cid: Cid,
  decode: (bytes: Uint8Array) => Value,
): Promise<Value | undefined> {
  await pace.breathe();
  try {
    return decode(await blocks.get(cid));
  } catch (error) {
    if (isGone(error) || hasCode(error, "format_invalid") || hasCode(error, "feature_unknown")) return undefined;
    throw error;
  }
}
