/**
 * Keeps pinned paths on this machine. After each change of the base, fetches the blocks that they need and drops those that
 * they no longer need. Pinned blocks do not count against the cache's limit, and leave room for unpublished data.
 */
import { join } from "node:path";
import { SynclineError } from "../../base/errors.ts";
import { failureOf } from "../../base/failure.ts";
import type { Cid } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import { isDiskFull } from "../../base/system-errors.ts";
import { unlessSync } from "../../base/unless.ts";
import type { Ports } from "../../base/ports.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import type { PinnedBlocks } from "../../blocks/pinned-blocks.ts";
import { type FreeReport, type PinsReport, reportError } from "../reports.ts";
import { readStateFile, writeStateFile } from "../state/state-file.ts";
import { freeSpace, type FreeSpaceOptions, type Serving } from "./free-space.ts";
import { covers, type PinPath, pinText, readPins, samePin, writePins } from "./pin-list.ts";
import { readPinned } from "./pinned-tree.ts";

export interface PinsOptions extends Pick<Ports, "clock" | "log"> {
  readonly stateDir: string;
  readonly pinned: PinnedBlocks;
  readonly cache: FreeSpaceOptions["cache"];
  /** Does not write to the cache, so that pinned blocks are stored once. */
  readonly blocks: BlockReader;
  /** The tree that is shown. */
  readonly tree: () => Cid;
  /** Changes with each boot of the machine; "" if unknown. */
  readonly boot: () => Promise<string>;
  readonly paused: () => SynclineError | undefined;
}

/** How soon a new base is noticed, and how soon a failure is retried. */
const LOOK_MS = 1_000;
const AGAIN_MS = 30_000;
/** After it read the pinned trees and listed the blocks that are here, it rests for this many times as long. */
const RESTS = 20;
const BATCH_BLOCKS = 16;
/** How often a round looks whether all blocks are here. Each time, readers may find damaged ones and drop them. */
const MOST_PASSES = 5;
/** Holds the boot since which blocks were written, or were checked. */
const CHECKED = "pins-checked";

export class Pins implements AsyncDisposable {
  readonly #options: PinsOptions;
  readonly #ending = new AbortController();
  #pins: readonly PinPath[];
  #kept: ReadonlyMap<Cid, number> | undefined;
  /** The tree whose pinned blocks were all here at the end of a round. */
  #done: Cid | undefined;
  /** `PinnedBlocks.version` at the end of that round. */
  #version = 0n;
  #isChecked = false;
  /** Whether removed pins may still be in the stored list, or their blocks here. */
  #hasLeft = false;
  #absent: readonly PinPath[] = [];
  #totals = { files: 0, bytes: 0 };
  #error: SynclineError | undefined;
  #notBeforeMs = -Infinity;
  #timer: Disposable | undefined;
  #round: Promise<void> | undefined;

  constructor(options: PinsOptions) {
    this.#options = options;
    this.#pins = readPins(options.stateDir);
    this.#arm();
  }

  /** Null: nothing is pinned. */
  get report(): PinsReport | null {
    if (this.#pins.length === 0) return null;
    const paths = this.#pins.map((pin) => ({
      path: pinText(pin),
      absent: this.#absent.some((each) => samePin(each, pin)),
    }));
    const error = this.#error ?? this.#options.paused();
    const complete = this.#done === this.#options.tree();
    return {
      paths,
      ...this.#totals,
      keptBytes: [...(this.#kept ?? []).values()].reduce((sum, bytes) => sum + bytes, 0),
      complete,
      error: complete ? null : reportError(error),
    };
  }

  /** Adds pins. Throws `no_such_path`, `disk_full`, `paused`, and as reading the tree does; then nothing has changed. */
  async add(paths: readonly PinPath[]): Promise<PinsReport | null> {
    const { blocks, tree, stateDir, paused } = this.#options;
    const stopped = paused();
    if (stopped !== undefined) throw stopped;
    const fresh = paths.filter((path, at) => ![...this.#pins, ...paths.slice(0, at)].some((pin) => samePin(pin, path)));
    const outside = fresh.filter((path) => !this.#pins.some((pin) => covers(pin, path)));
    const wanted = await readPinned(blocks, tree(), outside, this.#ending.signal);
    const [absent] = wanted.absent;
    if (absent !== undefined) {
      throw new SynclineError("no_such_path", `${pinText(absent)} is not in the bucket.`, {
        hint: "Only what is published can be pinned: `syncline flush` publishes the rest.",
      });
    }
    const kept = this.#kept ?? (await this.#options.pinned.list());
    this.#requireRoom([...wanted.blocks].reduce((sum, [cid, bytes]) => sum + (kept.has(cid) ? 0 : bytes), 0));
    const pins = [...this.#pins, ...fresh];
    writePins(stateDir, pins);
    this.#set(pins);
    return this.report;
  }

  /** Throws `precondition_failed` for a path that is not itself a pin. */
  remove(paths: readonly PinPath[]): PinsReport | null {
    for (const path of paths) {
      if (this.#pins.some((pin) => samePin(pin, path))) continue;
      const above = this.#pins.find((pin) => covers(pin, path));
      throw new SynclineError("precondition_failed", `${pinText(path)} is not pinned.`, {
        hint:
          above === undefined
            ? "`syncline status` lists what is pinned."
            : `It is in ${pinText(above)}, which is pinned.`,
      });
    }
    const left = this.#pins.filter((pin) => !paths.some((path) => samePin(pin, path)));
    try {
      writePins(this.#options.stateDir, left);
    } catch (error) {
      // Dropping the blocks makes room for the list.
      if (failureOf(error).code !== "disk_full") throw error;
    }
    this.#hasLeft = true;
    this.#set(left);
    return this.report;
  }

  /** Frees the disk space of these paths, except what is pinned. Throws as `freeSpace`. */
  free(paths: readonly PinPath[], serving: Serving): Promise<FreeReport> {
    return freeSpace({ ...this.#options, ...serving, tree: this.#options.tree(), pins: this.#pins }, paths);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#ending.abort(new SynclineError("no_agent", "The agent is shutting down."));
    await this.#round;
  }

  #set(pins: readonly PinPath[]): void {
    this.#pins = pins;
    this.#done = undefined;
    this.#error = undefined;
    this.#notBeforeMs = -Infinity;
    this.#look();
  }

  #arm(): void {
    this.#timer?.[Symbol.dispose]();
    if (this.#ending.signal.aborted || (this.#pins.length === 0 && this.#done === this.#options.tree())) return;
    this.#timer = this.#options.clock.after(LOOK_MS, () => this.#look());
  }

  #look(): void {
    const { tree, paused, clock, pinned } = this.#options;
    // A reader that finds a damaged block drops it.
    if (this.#done !== undefined && pinned.version() !== this.#version) this.#done = undefined;
    const mayRun = paused() === undefined || this.#hasLeft;
    const isDue = this.#done !== tree() && mayRun && clock.monotonicMs() >= this.#notBeforeMs;
    if (!isDue || this.#round !== undefined) return this.#arm();
    this.#round = this.#keep().finally(() => {
      this.#round = undefined;
      this.#arm();
    });
  }

  /** One round. Never rejects. */
  async #keep(): Promise<void> {
    const { blocks, tree, clock, log } = this.#options;
    const [pins, now, beganMs] = [this.#pins, tree(), clock.monotonicMs()];
    try {
      const wanted = await readPinned(blocks, now, pins, this.#ending.signal);
      this.#totals = { files: wanted.files, bytes: wanted.bytes };
      this.#absent = wanted.absent;
      this.#notBeforeMs = clock.monotonicMs() + RESTS * (clock.monotonicMs() - beganMs);
      const version = await this.#bring(wanted.blocks, () => pins === this.#pins);
      if (version === undefined) return;
      this.#version = version;
      this.#done = now;
      this.#error = undefined;
    } catch (error) {
      if (this.#ending.signal.aborted || pins !== this.#pins) return;
      const known = failureOf(error);
      if (known.code === "paused") return;
      if (this.#error?.message !== known.message)
        log.warn(`Some pinned contents are missing here: ${describeError(error)}`);
      this.#error = known;
      this.#notBeforeMs = clock.monotonicMs() + AGAIN_MS;
    }
  }

  /** Fetches and drops blocks until exactly these are here. Returns their version; undefined: they are not wanted any more. */
  async #bring(wanted: ReadonlyMap<Cid, number>, isWanted: () => boolean): Promise<bigint | undefined> {
    const { pinned, clock } = this.#options;
    for (let pass = 0; pass < MOST_PASSES; pass++) {
      const [version, beganMs] = [pinned.version(), clock.monotonicMs()];
      const kept = await this.#list();
      this.#notBeforeMs += RESTS * (clock.monotonicMs() - beganMs);
      if (wanted.size > 0) await this.#check(kept);
      const missing = [...wanted].filter(([cid]) => !kept.has(cid));
      const others = [...kept.keys()].filter((cid) => !wanted.has(cid));
      // Old versions stay until the new ones are here, unless there is no room for both.
      if (!this.#mayFetch(missing)) await this.#dropUnneeded(kept, others, isWanted);
      for (let at = 0; at < missing.length; at += BATCH_BLOCKS) {
        if (!isWanted()) return undefined;
        const batch = missing.slice(at, at + BATCH_BLOCKS);
        await this.#fetch(
          kept,
          batch.map(([cid]) => cid),
        );
      }
      await this.#dropUnneeded(kept, others, isWanted);
      if (!isWanted()) return undefined;
      if (missing.length === 0 && others.length === 0) return version;
    }
    throw new SynclineError("local_io_failed", "The disk loses or damages blocks of pinned files.", {
      hint: "Check the disk that has Syncline's state.",
    });
  }

  /** What is here, without blocks whose length changed. */
  async #list(): Promise<Map<Cid, number>> {
    const { pinned } = this.#options;
    if (this.#kept === undefined) await pinned.removeUnfinished();
    const kept = await pinned.list();
    for (const [cid, bytes] of kept) if (bytes !== (this.#kept?.get(cid) ?? bytes)) await this.#drop(kept, cid);
    this.#kept = kept;
    return kept;
  }

  #mayFetch(blocks: readonly (readonly [Cid, number])[]): boolean {
    const { pinned, paused } = this.#options;
    return paused() === undefined && blocks.reduce((sum, [, bytes]) => sum + bytes, 0) <= pinned.spare();
  }

  async #dropUnneeded(kept: Map<Cid, number>, cids: readonly Cid[], isUnneeded: () => boolean): Promise<void> {
    for (const cid of cids) if (isUnneeded()) await this.#drop(kept, cid);
    if (!isUnneeded()) return;
    if (this.#hasLeft) writePins(this.#options.stateDir, this.#pins);
    this.#hasLeft = false;
  }

  async #drop(kept: Map<Cid, number>, cid: Cid): Promise<void> {
    await this.#options.pinned.drop(cid);
    kept.delete(cid);
  }

  /** Once a boot, reads all blocks and drops damaged ones: a power loss may leave zeros in files that were just written. */
  async #check(kept: Map<Cid, number>): Promise<void> {
    if (this.#isChecked) return;
    const { pinned, stateDir, boot } = this.#options;
    const path = join(stateDir, CHECKED);
    const booted = Buffer.from(await boot());
    if (booted.length === 0 || readStateFile(path)?.equals(booted) !== true) {
      const cids = [...kept.keys()];
      for (let at = 0; at < cids.length; at += BATCH_BLOCKS) {
        this.#ending.signal.throwIfAborted();
        const batch = cids.slice(at, at + BATCH_BLOCKS);
        const intact = await pinned.held(batch);
        for (const cid of batch) if (!intact.has(cid)) await this.#drop(kept, cid);
      }
      // Without this mark, the next agent checks them again.
      unlessSync(isDiskFull, () => writeStateFile(path, booted));
    }
    this.#isChecked = true;
  }

  async #fetch(kept: Map<Cid, number>, cids: readonly Cid[]): Promise<void> {
    const { pinned, blocks, paused } = this.#options;
    this.#ending.signal.throwIfAborted();
    const stopped = paused();
    if (stopped !== undefined) throw stopped;
    const fetched = await blocks.getMany(cids);
    this.#requireRoom([...fetched.values()].reduce((sum, { length }) => sum + length, 0));
    for (const [cid, bytes] of fetched) {
      await pinned.write({ cid, bytes });
      kept.set(cid, bytes.length);
    }
  }

  #requireRoom(bytes: number): void {
    const spare = this.#options.pinned.spare();
    if (bytes <= 0 || bytes <= spare) return;
    const room = `${Math.ceil(bytes / MIB)} MiB are needed, and ${Math.max(0, Math.floor(spare / MIB))} MiB may be used`;
    throw new SynclineError("disk_full", `The disk has no room for the pinned files: ${room}.`, {
      hint: "Free some disk space, or pin less. Part of the disk is reserved for unpublished changes.",
    });
  }
}

const MIB = 1024 * 1024;
