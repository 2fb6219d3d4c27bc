/**
 * Keeps blocks on this machine that files in use need, but that the shown tree lacks: the file was removed and is still open,
 * or a merge or others replaced it while a program writes to it. A collection may delete such blocks from the bucket.
 *
 * It keeps them within seconds, which is soon enough: collections spare younger blocks. Beyond a limit it keeps none.
 */
import { SynclineError, unlessDamaged } from "../../base/errors.ts";
import { inBatches } from "../../base/collections.ts";
import type { Cid } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { heldReader } from "../../blocks/held-reader.ts";
import type { PinnedBlocks } from "../../blocks/pinned-blocks.ts";
import { readableBlocks } from "../../bucket/readable-blocks.ts";
import { readObject } from "../../fstree/fs-reader.ts";
import { sameContent } from "../../fstree/merge/objects.ts";
import type { ContentInUse, ContentsInUse } from "../../overlay/contents-in-use.ts";
import { NodeStore } from "../../tree/node-store.ts";
import { addContent } from "./pinned-tree.ts";

export interface InUseBlocksOptions extends Pick<Ports, "clock" | "log"> {
  readonly kept: PinnedBlocks;
  readonly blocks: BlockReader;
  /** The tree that is shown. */
  readonly tree: () => Cid;
  readonly contents: () => Promise<ContentsInUse>;
  /** The blocks among `cids` that are on this machine. */
  readonly held: (cids: readonly Cid[]) => Promise<ReadonlyMap<Cid, Uint8Array>>;
  /** During a pause it reads nothing else. */
  readonly isPaused: () => boolean;
}

/** A round begins this long after the base has changed, … */
const LOOK_MS = 1_000;
/** … and again this long after a failure, or while anything is kept: its file may have been closed. */
const AGAIN_MS = 30_000;
/** At most this many bytes are kept. What needs more stays in the bucket only. */
const MOST_BYTES = 256 * 1024 * 1024;
const BATCH = { bytes: 4 * 1024 * 1024, items: 64 };
const NODES_BYTES = 1024 * 1024;

/** The needed blocks and their bytes. `isWhole`: the blocks of every content in use are known. */
interface Wanted {
  readonly blocks: ReadonlyMap<Cid, number>;
  readonly isWhole: boolean;
}

export class InUseBlocks implements Disposable {
  readonly #options: InUseBlocksOptions;
  readonly #ending = new AbortController();
  /** The kept blocks and their bytes. Undefined before the first round, which checks what an earlier process kept. */
  #here: Map<Cid, number> | undefined;
  /** Contents that need more than `MOST_BYTES`. */
  #large: ReadonlySet<Cid> = new Set();
  /** The tree of the last round that kept all it could. */
  #done: Cid | undefined;
  #timer: Disposable | undefined;
  /** When the timer ends, by the monotonic clock. */
  #dueMs = 0;
  #round: Promise<void> | undefined;
  #isTroubled = false;

  constructor(options: InUseBlocksOptions) {
    this.#options = options;
  }

  /** To be called when the base may have changed. */
  moved(): void {
    const isSoon = this.#timer !== undefined && this.#dueMs <= this.#options.clock.monotonicMs() + LOOK_MS;
    if (this.#round === undefined && !isSoon && this.#done !== this.#options.tree()) this.#arm(LOOK_MS);
  }

  /** Resolves after the round under way. */
  async idle(): Promise<void> {
    await this.#round;
  }

  /** A round under way may wait long for the bucket: it ends later, and changes nothing more. */
  [Symbol.dispose](): void {
    this.#ending.abort(new SynclineError("no_agent", "The agent is shutting down."));
    this.#timer?.[Symbol.dispose]();
  }

  #arm(ms: number): void {
    this.#timer?.[Symbol.dispose]();
    if (this.#ending.signal.aborted) return;
    this.#dueMs = this.#options.clock.monotonicMs() + ms;
    this.#timer = this.#options.clock.after(ms, () => {
      this.#timer = undefined;
      this.#round = this.#look().finally(() => {
        this.#round = undefined;
        if (this.#done !== this.#options.tree() && !this.#isTroubled) this.#arm(LOOK_MS);
        else if (this.#isTroubled || this.#here?.size !== 0) this.#arm(AGAIN_MS);
      });
    });
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const tree = this.#options.tree();
    try {
      const isWhole = await this.#keep(tree, this.#options.isPaused());
      this.#done = isWhole ? tree : undefined;
      this.#isTroubled = !isWhole;
    } catch (error) {
      if (!this.#isTroubled && !this.#ending.signal.aborted)
        this.#options.log.info(`Could not keep the contents of files in use: ${describeError(error)}`);
      this.#done = undefined;
      this.#isTroubled = true;
    }
  }

  /** Runs one round. Returns false if something may be missing: then the next round does not wait for a change of the base. */
  async #keep(tree: Cid, isPaused: boolean): Promise<boolean> {
    const { kept, blocks, held, contents } = this.#options;
    const { signal } = this.#ending;
    const reader = isPaused ? heldReader(held) : blocks;
    const inUse = await contents();
    const here = (this.#here ??= await this.#intact());
    const wanted = await this.#wanted(tree, inUse, reader, here);
    const missing = [...wanted.blocks].filter(([cid]) => !here.has(cid));
    for (const batch of inBatches(missing, ([, bytes]) => bytes, BATCH)) {
      signal.throwIfAborted();
      if (this.#options.isPaused() !== isPaused) return false;
      const cids = batch.map(([cid]) => cid);
      for (const [cid, bytes] of await readableBlocks(reader, cids)) {
        await kept.write({ cid, bytes });
        here.set(cid, bytes.length);
      }
    }
    if (!wanted.isWhole || isPaused) return false;
    for (const cid of here.keys()) {
      signal.throwIfAborted();
      if (wanted.blocks.has(cid)) continue;
      await kept.drop(cid);
      here.delete(cid);
    }
    return true;
  }

  /** The blocks of these contents that the tree's versions of their files lack. */
  async #wanted(
    tree: Cid,
    { contents, isWhole: isAll }: ContentsInUse,
    reader: BlockReader,
    here: ReadonlyMap<Cid, number>,
  ): Promise<Wanted> {
    const nodes = new NodeStore(reader, { capacityBytes: NODES_BYTES });
    const found: { readonly beside: ReadonlyMap<Cid, number>; readonly bytes: number; readonly more: number }[] = [];
    const large = new Set<Cid>();
    let isWhole = isAll;
    for (const inUse of contents) {
      const { cid } = inUse.content;
      const beside = this.#large.has(cid)
        ? undefined
        : await unlessDamaged(() => this.#beside(tree, inUse, reader, nodes));
      const bytes = sum(beside ?? []);
      if (bytes > MOST_BYTES || this.#large.has(cid)) large.add(cid);
      else if (beside === undefined) isWhole = false;
      else if (beside.size > 0)
        found.push({ beside, bytes, more: sum([...beside].filter(([each]) => !here.has(each))) });
    }
    const wanted = new Map<Cid, number>();
    let [left, spare] = [MOST_BYTES, found.length === 0 ? 0 : this.#options.kept.spare()];
    // Kept contents come first, so that no new one takes their room.
    for (const { beside, bytes, more } of found.toSorted((one, other) => one.more - other.more)) {
      if (bytes > left || more > spare) continue;
      [left, spare] = [left - bytes, spare - more];
      for (const [each, length] of beside) wanted.set(each, length);
    }
    this.#large = large;
    return { blocks: wanted, isWhole };
  }

  /** The blocks that the tree's version of the file lacks; all if that version cannot be read. Throws if the content cannot. */
  async #beside(
    tree: Cid,
    { id, place, content, size, dataBytes }: ContentInUse,
    reader: BlockReader,
    nodes: NodeStore,
  ): Promise<Map<Cid, number>> {
    const { signal } = this.#ending;
    const own = new Map<Cid, number>();
    const theirs = new Map<Cid, number>();
    const there = id && (await unlessDamaged(() => readObject(nodes, tree, id, place)))?.record;
    if (there !== undefined && sameContent(there.content, content)) return own;
    if (there !== undefined) await unlessDamaged(() => addContent(theirs, there, reader, signal));
    // It does not fit, so its list need not be read.
    if (there === undefined && dataBytes > MOST_BYTES) return own.set(content.cid, dataBytes);
    await addContent(own, { content, size }, reader, signal, theirs);
    return own;
  }

  /** Lists the intact blocks that an earlier process kept, and drops damaged ones. */
  async #intact(): Promise<Map<Cid, number>> {
    const { kept } = this.#options;
    await kept.removeUnfinished();
    const here = new Map<Cid, number>();
    for (const batch of inBatches(await kept.list(), ([, bytes]) => bytes, BATCH)) {
      this.#ending.signal.throwIfAborted();
      for (const [cid, { length }] of await kept.held(batch.map(([each]) => each))) here.set(cid, length);
    }
    return here;
  }
}

function sum(blocks: Iterable<readonly [Cid, number]>): number {
  let bytes = 0;
  for (const [, each] of blocks) bytes += each;
  return bytes;
}
