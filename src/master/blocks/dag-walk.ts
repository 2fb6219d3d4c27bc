/** All blocks below one, each once, parents before children, in link order (depth first). */
import { SynclineError } from "../../base/errors.ts";
import { WALK_FREE_CIDS, WALK_STEP_CIDS } from "../limits.ts";
import type { Cid } from "../../base/ids.ts";
import type { Block } from "../../blocks/block-store.ts";
import { digestKey } from "../../format/blocks/cid.ts";
import { linkListOf } from "../../format/blocks/links.ts";
import type { FairBudget } from "../../http/fair-budget.ts";
import type { Reading } from "./car-stream.ts";

export interface Walking extends Reading {
  /** Steps of WALK_STEP_CIDS, shared by all walks. */
  readonly walks: FairBudget;
}

/**
 * Counts a block's memory from before its read until the next one is requested. Throws `block_not_found` for a missing
 * block, `format_invalid` for invalid links, `limit_exceeded` for a DAG too large for one answer: ask for its parts.
 */
export async function* walkDag(walking: Walking, root: Cid): AsyncGenerator<Block> {
  const { blocks, answers, owner, signal } = walking;
  const seen = new Set<string>();
  const ahead: Cid[] = [root];
  using memory = new WalkMemory(walking);
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
    memory.cover(ahead.length + links.count + seen.size);
    for (const link of links.slice(0).reverse()) if (!seen.has(digestKey(link))) ahead.push(link);
  }
}

/** One walk's share of the memory for visited CIDs. Walks holding some never wait for more: they could deadlock. */
class WalkMemory implements Disposable {
  readonly #walking: Pick<Walking, "walks" | "owner">;
  #steps = 0;

  constructor(walking: Pick<Walking, "walks" | "owner">) {
    this.#walking = walking;
  }

  /** Throws `limit_exceeded` if there is not enough left for so many CIDs. */
  cover(cids: number): void {
    const { walks, owner } = this.#walking;
    const steps = Math.ceil((cids - WALK_FREE_CIDS) / WALK_STEP_CIDS);
    for (; this.#steps < steps; this.#steps++) {
      if (walks.tryTake(owner, 1)) continue;
      throw new SynclineError("limit_exceeded", "Too many large DAGs are being read at the same time.");
    }
  }

  [Symbol.dispose](): void {
    this.#walking.walks.give(this.#walking.owner, this.#steps);
  }
}

/** The most CIDs that one walk remembers, 100 bytes each. */
const MAX_WALK_BLOCKS = 200_000;
const MAX_WALK_AHEAD = 200_000;
