/**
 * What is kept beside all that a root reaches: commits on the way of `skip`, without their trees, since whoever publishes next looks for
 * ancestors along them; and the list of the root before, which those go on reading who still work on that one.
 */
import { hasCode } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { isGone } from "../../blocks/not-found.ts";
import { decodeCommit } from "../../format/commit.ts";
import { linkedHeads } from "../../format/heads.ts";
import { decodeNode } from "../../format/node-decoder.ts";
import type { WalkedBlocks } from "../store/owner-blocks.ts";

/** As far as it is there and well-formed. Blocks alone, not what they link to. */
export async function besidesReached(blocks: Pick<WalkedBlocks, "get">, root: Cid): Promise<Cid[]> {
  const spared: Cid[] = [];
  const { body } = decodeCommit(await blocks.get(root));
  for (let at = body.skip; at !== undefined;) {
    const commit = await ifThere(blocks, at, decodeCommit);
    if (commit === undefined) break;
    spared.push(at, commit.certificate, ...linkedHeads(commit.body.heads));
    at = commit.body.skip;
  }
  const parent = body.parent && (await ifThere(blocks, body.parent, decodeCommit));
  if (parent !== undefined) spared.push(...(await listNodes(blocks, parent.body.kept)));
  return spared;
}

/** All nodes of a list of kept commits, each once: its writer may have linked one of them from many places. */
async function listNodes(blocks: Pick<WalkedBlocks, "get">, list: Cid): Promise<Set<Cid>> {
  const found = new Set([list]);
  // Sets are gone through as they grow.
  for (const cid of found) {
    const node = await ifThere(blocks, cid, decodeNode);
    if (node === undefined || node.level === 0) continue;
    for (let index = 0; index < node.count; index++) found.add(node.childAt(index));
  }
  return found;
}

async function ifThere<Value>(
  blocks: Pick<WalkedBlocks, "get">,
  cid: Cid,
  decode: (bytes: Uint8Array) => Value,
): Promise<Value | undefined> {
  try {
    return decode(await blocks.get(cid));
  } catch (error) {
    if (isGone(error) || hasCode(error, "format_invalid") || hasCode(error, "feature_unknown")) return undefined;
    throw error;
  }
}
