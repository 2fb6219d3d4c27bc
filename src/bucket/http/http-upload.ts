/**
 * An upload to a master: blocks leave in batches while more are made; blocks that the master holds are not sent. Once all
 * are durable there, only the swap is left. A small edit costs two calls: one batch with the commit, and the root.
 *
 * An interruption costs only time: the next upload first asks what is there. What was sent is named again while the upload
 * goes on, so that it may take longer than a lease.
 */
import { BoundedMap } from "../../base/bounded-map.ts";
import { inBatches } from "../../base/collections.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import {
  MASTER_ASK_BYTES,
  MASTER_PUT_ATTEMPTS,
  MASTER_PUT_BLOCKS,
  MASTER_PUT_BYTES,
  MASTER_PUT_PAUSE_MS,
  MASTER_PUTS_AT_ONCE,
  MAX_BLOCK_ACCEPTED,
} from "../../base/limits.ts";
import type { Ports } from "../../base/ports.ts";
import type { Block, BlockReader } from "../../blocks/block-store.ts";
import type { BlockCache } from "../../blocks/cached-reader.ts";
import type { HttpBlockStore } from "../../blocks/http-block-store.ts";
import { isGivenUp } from "../../net/patience.ts";
import { MissingBlocks, type HttpRootStore } from "../../roots/http-root-store.ts";
import type { BucketName, Root, SwapOutcome } from "../../roots/root-store.ts";
import type { PreparedSwap, Upload, UploadSession } from "../remote.ts";
import { SentBlocks } from "./sent-blocks.ts";
import type { HttpTurns } from "./turns.ts";

/** As a block cache is read; never throws. */
export type LocalBlocks = Pick<BlockCache, "held">;

export interface HttpUploadTools extends Pick<Ports, "clock" | "random"> {
  readonly address: string;
  readonly name: BucketName;
  readonly store: HttpBlockStore;
  readonly roots: HttpRootStore;
  /** As SentBlocksOptions.leaseMs. */
  readonly leaseMs: () => Promise<number>;
  /** Missing blocks that made an upload begin anew. */
  readonly lost: Set<Cid>;
  /** Copies of blocks on this machine, to resend what a master lost. */
  readonly local: LocalBlocks | undefined;
  readonly turns: Pick<HttpTurns, "headers" | "swapped">;
  /** Called with each root that a swap of this session put in place. */
  readonly committed: (root: Root) => void;
}

/** How many CIDs a session remembers as stored; it asks again for those that it forgets. */
const REMEMBERED = 131_072;

export class HttpUpload implements UploadSession {
  readonly blocks: BlockReader;
  readonly #tools: HttpUploadTools;
  /** The next batch. */
  #filling = new Map<Cid, Uint8Array>();
  #fillingBytes = 0;
  /** Batches under way. */
  readonly #sending = new Map<Cid, Uint8Array>();
  readonly #uploads = new Set<Promise<void>>();
  readonly #stored = new BoundedMap<Cid, true>(REMEMBERED);
  readonly #sent: SentBlocks;
  /** What the last attempt prepared: the master may turn out to lack some of it. */
  #prepared = new Map<Cid, Uint8Array>();
  #cost = { requests: 0, bytes: 0, blocks: 0 };
  #failure: unknown;
  #isOver = false;

  constructor(tools: HttpUploadTools) {
    this.#tools = tools;
    const { store, clock, leaseMs } = tools;
    this.#sent = new SentBlocks({ store, clock, leaseMs, onRequest: () => this.#cost.requests++ });
    this.blocks = { get: (cid) => this.#get(cid), getMany: (cids) => this.#getMany(cids) };
  }

  putContent(block: Block): Promise<void> {
    return this.#add(block);
  }

  async prepare(expected: Root | undefined, { commit, blocks }: Upload): Promise<PreparedSwap> {
    this.#prepared = new Map();
    for await (const block of blocks) {
      this.#prepared.set(block.cid, block.bytes);
      await this.#add(block);
    }
    this.#prepared.set(commit.cid, commit.bytes);
    await this.#add(commit);
    await this.#settle();
    const uploaded = this.#cost;
    this.#cost = { requests: 0, bytes: 0, blocks: 0 };
    return { commit: commit.cid, uploaded, swap: () => this.#swap(expected, commit.cid) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    this.#filling = new Map();
    // Failures were already reported to the callers that waited.
    await Promise.allSettled(this.#uploads);
  }

  async #add({ cid, bytes }: Block): Promise<void> {
    if (bytes.length > MAX_BLOCK_ACCEPTED) {
      throw new SynclineError("limit_exceeded", `Block ${cid} is larger than ${MAX_BLOCK_ACCEPTED} bytes.`);
    }
    if (this.#sent.isDue) await this.#renew();
    if (this.#peek(cid) !== undefined || this.#stored.get(cid) === true) return;
    this.#filling.set(cid, bytes);
    this.#fillingBytes += bytes.length;
    if (this.#fillingBytes >= MASTER_PUT_BYTES || this.#filling.size >= MASTER_PUT_BLOCKS) await this.#sendOff();
  }

  /** Keeps what was sent from collections. Sends again what is missing. Throws as `#sendMissing`. */
  async #renew(): Promise<void> {
    const missing = await this.#patiently(() => this.#sent.renew());
    if (missing.length > 0) await this.#sendMissing(new MissingBlocks(this.#tools.address, missing));
  }

  /** Sends the next batch; waits while too much is under way. Throws the error of an earlier batch. */
  async #sendOff(): Promise<void> {
    while (this.#uploads.size >= MASTER_PUTS_AT_ONCE) await Promise.race(this.#uploads);
    this.#throwFailure();
    const batch = this.#filling;
    this.#filling = new Map();
    this.#fillingBytes = 0;
    for (const [cid, bytes] of batch) this.#sending.set(cid, bytes);
    const upload = this.#store(batch).finally(() => this.#uploads.delete(upload));
    this.#uploads.add(upload);
  }

  /** Waits until everything is durable at the master. */
  async #settle(): Promise<void> {
    if (this.#filling.size > 0) await this.#sendOff();
    await Promise.all(this.#uploads);
    this.#throwFailure();
  }

  #throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
  }

  /** Never rejects: the next call throws the error, and the failed blocks go into the next batch. */
  async #store(batch: ReadonlyMap<Cid, Uint8Array>): Promise<void> {
    try {
      await this.#deliver(batch);
      for (const cid of batch.keys()) this.#stored.set(cid, true);
      this.#sent.add(batch.keys());
    } catch (cause) {
      for (const [cid, bytes] of batch) {
        this.#filling.set(cid, bytes);
        this.#fillingBytes += bytes.length;
      }
      this.#failure ??= cause;
    } finally {
      for (const cid of batch.keys()) this.#sending.delete(cid);
    }
  }

  /** Unlike other calls, blocks may be sent twice; after an interruption most are there already. */
  #deliver(batch: ReadonlyMap<Cid, Uint8Array>): Promise<void> {
    return this.#patiently(async (attempt) => this.#put(await this.#lacking(batch, attempt > 1)));
  }

  async #patiently<Result>(work: (attempt: number) => Promise<Result>): Promise<Result> {
    const { clock, random } = this.#tools;
    for (let attempt = 1; ; attempt++) {
      try {
        return await work(attempt);
      } catch (error) {
        const isLast = attempt === MASTER_PUT_ATTEMPTS || this.#isOver || isGivenUp(error);
        if (!hasCode(error, "store_unreachable") || isLast) throw error;
        await clock.sleep(MASTER_PUT_PAUSE_MS * 2 ** (attempt - 1) * (0.5 + random.fraction() / 2));
      }
    }
  }

  /** The blocks that the master lacks. A few bytes count as lacking unless `ask`: asking would cost more than sending. */
  async #lacking(batch: ReadonlyMap<Cid, Uint8Array>, ask: boolean): Promise<Block[]> {
    const blocks = Array.from(batch, ([cid, bytes]) => ({ cid, bytes }));
    if (!ask && blocks.reduce((sum, { bytes }) => sum + bytes.length, 0) < MASTER_ASK_BYTES) return blocks;
    this.#cost.requests++;
    const held = await this.#tools.store.has([...batch.keys()]);
    return blocks.filter(({ cid }) => !held.has(cid));
  }

  async #put(blocks: readonly Block[]): Promise<void> {
    if (blocks.length === 0) return;
    const { bytes } = await this.#tools.store.putMany(blocks);
    this.#cost.requests++;
    this.#cost.bytes += bytes;
    this.#cost.blocks += blocks.length;
  }

  async #swap(expected: Root | undefined, commit: Cid): Promise<SwapOutcome> {
    try {
      return await this.#sendSwap(expected, commit);
    } catch (error) {
      if (!(error instanceof MissingBlocks)) throw error;
      await this.#sendMissing(error);
    }
    // Only blocks were missing, so nothing changed: the same swap may be sent once more.
    try {
      return await this.#sendSwap(expected, commit);
    } catch (error) {
      throw error instanceof MissingBlocks ? this.#beginAnew(error) : error;
    }
  }

  async #sendSwap(expected: Root | undefined, commit: Cid): Promise<SwapOutcome> {
    const { roots, name, lost, turns, committed } = this.#tools;
    const outcome = await roots.swap(name, expected?.commit, commit, turns.headers);
    if (outcome.kind === "committed") {
      lost.clear();
      turns.swapped();
      committed(outcome.root);
    }
    return outcome;
  }

  async #sendMissing(error: MissingBlocks): Promise<void> {
    const blocks = await this.#atHand(error.missing);
    if (blocks.length === 0) throw this.#beginAnew(error);
    try {
      for (const batch of inBatches(blocks, ({ bytes }) => bytes.length, { bytes: MASTER_PUT_BYTES }))
        await this.#put(batch);
    } catch (cause) {
      // No swap was sent, or it was refused: its outcome is known.
      if (hasCode(cause, "store_unreachable")) throw cause;
      throw this.#beginAnew(error);
    }
    // Blocks that were sent need not be sent again.
    if (blocks.length < error.missing.length) throw this.#beginAnew(error);
  }

  /** The blocks that this session prepared, or that the machine has a copy of. */
  async #atHand(cids: readonly Cid[]): Promise<Block[]> {
    const elsewhere = cids.filter((cid) => !this.#prepared.has(cid));
    const copies = (elsewhere.length > 0 && (await this.#tools.local?.held(elsewhere))) || new Map<Cid, Uint8Array>();
    return cids.flatMap((cid) => {
      const bytes = this.#prepared.get(cid) ?? copies.get(cid);
      return bytes === undefined ? [] : [{ cid, bytes }];
    });
  }

  /** The error to begin anew with; blocks that a new upload cannot send either are lost, which is then the error. */
  #beginAnew(error: MissingBlocks): SynclineError {
    const { lost, address } = this.#tools;
    for (const cid of error.missing) {
      if (lost.has(cid)) return error;
      lost.add(cid);
    }
    const message = `The master of ${address} lost blocks of this upload. The upload must start over.`;
    return new SynclineError("root_moved", message, { cause: error });
  }

  #peek(cid: Cid): Uint8Array | undefined {
    return this.#filling.get(cid) ?? this.#sending.get(cid);
  }

  async #get(cid: Cid): Promise<Uint8Array> {
    return this.#peek(cid) ?? this.#tools.store.get(cid);
  }

  async #getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = new Map<Cid, Uint8Array>();
    const away: Cid[] = [];
    for (const cid of cids) {
      const bytes = this.#peek(cid);
      if (bytes === undefined) away.push(cid);
      else found.set(cid, bytes);
    }
    if (away.length > 0) for (const [cid, bytes] of await this.#tools.store.getMany(away)) found.set(cid, bytes);
    return found;
  }
}
