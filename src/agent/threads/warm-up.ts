/**
 * Reads a tree's nodes into the local cache, top down, so that names and attributes are available offline. Stops at a
 * budget; contents are read on demand.
 */
import type { Cid } from "../../base/ids.ts";
import { WARM_UP_NODES } from "../../base/limits.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { NodeStore } from "../../tree/node-store.ts";

export interface WarmUpOptions extends Pick<Ports, "clock" | "log"> {
  readonly blocks: BlockReader;
  /** Called once all names are cached. */
  readonly done: () => void;
}

/** How long a caller waits for names to reach the cache. */
const WAIT_MS = 200;
const CACHE_BYTES = 8 * 1024 * 1024;

/** The warm-up of one agent. It can be stopped, and is completed once. */
export class WarmUp {
  readonly #options: WarmUpOptions;
  #stop = new AbortController();
  #isDone = false;

  constructor(options: WarmUpOptions) {
    this.#options = options;
  }

  /** Waits for the first part only: a large tree's rest arrives while the mount is in use. Never rejects. */
  async run(tree: Cid): Promise<void> {
    if (this.#isDone) return;
    this.#stop = new AbortController();
    await Promise.race([this.#warm(tree, this.#stop.signal), this.#options.clock.sleep(WAIT_MS)]);
  }

  stop(): void {
    this.#stop.abort();
  }

  async #warm(tree: Cid, signal: AbortSignal): Promise<void> {
    const { blocks, done, log } = this.#options;
    try {
      const nodes = await warmUp(new NodeStore(blocks, { capacityBytes: CACHE_BYTES }), tree, signal);
      this.#isDone = true;
      log.info("Names are cached.", { nodes });
      done();
    } catch (error) {
      if (!signal.aborted) log.warn(`Could not cache all names: ${describeError(error)}`);
    }
  }
}

/** Reads nodes level by level. Answers how many; rejects as reading does, leaving nothing to undo. */
export async function warmUp(nodes: NodeStore, tree: Cid, signal: AbortSignal): Promise<number> {
  let level: Cid[] = [tree];
  let read = 0;
  while (level.length > 0 && read < WARM_UP_NODES) {
    const below: Cid[] = [];
    for (let at = 0; at < level.length && read < WARM_UP_NODES; at += nodes.batch) {
      signal.throwIfAborted();
      const opened = await nodes.nodes(level.slice(at, Math.min(at + nodes.batch, at + WARM_UP_NODES - read)));
      read += opened.length;
      for (const node of opened) {
        if (node.level === 0) continue;
        for (let index = 0; index < node.count; index++) below.push(node.childAt(index));
      }
    }
    level = below;
  }
  return read;
}
