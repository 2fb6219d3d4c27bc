/**
 * A master's blocks for its caller, read and written in batches. Every received block is verified against its CID, and
 * unrequested blocks are ignored.
 */
import { BoundedMap } from "../base/bounded-map.ts";
import { Budget } from "../base/budget.ts";
import type { Clock } from "../base/clock.ts";
import { mapConcurrent } from "../base/concurrency.ts";
import { hasCode, SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import {
  MAX_GET_CIDS,
  MAX_CAR_BYTES,
  MAX_HAVE_CIDS,
  MASTER_PUT_BLOCKS,
  MASTER_PUT_BYTES,
  MASTER_TRANSFERS,
  MAX_BLOCK_ACCEPTED,
} from "../base/limits.ts";
import { CAR_TYPE, CarDecoder } from "../format/blocks/car.ts";
import { parseCid } from "../format/blocks/cid.ts";
import type { Master, MasterAnswer, MasterRequest } from "../net/master-connection.ts";
import type { Block, BlockStore } from "./block-store.ts";
import { carBatch } from "./car-batch.ts";
import { blockNotFound } from "./not-found.ts";
import { isIntact } from "./verified-reader.ts";

export class HttpBlockStore implements BlockStore {
  readonly #master: Master;
  readonly #clock: Clock;
  readonly #slots = new Budget(MASTER_TRANSFERS);
  /** Blocks that came with other answers, so that they need no request. */
  readonly #brought = new BoundedMap<Cid, Uint8Array>(BROUGHT);
  #batch: Batch | undefined;

  constructor(master: Master, clock: Clock) {
    this.#master = master;
    this.#clock = clock;
  }

  /** Takes a block that came with another answer, under its CID. */
  bring({ cid, bytes }: Block): void {
    this.#brought.set(cid, bytes);
  }

  async get(cid: Cid): Promise<Uint8Array> {
    const brought = this.#brought.get(cid);
    if (brought !== undefined) return brought;
    using _slot = await this.#slots.hold(1);
    const path = `/ipfs/${cid}?format=raw`;
    const headers = { accept: "application/vnd.ipld.raw" };
    const answer = await this.#call({ method: "GET", path, headers, statuses: [200, 404, 410] });
    if (answer.status === 200) return this.#checked(cid, await this.#readBlock(cid, answer));
    await answer.json().catch(() => {});
    throw blockNotFound(cid);
  }

  async getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = new Map<Cid, Uint8Array>();
    const wanted: Cid[] = [];
    for (const cid of new Set(cids)) {
      const brought = this.#brought.get(cid);
      if (brought === undefined) wanted.push(cid);
      else found.set(cid, brought);
    }
    if (wanted.length === 1) return found.set(wanted[0] as Cid, await this.get(wanted[0] as Cid));
    await mapConcurrent(inGroups(wanted, GROUP_BLOCKS), MASTER_TRANSFERS, (group) => this.#getGroup(group, found));
    return found;
  }

  async has(cids: readonly Cid[]): Promise<Set<Cid>> {
    const held = new Set(cids);
    await mapConcurrent(inGroups(cids, MAX_HAVE_CIDS), 2, async (group) => {
      for (const cid of await this.#missing(group)) held.delete(cid);
    });
    return held;
  }

  /** Resolves when the block is durable at the master. Concurrent blocks are sent together. */
  put({ cid, bytes }: Block): Promise<void> {
    const batch = (this.#batch ??= this.#openBatch());
    batch.blocks.set(cid, bytes);
    batch.bytes += bytes.length;
    if (batch.bytes >= MASTER_PUT_BYTES || batch.blocks.size >= MASTER_PUT_BLOCKS) this.#sendBatch(batch);
    return batch.stored.promise;
  }

  /**
   * Stores these blocks in one call; durable when it resolves. Returns the bytes sent. Throws `over_quota`, and
   * `store_failed` if the master rejects one of them.
   */
  async putMany(blocks: readonly Block[]): Promise<{ readonly bytes: number }> {
    const body = { type: CAR_TYPE, ...carBatch(blocks) };
    using _slot = await this.#slots.hold(1);
    const answer = await this.#call({ method: "POST", path: "/v1/blocks", body });
    const refused = firstRejected(await answer.json());
    if (refused === undefined) return { bytes: body.bytes };
    throw new SynclineError("store_failed", `${this.#master.address} rejected block ${refused}.`, {
      hint: "The master considers the block damaged, or it runs another version. See its log.",
    });
  }

  /** A master that cannot read the log of its packs does not know which blocks are stored: none of them answers. */
  async #call(request: MasterRequest): Promise<MasterAnswer> {
    try {
      return await this.#master.call(request);
    } catch (error) {
      if (!hasCode(error, "arbiter_unreachable")) throw error;
      const { message, hint } = error;
      throw new SynclineError("store_unreachable", message, { hint, cause: error });
    }
  }

  #openBatch(): Batch {
    const batch: Batch = { blocks: new Map(), bytes: 0, stored: Promise.withResolvers<void>() };
    // Not `after`, whose timer would not keep the process alive.
    void this.#sendAfter(batch);
    return batch;
  }

  async #sendAfter(batch: Batch): Promise<void> {
    await this.#clock.sleep(BATCH_MS);
    this.#sendBatch(batch);
  }

  #sendBatch(batch: Batch): void {
    if (this.#batch !== batch) return;
    this.#batch = undefined;
    const blocks = Array.from(batch.blocks, ([cid, bytes]) => ({ cid, bytes }));
    this.putMany(blocks).then(() => batch.stored.resolve(), batch.stored.reject);
  }

  /** Requests missing blocks again as long as some arrive: one answer holds a limited number of bytes. */
  async #getGroup(group: readonly Cid[], found: Map<Cid, Uint8Array>): Promise<void> {
    for (let wanted = new Set(group); wanted.size > 0;) {
      const before = wanted.size;
      await this.#getOnce(wanted, found);
      const [missing] = wanted;
      if (missing !== undefined && wanted.size === before) throw blockNotFound(missing);
    }
  }

  /** Moves received blocks from `wanted` to `found`. */
  async #getOnce(wanted: Set<Cid>, found: Map<Cid, Uint8Array>): Promise<void> {
    using _slot = await this.#slots.hold(1);
    const answer = await this.#call({ method: "POST", path: "/v1/blocks/get", body: cidList([...wanted]) });
    const decoder = new CarDecoder();
    let bytes = 0;
    try {
      await answer.read((part) => {
        for (const section of decoder.push(part)) {
          if (section.kind === "coming") {
            // Memory of its own, since the part's memory is reused.
            decoder.readInto(Buffer.allocUnsafeSlow(section.length));
            continue;
          }
          if (section.kind !== "block" || !wanted.delete(section.cid))
            throw this.#damaged(`An answer with an unrequested block (${section.cid ?? section.kind})`);
          found.set(section.cid, this.#checked(section.cid, section.bytes));
          bytes += section.bytes.length;
        }
        return bytes < MAX_CAR_BYTES ? "more" : "enough";
      });
      if (bytes < MAX_CAR_BYTES) decoder.end();
    } catch (error) {
      if (!hasCode(error, "format_invalid")) throw error;
      throw this.#damaged("A list of blocks", error);
    }
  }

  async #missing(group: readonly Cid[]): Promise<Cid[]> {
    const answer = await this.#call({ method: "POST", path: "/v1/blocks/have", body: cidList(group) });
    const value = await answer.json();
    const missing = typeof value === "object" && value !== null && "missing" in value ? value.missing : undefined;
    if (!Array.isArray(missing)) throw this.#strange("no list of missing blocks");
    const asked = new Set<unknown>(group);
    const strange: unknown = missing.find((cid) => !asked.has(cid));
    if (strange !== undefined) throw this.#strange("a list of blocks that were not in the request");
    return missing.map((cid) => parseCid(String(cid)));
  }

  async #readBlock(cid: Cid, answer: MasterAnswer): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const part of answer.body) {
      bytes += part.length;
      if (bytes > MAX_BLOCK_ACCEPTED) throw this.#strange(`more than ${MAX_BLOCK_ACCEPTED} bytes for block ${cid}`);
      parts.push(part);
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }

  #checked(cid: Cid, bytes: Uint8Array): Uint8Array {
    if (isIntact(cid, bytes)) return bytes;
    throw this.#damaged(`Block ${cid}`);
  }

  /** Wherever the damage is, in a block, an address or a length: asking once more helps if it happened in transit. */
  #damaged(what: string, cause?: unknown): SynclineError {
    return new SynclineError("block_corrupt", `${what} from ${this.#master.address} is damaged.`, {
      hint: "The master or its storage cannot be trusted: run `syncline verify` against it.",
      cause,
    });
  }

  #strange(what: string): SynclineError {
    return new SynclineError("store_failed", `${this.#master.address} answered with ${what}.`);
  }
}

interface Batch {
  readonly blocks: Map<Cid, Uint8Array>;
  bytes: number;
  readonly stored: PromiseWithResolvers<void>;
}

/** How many blocks are remembered: those of this turn and of the one before. */
const BROUGHT = 32;
/** How long a block waits for others to be sent with it. */
const BATCH_MS = 2;
/** Blocks requested in one call: usually up to 8 MiB, so that several calls share a long list. */
const GROUP_BLOCKS = Math.min(128, MAX_GET_CIDS);

function inGroups<Item>(items: readonly Item[], size: number): Item[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, index) => items.slice(index * size, (index + 1) * size));
}

function cidList(cids: readonly Cid[]) {
  const bytes = Buffer.from(JSON.stringify({ cids }));
  return { type: "application/json", bytes: bytes.length, pieces: [bytes] };
}

/** The first rejected block, as the master spells it. */
function firstRejected(value: unknown): string | undefined {
  const rejected = typeof value === "object" && value !== null && "rejected" in value ? value.rejected : undefined;
  const [first] = Array.isArray(rejected) ? (rejected as unknown[]) : [];
  if (first === undefined) return undefined;
  const cid = typeof first === "object" && first !== null && "cid" in first ? first.cid : undefined;
  return typeof cid === "string" ? JSON.stringify(cid.slice(0, 80)) : "(unnamed)";
}
