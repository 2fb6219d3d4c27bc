/**
 * What is kept besides everything that a root reaches: commits along `skip`, without their trees, since the next publisher
 * looks for ancestors there; the same of lost roots that were merged in again, since machines that stand before one follow
 * it; and the previous root's list, which agents still working on that root read.
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

/** Keeps blocks from the sweep. */
export interface Protecting {
  readonly blocks: Pick<WalkedBlocks, "get">;
  /** Keeps these blocks, but not what they link to. */
  protect(cids: readonly Cid[]): Promise<void>;
  /** Whether it is already kept, for any reason. */
  isProtected(cid: Cid): boolean;
  /** Awaited before each block read. */
  readonly pace: Pick<TimeSlice, "breathe">;
}

/** Protects what is present and well-formed. Throws what the store and the pace throw. */
export async function protectBesidesReached(protecting: Protecting, root: Cid): Promise<void> {
  const { body } = decodeCommit(await protecting.blocks.get(root));
  for (const from of [body.skip, ...(body.recovered ?? [])]) await protectSkips(protecting, from);
  const parent = body.parent && (await ifThere(protecting, body.parent, decodeCommit));
  if (parent !== undefined) await protectNodes(protecting, parent.body.kept);
}

/** The commit, and those that `skip` leads to from it. */
async function protectSkips(protecting: Protecting, from: Cid | undefined): Promise<void> {
  for (let at = from; at !== undefined;) {
    const commit = await ifThere(protecting, at, decodeCommit);
    if (commit === undefined) break;
    for (const heads of linkedHeads(commit.body.heads)) await protectNodes(protecting, heads);
    await protecting.protect([at, commit.certificate]);
    at = commit.body.skip;
  }
}

/**
 * All nodes of a list of kept commits, children before parents, so that a protected node's children are protected too, even
 * if linked from many places. Stops at a tree's maximum depth to bound memory; deeper links are not part of a valid list.
 */
async function protectNodes(protecting: Protecting, list: Cid): Promise<void> {
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
    if (isGone(error) || hasCode(error, "format_invalid", "feature_unknown")) return undefined;
    throw error;
  }
}
