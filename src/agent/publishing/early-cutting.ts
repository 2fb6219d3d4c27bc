/**
 * Cuts large files into chunks while a program rewrites them, so that little is left to do after the close. Runs piece by
 * piece on the thread that publishes, as the thread that serves reports how far each file is written. Stores nothing before
 * the flush.
 *
 * The result counts for the epoch that has the bytes, if the serving thread confirms at the end that none was overwritten.
 */
import type { Clock } from "../../base/clock.ts";
import type { Ino } from "../../base/ids.ts";
import { EARLY_FILES, EARLY_PIECES, EARLY_SLICE_MS, EARLY_TRIAL_BYTES } from "../../base/limits.ts";
import { describeError, type Log } from "../../base/log.ts";
import { TimeSlice } from "../../base/time-slice.ts";
import type { DataReader } from "../../fstree/change-set.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import { ChunkCache } from "../../content/chunk-cache.ts";
import { cutRule, type ContentConfig } from "../../content/config.ts";
import { EarlyCutter } from "../../content/early-cutter.ts";
import type { EarlyCuts } from "../../content/early-cuts.ts";
import type { ContentSource } from "../../content/source.ts";
import type { Beginning } from "../../overlay/beginnings.ts";
import { createLiveReader, type ReadLive } from "../../overlay/data/data-reader.ts";
import type { DirtyReason } from "../../vfs/dirty-signal.ts";
import type { BegunFile } from "../../vfs/objects.ts";
import { createRunLow, type RunLow } from "../../runtime/priority.ts";

export interface EarlyCuttingOptions {
  readonly source: ContentSource;
  readonly config: ContentConfig;
  readonly read: ReadLive;
  /** Whether the file's reported bytes are still unchanged. */
  readonly isSteady: (beginning: Beginning) => Promise<boolean>;
  readonly runLow: RunLow;
  readonly clock: Clock;
  readonly log: Log;
}

interface Job {
  told: BegunFile;
  /** Undefined: cutting has stopped. */
  cutter: EarlyCutter | undefined;
  readonly cuts: EarlyCuts;
  /** The piece of work under way. */
  step: Promise<void>;
}

const READ_BYTES = 1024 * 1024;
/** For list nodes of files that are being rewritten. */
const CACHE_BYTES = 1024 * 1024;

export function openEarlyCutting(
  bucket: Bucket,
  { stateDir, ...options }: Pick<EarlyCuttingOptions, "isSteady" | "clock" | "log"> & { readonly stateDir: string },
): EarlyCutting {
  return new EarlyCutting({
    source: new ChunkCache(bucket.blocks, { capacityBytes: CACHE_BYTES }),
    config: bucket.contentConfig,
    read: createLiveReader(stateDir),
    runLow: createRunLow(),
    ...options,
  });
}

export class EarlyCutting implements Disposable {
  readonly #options: EarlyCuttingOptions;
  readonly #pace: TimeSlice;
  readonly #jobs = new Map<string, Job>();
  #buffer: Uint8Array | undefined;
  #working: Promise<void> | undefined;

  constructor(options: EarlyCuttingOptions) {
    this.#options = options;
    this.#pace = new TimeSlice(options.clock, EARLY_SLICE_MS);
  }

  /** A file is written up to here. */
  note(told: BegunFile): void {
    const key = keyOf(told.ino, told.epoch);
    const job = this.#jobs.get(key);
    // A file that grew into another size class is cut anew as a whole.
    if (!this.#isAlike(told)) this.#jobs.delete(key);
    else if (job !== undefined && this.#goesOn(job, told)) job.told = told;
    else this.#begin(key, told);
    this.#working ??= this.#work();
  }

  /** The reason to flush: a rewritten file may wait only while it is being cut; otherwise an early flush is better. */
  reason(told: DirtyReason): DirtyReason {
    if (told !== "rewrite") return told;
    for (const { cutter } of this.#jobs.values()) if (cutter !== undefined) return "rewrite";
    return "write";
  }

  /** Resolves when everything reported is cut. */
  async idle(): Promise<void> {
    await this.#working;
  }

  /** The data of a sealed epoch, with its early cuts. */
  over(data: DataReader): DataReader {
    return { readData: (...range) => data.readData(...range), earlyCuts: (ino, epoch) => this.#take(ino, epoch) };
  }

  /** Epochs up to this one are published. */
  forget(upTo: number): void {
    for (const [key, { told }] of this.#jobs) if (told.epoch <= upTo) this.#jobs.delete(key);
    // Kept until then: otherwise a slow writer would cost a new buffer for each piece.
    if (this.#jobs.size === 0) this.#buffer = undefined;
  }

  /** Ends the work. */
  [Symbol.dispose](): void {
    this.#jobs.clear();
  }

  /** Cuts that were taken no longer change. */
  async #take(ino: Ino, epoch: number): Promise<EarlyCuts | undefined> {
    const key = keyOf(ino, epoch);
    const job = this.#jobs.get(key);
    if (job === undefined) return undefined;
    job.cutter = undefined;
    await job.step;
    const { cuts, told } = job;
    const isSteady = !cuts.isRefuted && (await this.#options.isSteady({ ...beginningOf(told), end: cuts.read }));
    if (isSteady) return cuts;
    this.#jobs.delete(key);
    return undefined;
  }

  #isAlike({ end, baseSize }: BegunFile): boolean {
    const { config } = this.#options;
    return cutRule(config, Math.max(end, baseSize)).normal === cutRule(config, baseSize).normal;
  }

  #goesOn({ told: before, cuts }: Job, told: BegunFile): boolean {
    return before.generation === told.generation && cuts.root === told.base;
  }

  #begin(key: string, told: BegunFile): void {
    this.#jobs.delete(key);
    for (const oldest of this.#jobs.keys()) {
      if (this.#jobs.size < EARLY_FILES) break;
      this.#jobs.delete(oldest);
    }
    const { source, config } = this.#options;
    const cutter = new EarlyCutter(source, config, told.base, told.baseSize);
    this.#jobs.set(key, { told, cutter, cuts: cutter.cuts, step: Promise.resolve() });
  }

  async #work(): Promise<void> {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const [job, cutter] = next;
      job.step = this.#cut(job, cutter).catch((error: unknown) => {
        job.cutter = undefined;
        this.#options.log.info(`Could not chunk a file early: ${describeError(error)}`);
      });
      await job.step;
      await this.#pace.breathe();
    }
    this.#working = undefined;
  }

  #next(): readonly [Job, EarlyCutter] | undefined {
    for (const job of this.#jobs.values()) {
      const { cutter, cuts, told } = job;
      if (cutter !== undefined && cuts.read < told.end) return [job, cutter];
    }
    return undefined;
  }

  async #cut(job: Job, cutter: EarlyCutter): Promise<void> {
    const { cuts, told } = job;
    const { read, runLow } = this.#options;
    this.#buffer ??= new Uint8Array(READ_BYTES);
    const bytes = this.#buffer.subarray(0, Math.min(READ_BYTES, told.end - cuts.read));
    await cutter.prepare(bytes.length);
    runLow(() => {
      const isThere = read(told.ino, told.epoch, cuts.read, bytes) === bytes.length;
      if (isThere && isWorthIt(cuts)) cutter.push(bytes);
      else job.cutter = undefined;
    });
  }
}

/** New chunks must be read again to be stored, so cutting early gains little if many are new. */
function isWorthIt({ count, end, oldBytes }: EarlyCuts): boolean {
  return count < EARLY_PIECES && (end < EARLY_TRIAL_BYTES || oldBytes > end / 2);
}

function keyOf(ino: Ino, epoch: number): string {
  return `${ino}.${epoch}`;
}

function beginningOf({ ino, epoch, generation, end }: BegunFile): Beginning {
  return { ino, epoch, generation, end };
}
