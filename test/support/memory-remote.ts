/** A bucket in memory with scripted swaps: lost replies, other writers in between, unreachable stores. */
import { SynclineError } from "../../src/base/errors.ts";
import type { Cid } from "../../src/base/ids.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import type { BucketRemote, BucketTurn, PreparedSwap, Upload, UploadSession } from "../../src/bucket/remote.ts";
import type { Root, SwapOutcome } from "../../src/roots/root-store.ts";
import { BlockMap } from "./block-map.ts";

/** A swap's fault. "committed-unseen": it takes place, the reply is lost. "late": it takes place at `landLate`. */
export type SwapFault = "none" | "committed-unseen" | "lost" | "late";

export class MemoryRemote implements BucketRemote {
  readonly address = "memory://bucket";
  readonly blocks = new BlockMap();
  /** Faults of the next swaps, in order. */
  readonly faults: SwapFault[] = [];
  /** Which of the next uploads find no room. */
  readonly refusals: boolean[] = [];
  /** Runs before each swap is decided, so that another writer can come first. */
  beforeSwap: () => Promise<void> = async () => {};
  /** Runs before each upload is prepared. */
  beforePrepare: () => Promise<void> = async () => {};
  /** Gives turns to writers; undefined unless a test sets it. */
  takeTurn?: () => Promise<BucketTurn | undefined>;
  unreachable = false;
  swaps = 0;
  prepares = 0;
  sessions = 0;
  #genesis: Uint8Array | undefined;
  #root: Root | undefined;
  readonly #late: (() => void)[] = [];

  async readGenesis(): Promise<Uint8Array> {
    if (this.#genesis === undefined) throw new SynclineError("no_such_bucket", "No bucket in memory.");
    return this.#genesis;
  }

  async create(genesis: Block, first: Upload): Promise<boolean> {
    if (this.#root !== undefined) return false;
    this.#genesis = genesis.bytes;
    this.blocks.put(genesis);
    await this.#store(first);
    this.#root = { commit: first.commit.cid, version: 1 };
    return true;
  }

  async readRoot(): Promise<Root | undefined> {
    if (this.unreachable) throw new SynclineError("arbiter_unreachable", "The arbiter does not answer.");
    return this.#root;
  }

  /** Sets any root, as restoring a backup would. */
  forceRoot(commit: Cid): void {
    this.#root = { commit, version: (this.#root?.version ?? 0) + 1 };
  }

  forgetRoot(): void {
    this.#root = undefined;
  }

  /** Lets delayed swaps arrive. */
  landLate(): void {
    for (const land of this.#late.splice(0)) land();
  }

  beginUpload(): UploadSession {
    this.sessions++;
    return {
      blocks: this.blocks,
      putContent: async (block) => this.blocks.put(block),
      prepare: async (expected, upload) => this.#prepare(expected, upload),
      [Symbol.asyncDispose]: async () => {},
    };
  }

  watch(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #prepare(expected: Root, upload: Upload): Promise<PreparedSwap> {
    if (this.unreachable) throw new SynclineError("store_unreachable", "The store does not answer.");
    this.prepares++;
    if (this.refusals.shift() === true) throw new SynclineError("over_quota", "The storage is full.");
    await this.beforePrepare();
    const [bytes, blocks] = [this.blocks.putBytes, this.blocks.puts.length];
    await this.#store(upload);
    const uploaded = { requests: 1, bytes: this.blocks.putBytes - bytes, blocks: this.blocks.puts.length - blocks };
    return { commit: upload.commit.cid, uploaded, swap: () => this.#swap(expected.commit, upload.commit.cid) };
  }

  async #swap(expected: Cid, next: Cid): Promise<SwapOutcome> {
    await this.beforeSwap();
    this.swaps++;
    const fault = this.faults.shift() ?? "none";
    if (fault === "late") this.#late.push(() => void this.#decide(expected, next));
    const outcome = fault === "none" || fault === "committed-unseen" ? this.#decide(expected, next) : undefined;
    if (fault === "none" && outcome !== undefined) return outcome;
    return { kind: "unknown", cause: new Error("the reply was lost") };
  }

  #decide(expected: Cid, next: Cid): SwapOutcome {
    if (this.#root?.commit !== expected) return { kind: "conflict", current: this.#root };
    this.#root = { commit: next, version: this.#root.version + 1 };
    return { kind: "committed", root: this.#root };
  }

  async #store({ commit, blocks }: Upload): Promise<void> {
    for await (const block of blocks) this.blocks.put(block);
    this.blocks.put(commit);
  }
}
