/**
 * Frees the space of packs with garbage: first packs with nothing to keep, then those with the least to copy.
 *
 * A pack is removed in steps, each of which leaves a consistent store:
 * 1. Its blocks are stored once more; the index points to each copy as soon as it is durable.
 * 2. Once no block is left in it, it is noted as one to remove.
 * 3. Such notes are made durable, several at a time.
 * 4. The files are deleted.
 */
import { inBatches } from "../../base/collections.ts";
import { nextTurn } from "../../base/concurrency.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { INDEX_STEP } from "../limits.ts";
import { describeError, type Log } from "../../base/log.ts";
import { failedWith, isDiskFull } from "../../base/system-errors.ts";
import { unlessSync } from "../../base/unless.ts";
import { cidFromDigest } from "../../format/blocks/cid.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import { type BlockIndex, isIndexFull, type PackState, PACK_STATES, type PackPlacement } from "./block-index.ts";
import { type BlockReaderOptions, readBlocks } from "./block-reader.ts";
import type { BlockWriter } from "./block-writer.ts";
import type { SweptPack } from "./owner-blocks.ts";
import { footerOf, type PackDisk } from "./pack-disk.ts";
import { removePacks } from "./pack-path.ts";
import { isBefore } from "../../packs/pack-rows.ts";

export interface RepackingOptions {
  readonly index: BlockIndex;
  readonly reader: BlockReaderOptions;
  readonly writer: BlockWriter;
  readonly disk: PackDisk;
  readonly log: Log;
  /** Resolves when the current reads have ended. */
  readonly reads: () => Promise<unknown>;
}

export class Repacking {
  readonly #options: RepackingOptions;
  readonly #swept: ReadonlyMap<string, SweptPack>;
  readonly #signal: AbortSignal;
  /** Packs without blocks whose files still exist. */
  #left: string[] = [];

  /** `swept`: a sweep's counts. */
  constructor(options: RepackingOptions, swept: ReadonlyMap<string, SweptPack>, signal: AbortSignal) {
    this.#options = options;
    this.#swept = swept;
    this.#signal = signal;
  }

  /** Empties these packs, given by name with the bytes to copy, and removes them. Returns those left without blocks. */
  async run(packs: ReadonlyMap<string, number>): Promise<ReadonlySet<string>> {
    const { index, log } = this.#options;
    const done = new Set<string>();
    // Some may remain from the last time.
    this.#left = index.packs().flatMap(({ name, sealed }) => (sealed === PACK_STATES.left ? [name] : []));
    try {
      for (const [name] of [...packs].toSorted(([, a], [, b]) => a - b)) {
        this.#signal.throwIfAborted();
        const outcome = await this.#tryEmpty(name);
        if (outcome === "full") {
          log.warn("no space to repack packs with garbage", { done: done.size, of: packs.size });
          break;
        }
        if (outcome === "stays") continue;
        done.add(name);
        this.#left.push(name);
        if (this.#left.length >= REMOVED_AT_ONCE) await this.#remove();
      }
    } finally {
      await this.#remove();
    }
    return done;
  }

  async #tryEmpty(name: string): Promise<"empty" | "stays" | "full"> {
    for (;;) {
      try {
        return (await this.#empty(name)) ? "empty" : "stays";
      } catch (error) {
        // Its blocks are in this pack or another: a problem with one pack must not block the others. Recovery can find out
        // what a full disk keeps from being noted; it must not keep space from being freed, either.
        unlessSync(isIndexFull, () => this.#stay(name));
        this.#signal.throwIfAborted();
        if (isDiskFull(error) && this.#left.length === 0) return "full";
        if (isDiskFull(error)) await this.#remove();
        else if (!isOfOnePack(error)) throw error;
        else {
          this.#options.log.error("could not repack a pack with garbage", { pack: name, error: describeError(error) });
          return "stays";
        }
      }
    }
  }

  /** Copies what must stay of a pack elsewhere. False: the pack has to stay. */
  async #empty(name: string): Promise<boolean> {
    const { index, reader, writer } = this.#options;
    const swept = this.#swept.get(name);
    if (swept?.empty === true) {
      unlessSync(isIndexFull, () => index.setState(name, PACK_STATES.left));
      return true;
    }
    await writer.endPack(name);
    const state = this.#stateOf(name);
    if (state !== PACK_STATES.sealed && state !== PACK_STATES.leaving) return false;
    const footer = await reader.handles.use(reader.folder, name, footerOf);
    const rows = await this.#lying(footer ?? [], name);
    // Otherwise the index places blocks here that the pack does not have.
    const counted = rows.reduce((sum, row) => sum + (isBefore(row, swept?.end ?? 0) ? row.length : 0), 0);
    if (footer === undefined || counted < (swept?.live ?? 0)) return false;
    index.setState(name, PACK_STATES.leaving);
    for (const batch of inBatches(rows, ({ length }) => length, { bytes: REPACK_BYTES, items: INDEX_STEP }))
      await this.#copy(name, batch);
    if ((await this.#lying(rows, name)).length > 0) {
      this.#stay(name);
      return false;
    }
    index.setState(name, PACK_STATES.left);
    return true;
  }

  /** Removes empty packs. */
  async #remove(): Promise<void> {
    const names = this.#left;
    if (names.length === 0) return;
    const { index, reader, disk, reads } = this.#options;
    this.#left = [];
    // Before the files are deleted: an index restored to an earlier state would look for blocks in them.
    unlessSync(isIndexFull, () => index.flush());
    await reads();
    for (const name of names) reader.handles.drop(reader.folder, name);
    await removePacks(disk, reader.folder, names);
    unlessSync(isIndexFull, () => {
      for (const name of names) index.forgetPack(name);
    });
  }

  /** Keeps this pack, unless it has no blocks left. */
  #stay(name: string): void {
    const { index } = this.#options;
    if (this.#stateOf(name) === PACK_STATES.leaving) index.setState(name, PACK_STATES.sealed);
  }

  #stateOf(name: string): PackState | undefined {
    return this.#options.index.packs().find((pack) => pack.name === name)?.sealed;
  }

  async #copy(pack: string, rows: readonly PackRow[]): Promise<void> {
    const { reader, writer } = this.#options;
    this.#signal.throwIfAborted();
    const places = new Map<Cid, PackPlacement>();
    for (const { digest, offset, length } of rows) places.set(cidFromDigest("raw", digest), { pack, offset, length });
    const found = await readBlocks(reader, places);
    await writer.write(Array.from(found, ([cid, bytes]) => ({ cid, bytes, avoid: undefined })));
  }

  /** The rows whose blocks the index places in this pack. */
  async #lying(rows: Iterable<PackRow>, pack: string): Promise<PackRow[]> {
    const lying: PackRow[] = [];
    let looked = 0;
    for (const row of rows) {
      if (looked++ % INDEX_STEP === 0) await nextTurn();
      if (this.#options.index.find(row.digest)?.pack === pack) lying.push(row);
    }
    return lying;
  }
}

/** Packs without blocks, found without writing. A collection that ended early leaves them. */
export async function emptyPacks(index: BlockIndex): Promise<ReadonlySet<string>> {
  const empty = new Set(index.packs().flatMap(({ name, sealed }) => (sealed === PACK_STATES.sealed ? [name] : [])));
  const ends = new Map([...empty].map((name) => [name, Infinity]));
  const sweep = { collection: 0, leasedBefore: 0, dryRun: true, ends };
  for (let after: Uint8Array | undefined = new Uint8Array(); after !== undefined; await nextTurn()) {
    const step = index.sweep(after, INDEX_STEP, sweep);
    for (const name of step.live.keys()) empty.delete(name);
    after = step.last;
  }
  return empty;
}

/** Damage, or a disk error of one file. */
function isOfOnePack(error: unknown): boolean {
  return error instanceof SynclineError || failedWith(error, "EIO", "EACCES", "EPERM");
}

/** Empty packs per flush of the index. */
const REMOVED_AT_ONCE = 16;
/** Bytes of blocks that are copied at a time. */
const REPACK_BYTES = 4 * 1024 * 1024;
