/**
 * Group commit: all waiting writes share one flush, and the next batch gathers meanwhile. A batch that exceeds a pack fills
 * it and continues in a new one; only writes with blocks in the full pack wait for its flush.
 */
import { BATCH_BLOCKS, BATCH_BYTES } from "../limits.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import type { Block } from "../../blocks/block-store.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import { type Batch, OpenPack } from "./open-pack.ts";
import type { PackDisk } from "./pack-disk.ts";
import { newPackName } from "./pack-path.ts";

/** A block to write, and the pack to avoid because it has a damaged copy. */
export interface FreshBlock extends Block {
  readonly avoid: string | undefined;
}

/** Blocks that became durable in one pack. */
export interface WrittenBatch {
  readonly pack: string;
  readonly sealed: boolean;
  /** Bytes of blocks in the pack so far. */
  readonly end: number;
  readonly rows: readonly PackRow[];
}

export interface WriterOptions extends Pick<Ports, "random" | "log"> {
  readonly disk: PackDisk;
  readonly folder: string;
  readonly packBytes: number;
  /** The pack to continue. */
  readonly current: OpenPack | undefined;
  /** Called when a batch is durable, before its writers are notified. */
  readonly onWritten: (batch: WrittenBatch) => void;
}

export class BlockWriter {
  readonly #options: WriterOptions;
  #current: OpenPack | undefined;
  #waiting: Waiter[] = [];
  /** Tasks to run between two batches. */
  readonly #between: (() => Promise<void>)[] = [];
  #running: Promise<void> | undefined;
  /** Packs without their final names, except abandoned ones. */
  readonly #unfinished = new Set<string>();
  /** Batches written to full packs, not yet durable. */
  readonly #flushing = new Set<Promise<void>>();
  /** Full packs that are getting their final names; nothing waits for that. */
  readonly #sealing = new Set<Promise<void>>();

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#current = options.current;
    if (options.current !== undefined) this.#unfinished.add(options.current.name);
  }

  /** Resolves when all of these are durable. Rejects with the system's errors; then some may be durable. */
  write(blocks: readonly FreshBlock[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ blocks, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /**
   * Closes this pack: once the current batch is written, it gets its footer and final name if it has none. Writes wait
   * meanwhile, so that a steady stream of them cannot delay this.
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

  /** Stops, after ongoing work. */
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

  /** Waiting writes, up to BATCH_BYTES and BATCH_BLOCKS, but at least one. */
  #take(): Waiter[] {
    let [bytes, count] = [0, 0];
    const beyond = this.#waiting.findIndex(({ blocks }, index) => {
      for (const block of blocks) bytes += block.bytes.length;
      count += blocks.length;
      return index > 0 && (bytes > BATCH_BYTES || count > BATCH_BLOCKS);
    });
    return this.#waiting.splice(0, beyond < 0 ? this.#waiting.length : beyond);
  }

  /** Writes a batch. Resolves when the next one may be written, with a promise that ends with this one. */
  async #commit(waiters: readonly Waiter[]): Promise<{ readonly settled: Promise<void> }> {
    const blocks = waiters.flatMap((waiter) => waiter.blocks);
    /** Failures, by the index of the block in the batch. */
    const failures: Failure[] = [];
    const flushes: Promise<void>[] = [];
    for (let at = 0; at < blocks.length;) {
      try {
        const pack = await this.#packFor(blocks[at]);
        const { count, fills } = pack.room(untilAvoided(blocks, at, pack.name), this.#options.packBytes);
        const batch = await this.#writeTo(pack, blocks.slice(at, at + count), fills);
        flushes.push(this.#flush(pack, batch, { from: at, to: at + count }, failures));
        if (fills) this.#current = undefined;
        // The next batch in this pack begins at the end of a flushed one.
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

  /** Gives a full pack its footer; if that fails, the next start does it. */
  async #finish(pack: OpenPack): Promise<void> {
    try {
      await this.#flush(pack, await pack.write([], true), NOTHING, []);
    } catch (error) {
      this.#options.log.warn("could not write the footer of a pack", { pack: pack.name, error: describeError(error) });
      await pack.cut().catch(() => {});
      await this.#leave(pack);
    }
  }

  async #writeTo(pack: OpenPack, blocks: readonly Block[], fills: boolean): Promise<Batch> {
    try {
      return await pack.write(blocks, fills);
    } catch (error) {
      // The pack is cut back to what is flushed; if even that fails, it is abandoned.
      await pack.cut().catch(() => this.#putAside());
      throw error;
    }
  }

  async #flush(pack: OpenPack, batch: Batch, range: Range, failures: Failure[]): Promise<void> {
    try {
      await pack.flush(batch);
    } catch (error) {
      failures.push({ ...range, error });
      this.#options.log.error("could not flush a pack; nothing more is written to it", {
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
      this.#options.log.error("the journal of a pack lost rows; the pack gets no footer", { pack: pack.name });
      if (this.#current === pack) this.#current = undefined;
      return this.#leave(pack);
    }
    const sealing = this.#seal(pack).finally(() => this.#sealing.delete(sealing));
    this.#sealing.add(sealing);
  }

  async #seal(pack: OpenPack): Promise<void> {
    await pack.seal().catch((error: unknown) => {
      this.#options.log.warn("could not rename a full pack; the next start will", {
        pack: pack.name,
        error: describeError(error),
      });
    });
    await this.#leave(pack);
  }

  /** Leaves the pack unfinished; the next start gives it its footer. */
  async #putAside(): Promise<void> {
    const pack = this.#current;
    this.#current = undefined;
    if (pack !== undefined) await this.#leave(pack);
  }

  /** Everything acknowledged is flushed: closing cannot lose it. */
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

/** The most flushes of full packs in progress while writing continues. */
const MAX_FLUSHING = 4;

/** Notifies the writes, each with the outcome of its own blocks. */
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

/** The blocks from `at` up to the first that must avoid this pack. */
function untilAvoided(blocks: readonly FreshBlock[], at: number, pack: string): readonly FreshBlock[] {
  const avoided = blocks.findIndex((block, index) => index > at && block.avoid === pack);
  return blocks.slice(at, avoided < 0 ? blocks.length : avoided);
}
