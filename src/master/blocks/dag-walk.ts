/** All blocks below one, each once, parents before children, in the order of their links (depth first). */
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import type { Block } from "../../blocks/block-store.ts";
import { digestKey } from "../../format/cid.ts";
import { linkListOf } from "../../format/links.ts";
import type { Reading } from "./car-stream.ts";

/**
 * The memory of a block is counted before it is read and until the next one is asked for. Throws `block_not_found` at a block that is missing, `format_invalid` at one whose links are no links, `limit_exceeded` where a
 * DAG is greater than one answer should be: its reader asks for parts then.
 */
export async function* walkDag({ blocks, answers, owner, signal }: Reading, root: Cid): AsyncGenerator<Block> {
  const seen = new Set<string>();
  const ahead: Cid[] = [root];
  for (let cid = ahead.pop(); cid !== undefined; cid = ahead.pop()) {
    if (seen.has(digestKey(cid))) continue;
    seen.add(digestKey(cid));
    using _memory = await answers.hold(owner, (await blocks.size(cid)) ?? 0, signal);
    const bytes = await blocks.get(cid);
    yield { cid, bytes };
    const links = linkListOf(cid, bytes);
    if (ahead.length + links.count > MAX_WALK_AHEAD || seen.size > MAX_WALK_BLOCKS) {
      throw new SynclineError("limit_exceeded", "This DAG is too large for one answer.");
    }
    for (const link of links.slice(0).reverse()) if (!seen.has(digestKey(link))) ahead.push(link);
  }
}

/** What a walk remembers: 100 bytes each. */
const MAX_WALK_BLOCKS = 200_000;
const MAX_WALK_AHEAD = 200_000;
