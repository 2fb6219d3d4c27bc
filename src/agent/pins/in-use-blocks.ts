/**
 * Keeps on this machine what files in use are made of, but the shown tree lacks: a removed file that is still open, or a file
 * that a merge or others replaced while a program writes to it. A collection may take such blocks from the bucket.
 *
 * Best effort: it keeps little, soon after each change of the base, and the bucket retains young blocks.
 */
import { SynclineError, unlessDamaged } from "../../base/errors.ts";
import { inBatches } from "../../base/collections.ts";
import type { Cid } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { heldReader } from "../../blocks/held-reader.ts";
import type { PinnedBlocks } from "../../blocks/pinned-blocks.ts";
import { readObject } from "../../fstree/fs-reader.ts";
import { sameContent } from "../../fstree/merge/objects.ts";
import type { ContentInUse } from "../../overlay/contents-in-use.ts";
import { NodeStore } from "../../tree/node-store.ts";
import { addContent } from "./pinned-tree.ts";

export interface InUseBlocksOptions extends Pick<Ports, "clock" | "log"> {
  readonly kept: PinnedBlocks;
  readonly blocks: BlockReader;
  /** The tree that is shown. */
  readonly tree: () => Cid;
  readonly contents: () => Promise<readonly ContentInUse[]>;
  /** The blocks among `cids` that are on this machine. */
  readonly held: (cids: readonly Cid[]) => Promise<ReadonlyMap<Cid, Uint8Array>>;
  /** Meanwhile it reads nothing else. */
  readonly isPaused: () => boolean;
}

/** How soon after a change of the base, and after a failure, it looks. */
const LOOK_MS = 1_000;
const AGAIN_MS = 30_000;
/** Contents beyond these bytes are left to the bucket. */
const MOST_BYTES = 256 * 1024 * 1024;
const BATCH = { bytes: 4 * 1024 * 1024, items: 64 };
const NODES_BYTES = 1024 * 1024;

export class InUseBlocks implements Disposable {
  readonly #options: InUseBlocksOptions;
  readonly #ending = new AbortController();
  /** What is kept, and was intact when this process first looked. */
  #here: Set<Cid> | undefined;
  /** The tree of the last round that ended well. */
  #done: Cid | undefined;
  #timer: Disposable | undefined;
  #round: Promise<void> | undefined;
  #hasFailed = false;

  constructor(options: InUseBlocksOptions) {
    this.#options = options;
  }

  /** To be called when the base may have changed. */
  moved(): void {
    if (this.#timer === undefined && this.#round === undefined) this.#arm(LOOK_MS);
  }

  /** Resolves after the round under way. */
  async idle(): Promise<void> {
    await this.#round;
  }

  /** A round under way may wait long for the bucket: it ends later, and changes nothing more than it must. */
  [Symbol.dispose](): void {
    this.#ending.abort(new SynclineError("no_agent", "The agent is shutting down."));
    this.#timer?.[Symbol.dispose]();
  }

  #arm(ms: number): void {
    if (this.#ending.signal.aborted || this.#done === this.#options.tree()) return;
    this.#timer = this.#options.clock.after(ms, () => {
      this.#timer = undefined;
      this.#round = this.#look().finally(() => {
        this.#round = undefined;
        this.#arm(this.#hasFailed || this.#options.isPaused() ? AGAIN_MS : LOOK_MS);
      });
    });
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const tree = this.#options.tree();
    try {
      const isPaused = this.#options.isPaused();
      await this.#keep(tree);
      // During a pause some may be missing.
      if (!isPaused) this.#done = tree;
      this.#hasFailed = false;
    } catch (error) {
      if (!this.#hasFailed && !this.#ending.signal.aborted)
        this.#options.log.info(`Could not keep the contents of files in use: ${describeError(error)}`);
      this.#hasFailed = true;
    }
  }

  get #reader(): BlockReader {
    const { blocks, held, isPaused } = this.#options;
    return isPaused() ? heldReader(held) : blocks;
  }

  async #keep(tree: Cid): Promise<void> {
    const { kept } = this.#options;
    const blocks = this.#reader;
    const contents = await this.#options.contents();
    const wanted = contents.length === 0 ? new Map<Cid, number>() : await this.#blocksBeside(tree, contents);
    const here = (this.#here ??= await this.#intact());
    const missing = [...wanted].filter(([cid]) => !here.has(cid));
    for (const batch of inBatches(missing, ([, bytes]) => bytes, BATCH)) {
      this.#ending.signal.throwIfAborted();
      const read = await unlessDamaged(() => blocks.getMany(batch.map(([cid]) => cid)));
      for (const [cid, bytes] of read ?? []) {
        await kept.write({ cid, bytes });
        here.add(cid);
      }
    }
    for (const cid of here) {
      if (wanted.has(cid)) continue;
      await kept.drop(cid);
      here.delete(cid);
    }
  }

  /** The blocks of these contents that the tree's versions of their files lack. */
  async #blocksBeside(tree: Cid, contents: readonly ContentInUse[]): Promise<Map<Cid, number>> {
    const { kept } = this.#options;
    const blocks = this.#reader;
    const { signal } = this.#ending;
    const nodes = new NodeStore(blocks, { capacityBytes: NODES_BYTES });
    const wanted = new Map<Cid, number>();
    let left: number | undefined;
    for (const { id, place, content, size } of contents) {
      const beside = await unlessDamaged(async () => {
        const own = new Map<Cid, number>();
        const there = id === undefined ? undefined : (await readObject(nodes, tree, id, place))?.record;
        if (there !== undefined && sameContent(there.content, content)) return own;
        const theirs = new Map<Cid, number>();
        if (there !== undefined) await addContent(theirs, there, blocks, signal);
        await addContent(own, { content, size }, blocks, signal, theirs);
        return own;
      });
      const bytes = [...(beside?.values() ?? [])].reduce((sum, each) => sum + each, 0);
      if (beside === undefined || beside.size === 0) continue;
      left ??= Math.min(MOST_BYTES, kept.spare());
      if (bytes > left) continue;
      left -= bytes;
      for (const [cid, each] of beside) wanted.set(cid, each);
    }
    return wanted;
  }

  /** What an earlier process kept; drops what is damaged. */
  async #intact(): Promise<Set<Cid>> {
    const { kept } = this.#options;
    await kept.removeUnfinished();
    const here = new Set<Cid>();
    for (const batch of inBatches(await kept.list(), ([, bytes]) => bytes, BATCH)) {
      this.#ending.signal.throwIfAborted();
      for (const cid of (await kept.held(batch.map(([cid]) => cid))).keys()) here.add(cid);
    }
    return here;
  }
}
