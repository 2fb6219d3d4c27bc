/**
 * Group commit: all who wait for their blocks share one flush. While it is under way the next batch gathers. A batch that goes over the
 * end of a pack fills it and goes on in a new one; nothing waits for the flush of a full pack but those whose blocks are in it.
 */
import { BATCH_BLOCKS, BATCH_BYTES } from "../limits.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Block } from "../../blocks/block-store.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import { type Batch, OpenPack } from "./open-pack.ts";
import type { PackDisk } from "./pack-disk.ts";
import { newPackName } from "./pack-path.ts";

/** A block to be written, and the pack that must not get it, since that has a damaged copy already. */
export interface FreshBlock extends Block {
  readonly avoid: string | undefined;
}

/** What became durable in one pack. */
export interface WrittenBatch {
  readonly pack: string;
  readonly sealed: boolean;
  /** Bytes of blocks in the pack so far. */
  readonly end: number;
  readonly rows: readonly PackRow[];
}

export interface WriterOptions {
  readonly disk: PackDisk;
  readonly folder: string;
  readonly random: Random;
  readonly log: Log;
  readonly packBytes: number;
  /** The pack to go on with. */
  readonly current: OpenPack | undefined;
  /** Told of what is durable, before those who wait for it are. */
  readonly onWritten: (batch: WrittenBatch) => void;
}

export class BlockWriter {
  readonly #options: WriterOptions;
  #current: OpenPack | undefined;
  #waiting: Waiter[] = [];
  /** What is done between two batches. */
  readonly #between: (() => Promise<void>)[] = [];
  #running: Promise<void> | undefined;
  /** Packs without their final names; those that were left alone are not among them. */
  readonly #unfinished = new Set<string>();
  /** Batches that are written, in full packs, and not durable yet. */
  readonly #flushing = new Set<Promise<void>>();
  /** Full packs that get their final names; nobody waits for that. */
  readonly #sealing = new Set<Promise<void>>();

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#current = options.current;
    if (options.current !== undefined) this.#unfinished.add(options.current.name);
  }

  /** Resolves when all of these are durable. Rejects with the system's errors; then some may be. */
  write(blocks: readonly FreshBlock[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ blocks, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /**
   * Nothing goes into this pack any more: it gets its footer and its final name if it has none yet, behind the batch that is being written.
   * Those that wait meanwhile wait a little longer, so that no stream of them can keep it waiting.
   */
  async endPack(name: string): Promise<void> {
    if (!this.#unfinished.has(name)) return;
    await new Promise<void>((resolve, reject) => {
      this.#between.push(() => this.#endCurrent(name).then(resolve, reject));
      this.#running ??= this.#run();
    });
    await Promise.all(this.#flushing);
    await Promise.all(this.#sealing);
  }

  /** Ends it, after what is under way. */
  async close(): Promise<void> {
    await this.#running;
    await Promise.all(this.#flushing);
    await Promise.all(this.#sealing);
    await this.#current?.close();
    this.#current = undefined;
  }

  async #run(): Promise<void> {
    for (;;) {
      for (let act = this.#between.shift(); act !== undefined; act = this.#between.shift()) await act();
      const waiters = this.#take();
      if (waiters.length === 0) break;
      const { settled } = await this.#commit(waiters);
      const flushing = settled.finally(() => this.#flushing.delete(flushing));
      this.#flushing.add(flushing);
      if (this.#flushing.size >= MAX_FLUSHING) await Promise.race(this.#flushing);
    }
    this.#running = undefined;
  }

  async #endCurrent(name: string): Promise<void> {
    const pack = this.#current;
    if (pack?.name !== name) return;
    this.#current = undefined;
    await this.#finish(pack);
  }

  /** Whoever waits, up to BATCH_BYTES and BATCH_BLOCKS; one in any case. */
  #take(): Waiter[] {
    let [bytes, count] = [0, 0];
    const beyond = this.#waiting.findIndex(({ blocks }, index) => {
      for (const block of blocks) bytes += block.bytes.length;
      count += blocks.length;
      return index > 0 && (bytes > BATCH_BYTES || count > BATCH_BLOCKS);
    });
    return this.#waiting.splice(0, beyond < 0 ? this.#waiting.length : beyond);
  }

  /** Writes a batch. Resolves when the next one may be written, with a promise of this one's end. */
  async #commit(waiters: readonly Waiter[]): Promise<{ readonly settled: Promise<void> }> {
    const blocks = waiters.flatMap((waiter) => waiter.blocks);
    /** What failed, by the index of the block in the batch. */
    const failures: Failure[] = [];
    const flushes: Promise<void>[] = [];
    for (let at = 0; at < blocks.length;) {
      try {
        const pack = await this.#packFor(blocks[at]);
        const { count, fills } = pack.room(untilAvoided(blocks, at, pack.name), this.#options.packBytes);
        const batch = await this.#writeTo(pack, blocks.slice(at, at + count), fills);
        flushes.push(this.#flush(pack, batch, { from: at, to: at + count }, failures));
        if (fills) this.#current = undefined;
        // The next batch in this pack begins where a flushed one ends.
        else await flushes.at(-1);
        at += count;
      } catch (error) {
        failures.push({ from: at, to: blocks.length, error });
        break;
      }
    }
    return { settled: Promise.all(flushes).then(() => settle(waiters, failures)) };
  }

  async #packFor(block: FreshBlock | undefined): Promise<OpenPack> {
    const full = this.#current;
    if (full !== undefined && block?.avoid === full.name) {
      this.#current = undefined;
      await this.#finish(full);
    }
    const { disk, folder, random } = this.#options;
    this.#current ??= await OpenPack.create(disk, folder, newPackName(random));
    this.#unfinished.add(this.#current.name);
    return this.#current;
  }

  /** Gives a pack its footer that nothing more may go into; where that fails, the next opening does it. */
  async #finish(pack: OpenPack): Promise<void> {
    try {
      await this.#flush(pack, await pack.write([], true), NOTHING, []);
    } catch (error) {
      this.#options.log.warn("a pack cannot get its footer now", { pack: pack.name, error: describeError(error) });
      await pack.cut().catch(() => {});
      await this.#leave(pack);
    }
  }

  async #writeTo(pack: OpenPack, blocks: readonly Block[], fills: boolean): Promise<Batch> {
    try {
      return await pack.write(blocks, fills);
    } catch (error) {
      // It was cut back to what is flushed; where even that failed, the pack is left alone.
      await pack.cut().catch(() => this.#putAside());
      throw error;
    }
  }

  async #flush(pack: OpenPack, batch: Batch, range: Range, failures: Failure[]): Promise<void> {
    try {
      await pack.flush(batch);
    } catch (error) {
      failures.push({ ...range, error });
      this.#options.log.error("a pack could not be flushed, and is written no more", {
        pack: pack.name,
        error: describeError(error),
      });
      if (this.#current === pack) this.#current = undefined;
      await pack.cut().catch(() => {});
      await this.#leave(pack);
      return;
    }
    this.#options.onWritten({ pack: pack.name, sealed: batch.seals, end: batch.after.end, rows: batch.rows });
    if (!batch.ends) return;
    if (!batch.seals) {
      this.#options.log.error("the journal of a pack lost rows, and it gets no footer", { pack: pack.name });
      if (this.#current === pack) this.#current = undefined;
      return this.#leave(pack);
    }
    const sealing = this.#seal(pack).finally(() => this.#sealing.delete(sealing));
    this.#sealing.add(sealing);
  }

  async #seal(pack: OpenPack): Promise<void> {
    await pack.seal().catch((error: unknown) => {
      this.#options.log.warn("a full pack could not be renamed; the next start does it", {
        pack: pack.name,
        error: describeError(error),
      });
    });
    await this.#leave(pack);
  }

  /** Leaves the pack as it is; the next opening gives it its footer. */
  async #putAside(): Promise<void> {
    const pack = this.#current;
    this.#current = undefined;
    if (pack !== undefined) await this.#leave(pack);
  }

  /** What was to be durable is flushed: closing cannot lose it. */
  async #leave(pack: OpenPack): Promise<void> {
    this.#unfinished.delete(pack.name);
    await pack.close().catch(() => {});
  }
}

interface Waiter {
  readonly blocks: readonly FreshBlock[];
  resolve(): void;
  reject(error: unknown): void;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

interface Failure extends Range {
  readonly error: unknown;
}

/** Flushes of full packs that the writing runs ahead of. */
const MAX_FLUSHING = 4;

/** Tells those who wait, each by what became of its own blocks. */
function settle(waiters: readonly Waiter[], failures: readonly Failure[]): void {
  let from = 0;
  for (const waiter of waiters) {
    const to = from + waiter.blocks.length;
    const failure = failures.find((each) => each.from < to && from < each.to);
    if (failure === undefined) waiter.resolve();
    else waiter.reject(failure.error);
    from = to;
  }
}

const NOTHING: Range = { from: 0, to: 0 };

/** The blocks from `at` up to one that must not go into this pack. */
function untilAvoided(blocks: readonly FreshBlock[], at: number, pack: string): readonly FreshBlock[] {
  const avoided = blocks.findIndex((block, index) => index > at && block.avoid === pack);
  return blocks.slice(at, avoided < 0 ? blocks.length : avoided);
}
