/**
 * A collection in one owner's packs. Marks are numbers in the index; blocks that are neither marked nor leased are forgotten there, a step at
 * a time; then packs of which more than a quarter is garbage are written anew.
 *
 * A pack goes in steps, each of which leaves a whole store: its blocks are put once more, where copies take their places in the index as they
 * become durable; when none is left in it, it is written down as one that is to be removed, durably; then its file goes.
 */
import { nextTurn } from "../../base/concurrency.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { INDEX_STEP } from "../../base/limits.ts";
import { describeError, type Log } from "../../base/log.ts";
import { GARBAGE_PART } from "../../bucket/gc/victims.ts";
import { cidFromDigest, codecOf, digestOf } from "../../format/cid.ts";
import type { PackRow } from "../../format/pack.ts";
import { type BlockIndex, type PackState, PACK_STATES, type Place } from "./block-index.ts";
import { type BlockReaderOptions, readBlocks } from "./block-reader.ts";
import type { BlockWriter } from "./block-writer.ts";
import type { KnownRoots } from "./known-roots.ts";
import type { Leases } from "./leases.ts";
import type { Collecting, OwnerBlocks, RepackPlan, Swept, WalkedBlocks } from "./owner-blocks.ts";
import type { PackDisk } from "./pack-disk.ts";
import { readFooter } from "./pack-footer.ts";
import { removePack } from "./pack-path.ts";

export interface OwnerCollectionOptions {
  readonly index: BlockIndex;
  readonly blocks: OwnerBlocks;
  readonly reader: BlockReaderOptions;
  readonly writer: BlockWriter;
  readonly disk: PackDisk;
  readonly leases: Leases;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Told when it begins to forget blocks, with its number: what is marked by that stays. */
  readonly onSweep: (collection: number) => void;
  /** Ends with the reads that are under way now. */
  readonly reads: () => Promise<unknown>;
}

export class OwnerCollection implements Collecting {
  readonly marks: WalkedBlocks;
  readonly roots: KnownRoots;
  readonly signal: AbortSignal;
  readonly #options: OwnerCollectionOptions;
  readonly #number: number;

  constructor(options: OwnerCollectionOptions) {
    const { index, blocks } = options;
    this.#options = options;
    this.#number = index.marks.begin();
    this.roots = index.roots;
    this.signal = options.signal;
    this.marks = {
      get: (cid) => blocks.get(cid),
      size: (cid) => blocks.size(cid),
      complete: async (cids) => new Set(cids.filter((cid) => this.#isMarked(cid))),
      markComplete: async (cids) => index.marks.markNodes(cids.map(digestOf), this.#number),
      hold: async (cids) => {
        const there = await blocks.has(cids);
        const chunks = [...there].filter((cid) => codecOf(cid) === "raw");
        index.marks.markReached(chunks.map(digestOf), this.#number);
        return there;
      },
    };
  }

  async spare(cids: readonly Cid[]): Promise<void> {
    this.#options.index.marks.markReached(cids.map(digestOf), this.#number);
  }

  isSpared(cid: Cid): boolean {
    return this.#options.index.marks.isReached(digestOf(cid), this.#number);
  }

  beginSweep(): void {
    this.#options.index.marks.beginEra(this.#number);
    this.#options.onSweep(this.#number);
  }

  sweep(signal: AbortSignal): Promise<Swept> {
    return this.#sweep(false, signal);
  }

  preview(signal: AbortSignal): Promise<Swept> {
    return this.#sweep(true, signal);
  }

  plan({ live }: Swept): RepackPlan {
    const packs = this.#packs();
    const worth = packs.filter(({ name, end }) => {
      const garbage = end - (live.get(name) ?? 0);
      return garbage > 0 && garbage > end * GARBAGE_PART;
    });
    return planOf(packs, new Map(worth.map(({ name }) => [name, live.get(name) ?? 0])));
  }

  async repack(plan: RepackPlan, signal: AbortSignal): Promise<RepackPlan> {
    const { log } = this.#options;
    const packs = this.#packs();
    const done = new Map<string, number>();
    for (const [name, live] of plan.packs) {
      signal.throwIfAborted();
      try {
        if (await this.#empty(name, live)) done.set(name, live);
      } catch (error) {
        // Its blocks are where they were, or in another pack by now: whatever is wrong with this one need not keep the others.
        this.#stay(name);
        if (!(error instanceof SynclineError)) throw error;
        log.error("a pack with garbage cannot be written anew", { pack: name, error: describeError(error) });
      }
    }
    const after = this.#packs();
    const bytes = after.reduce((sum, { end }) => sum + end, 0);
    return { ...planOf(packs, done), after: { packs: after.length, bytes } };
  }

  /** Those that hold blocks. */
  #packs() {
    return this.#options.index.packs().filter(({ sealed }) => sealed !== PACK_STATES.left);
  }

  #isMarked(cid: Cid): boolean {
    return codecOf(cid) !== "raw" && this.#options.index.marks.isMarked(digestOf(cid), this.#number);
  }

  async #sweep(dryRun: boolean, signal: AbortSignal): Promise<Swept> {
    const { index, leases } = this.#options;
    const sweep = { collection: this.#number, leasedBefore: leases.over(), dryRun };
    const live = new Map<string, number>();
    let [blocks, bytes] = [0, 0];
    for (let after: Uint8Array | undefined = new Uint8Array(); after !== undefined; await nextTurn()) {
      signal.throwIfAborted();
      const step = index.sweep(after, INDEX_STEP, sweep);
      for (const [pack, length] of step.live) live.set(pack, (live.get(pack) ?? 0) + length);
      blocks += step.gone.blocks;
      bytes += step.gone.bytes;
      after = step.last;
    }
    return { blocks, bytes, live };
  }

  /** Puts what must stay of a pack elsewhere, and removes it. False: it has to stay. */
  async #empty(name: string, live: number): Promise<boolean> {
    const { index, reader, writer, disk, reads } = this.#options;
    await writer.endPack(name);
    if (this.#stateOf(name) !== PACK_STATES.sealed) return false;
    const { handles, folder } = reader;
    const footer = await handles.use(folder, name, readFooter);
    const rows = [...(footer ?? [])].filter((row) => this.#lies(row, name));
    // Else the index places blocks in it of which the pack knows nothing.
    if (footer === undefined || rows.reduce((sum, { length }) => sum + length, 0) < live) return false;
    index.setState(name, PACK_STATES.leaving);
    for (const batch of inBatches(rows)) await this.#copy(name, batch);
    if (rows.some((row) => this.#lies(row, name))) {
      this.#stay(name);
      return false;
    }
    index.setState(name, PACK_STATES.left);
    // Before the file goes: an index that came back from before would look for blocks in it.
    index.flush();
    await reads();
    handles.drop(folder, name);
    await removePack(disk, folder, name);
    index.forgetPack(name);
    return true;
  }

  /** Blocks stay in this pack, unless none is in it any more. */
  #stay(name: string): void {
    const { index } = this.#options;
    if (this.#stateOf(name) === PACK_STATES.leaving) index.setState(name, PACK_STATES.sealed);
  }

  #stateOf(name: string): PackState | undefined {
    return this.#options.index.packs().find((pack) => pack.name === name)?.sealed;
  }

  async #copy(pack: string, rows: readonly PackRow[]): Promise<void> {
    const { reader, writer } = this.#options;
    const places = new Map<Cid, Place>();
    for (const { digest, offset, length } of rows) places.set(cidFromDigest("raw", digest), { pack, offset, length });
    const found = await readBlocks(reader, places);
    await writer.write(Array.from(found, ([cid, bytes]) => ({ cid, bytes, avoid: undefined })));
  }

  #lies({ digest }: PackRow, pack: string): boolean {
    return this.#options.index.find(digest)?.pack === pack;
  }
}

function planOf(packs: readonly { readonly name: string; readonly end: number }[], going: ReadonlyMap<string, number>) {
  const before = { packs: packs.length, bytes: 0 };
  const isCopied = [...going.values()].some((bytes) => bytes > 0);
  const after = { packs: packs.length - going.size + (isCopied ? 1 : 0), bytes: 0 };
  for (const { name, end } of packs) {
    before.bytes += end;
    after.bytes += going.get(name) ?? end;
  }
  return { packs: going, before, after };
}

/** Bytes of blocks that are copied at a time. */
const REPACK_BYTES = 4 * 1024 * 1024;

/** Runs of rows of REPACK_BYTES at most, unless one is longer. */
function* inBatches(rows: readonly PackRow[]): Generator<PackRow[]> {
  let batch: PackRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    if (batch.length > 0 && bytes + row.length > REPACK_BYTES) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(row);
    bytes += row.length;
  }
  if (batch.length > 0) yield batch;
}
