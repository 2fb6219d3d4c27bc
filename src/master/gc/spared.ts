/**
 * What is kept beside all that a root reaches: commits on the way of `skip`, without their trees, since whoever publishes next looks for
 * ancestors along them; and the list of the root before, which those go on reading who still work on that one.
 */
import { hasCode } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { MAX_NODE_LEVEL } from "../../base/limits.ts";
import type { Pace } from "../../base/pace.ts";
import { isGone } from "../../blocks/not-found.ts";
import { decodeCommit } from "../../format/commit.ts";
import { linkedHeads } from "../../format/heads.ts";
import type { Node } from "../../format/node.ts";
import { decodeNode } from "../../format/node-decoder.ts";
import type { WalkedBlocks } from "../store/owner-blocks.ts";

/** Where blocks are kept from the sweep. */
export interface Sparing {
  readonly blocks: Pick<WalkedBlocks, "get">;
  /** Keeps these, and not what they link to. */
  spare(cids: readonly Cid[]): Promise<void>;
  /** Whether it is kept already, for whatever reason. */
  isSpared(cid: Cid): boolean;
  /** Awaited before each block that is read. */
  readonly pace: Pick<Pace, "breathe">;
}

/** As far as it is there and well-formed. Throws what the store and the pace throw. */
export async function spareBesidesReached(sparing: Sparing, root: Cid): Promise<void> {
  const { body } = decodeCommit(await sparing.blocks.get(root));
  for (let at = body.skip; at !== undefined;) {
    const commit = await ifThere(sparing, at, decodeCommit);
    if (commit === undefined) break;
    await sparing.spare([at, commit.certificate, ...linkedHeads(commit.body.heads)]);
    at = commit.body.skip;
  }
  const parent = body.parent && (await ifThere(sparing, body.parent, decodeCommit));
  if (parent !== undefined) await spareList(sparing, parent.body.kept);
}

/**
 * All nodes of a list of kept commits, children before parents, so that what is spared has its children spared: its writer may have linked one
 * of them from many places. No deeper than the levels of a tree, so that memory is bounded; what is linked otherwise is no part of a list.
 */
async function spareList(sparing: Sparing, list: Cid): Promise<void> {
  const way: { readonly cid: Cid; readonly node: Node; at: number }[] = [];
  const enter = async (cid: Cid) => {
    if (sparing.isSpared(cid)) return;
    const node = await ifThere(sparing, cid, decodeNode);
    const above = way.at(-1)?.node.level ?? MAX_NODE_LEVEL + 1;
    if (node !== undefined && node.level > 0 && node.level < above) way.push({ cid, node, at: 0 });
    else await sparing.spare([cid]);
  };
  await enter(list);
  for (let last = way.at(-1); last !== undefined; last = way.at(-1)) {
    const { cid, node } = last;
    if (node.level === 1) await sparing.spare(Array.from({ length: node.count }, (_, index) => node.childAt(index)));
    if (node.level > 1 && last.at < node.count) await enter(node.childAt(last.at++));
    else {
      await sparing.spare([cid]);
      way.pop();
    }
  }
}

async function ifThere<Value>(
  { blocks, pace }: Sparing,
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
