/**
 * POST /v1/blocks: a CAR is verified and stored as it arrives, one flush a batch; the next batch is read meanwhile. A bad
 * block rejects only itself. When the CAR breaks off, the earlier blocks are stored, so that the sender can resume.
 */
import { hasCode } from "../../base/errors.ts";
import { MAX_CAR_BYTES } from "../../base/limits.ts";
import { CAR_BATCH_BYTES } from "../limits.ts";
import type { Block } from "../../blocks/block-store.ts";
import { blake3 } from "../../crypto/hash.ts";
import { codecOf } from "../../format/blocks/cid.ts";
import { type CarSection, decodeCar } from "../../format/blocks/car.ts";
import { begunBody } from "../http/begun-body.ts";
import { Refusal, type RefusalCode } from "../http/refusal.ts";
import type { Answer, Call } from "../http/route.ts";
import type { MasterParts } from "../parts.ts";
import type { OwnerBlocks } from "../store/owner-blocks.ts";

export async function uploadBlocks(parts: MasterParts, call: Call): Promise<Answer> {
  const { wallet } = call.caller;
  const isAllowed = Number(call.headers["content-length"] ?? 0) <= MAX_CAR_BYTES;
  const noContents = isAllowed ? await parts.quota.refusalOfContents(wallet) : undefined;
  const upload = new Upload(parts, call, await parts.stores.of(wallet), noContents);
  return { status: 200, json: await upload.run() };
}

class Upload {
  readonly #parts: MasterParts;
  readonly #call: Call;
  readonly #blocks: OwnerBlocks;
  /** Thrown at the first block that is not a node. */
  readonly #noContents: Refusal | undefined;
  readonly #rejected: { readonly cid: string | null; readonly code: RefusalCode }[] = [];
  #stored = 0;
  #known = 0;
  #batch: Block[] = [];
  /** The batch's memory, and how much of it is in use. */
  #slab: Buffer = NO_SLAB;
  #used = 0;
  /** Resolves when the previous batch is stored; the next one is read meanwhile. */
  #flush: Promise<void> = Promise.resolve();

  constructor(parts: MasterParts, call: Call, blocks: OwnerBlocks, noContents: Refusal | undefined) {
    this.#parts = parts;
    this.#call = call;
    this.#blocks = blocks;
    this.#noContents = noContents;
  }

  async run(): Promise<Counts> {
    try {
      try {
        const { wallet } = this.#call.caller;
        const isInTheWay = () => this.#slab !== NO_SLAB && this.#parts.bodies.isWanted(wallet);
        const body = begunBody(this.#call.body(MAX_CAR_BYTES, isInTheWay));
        for await (const section of decodeCar(body, (length) => this.#room(length))) this.#take(section);
      } finally {
        await this.#store();
        await this.#flush;
      }
    } catch (cause) {
      throw this.#described(cause);
    } finally {
      this.#count();
    }
    return this.#counts;
  }

  get #counts(): Counts {
    return { stored: this.#stored, known: this.#known, rejected: this.#rejected };
  }

  /** Memory for an incoming block. */
  #room(length: number): Uint8Array | Promise<Uint8Array> {
    const fits = this.#used + length <= this.#slab.length && this.#batch.length < MAX_BATCH_BLOCKS;
    return fits && this.#slab !== NO_SLAB ? this.#cut(length) : this.#roomInNextBatch(length);
  }

  #cut(length: number): Uint8Array {
    this.#used += length;
    return this.#slab.subarray(this.#used - length, this.#used);
  }

  async #roomInNextBatch(length: number): Promise<Uint8Array> {
    await this.#store();
    const { bodies, slabs } = this.#parts;
    const { wallet } = this.#call.caller;
    const declared = Number(this.#call.headers["content-length"] ?? CAR_BATCH_BYTES);
    const size = Math.max(length, Math.min(declared, CAR_BATCH_BYTES));
    if (!bodies.tryTake(wallet, size)) {
      // Hold no memory while waiting for more: otherwise uploads could deadlock.
      await this.#flush;
      await bodies.take(wallet, size, this.#call.signal);
    }
    this.#slab = size === CAR_BATCH_BYTES ? slabs.take() : Buffer.allocUnsafe(size);
    return this.#cut(length);
  }

  #take(section: CarSection): void {
    if (this.#noContents !== undefined && section.kind === "block" && !isNode(section)) throw this.#noContents;
    const fault = faultOf(section);
    if (fault !== undefined) this.#reject(section, fault);
    else if (section.kind === "block") this.#batch.push({ cid: section.cid, bytes: section.bytes });
  }

  #reject(section: CarSection, code: RefusalCode): void {
    if (section.kind === "block") this.#used -= section.bytes.length;
    this.#rejected.push({ cid: section.cid ?? null, code });
    if (this.#rejected.length <= MAX_REJECTED) return;
    throw new Refusal("malformed_car", `More than ${MAX_REJECTED} blocks were rejected.`);
  }

  /** Starts storing the batch, once the one before is stored. */
  async #store(): Promise<void> {
    const batch = this.#batch;
    const slab = this.#slab;
    this.#batch = [];
    this.#slab = NO_SLAB;
    this.#used = 0;
    try {
      await this.#flush;
    } catch (cause) {
      this.#release(slab);
      throw cause;
    }
    this.#flush = this.#put(batch, slab);
    // The failure surfaces where this is awaited; until then it must not count as unhandled.
    this.#flush.catch(() => {});
  }

  async #put(batch: readonly Block[], slab: Buffer): Promise<void> {
    try {
      if (batch.length === 0) return;
      const bytes = batch.reduce((sum, block) => sum + block.bytes.length, 0);
      const arrived = await this.#parts.quota.admit(this.#call.caller.wallet, batch, batch.every(isNode));
      try {
        const { stored, known } = await this.#blocks.put(batch);
        this.#parts.garbage.young(bytes);
        this.#stored += stored;
        this.#known += known;
        // Only now: after a failure, a write may still be in progress.
        this.#parts.slabs.give(slab);
      } finally {
        arrived();
      }
    } finally {
      this.#release(slab);
    }
  }

  #release(slab: Uint8Array): void {
    if (slab !== NO_SLAB) this.#parts.bodies.give(this.#call.caller.wallet, slab.length);
  }

  /** The error, with counts of what was stored before it. */
  #described(cause: unknown): unknown {
    const details = { ...this.#counts };
    if (hasCode(cause, "format_invalid")) return new Refusal("malformed_car", cause.message, { details, cause });
    if (!(cause instanceof Refusal)) return cause;
    const { code, message, headers } = cause;
    return new Refusal(code, message, { details: { ...cause.details, ...details }, headers, cause });
  }

  #count(): void {
    const { metrics } = this.#parts;
    const help = "Blocks received in CARs, by outcome.";
    metrics.count("syncline_blocks", help, { became: "stored" }, this.#stored);
    metrics.count("syncline_blocks", help, { became: "known" }, this.#known);
    metrics.count("syncline_blocks", help, { became: "rejected" }, this.#rejected.length);
  }
}

interface Counts {
  readonly stored: number;
  readonly known: number;
  readonly rejected: readonly { readonly cid: string | null; readonly code: RefusalCode }[];
}

const NO_SLAB = Buffer.alloc(0);
const MAX_BATCH_BLOCKS = 8_192;
const MAX_REJECTED = 1_000;

function isNode({ cid }: Block): boolean {
  return codecOf(cid) === "dag-cbor";
}

function faultOf(section: CarSection): RefusalCode | undefined {
  if (section.kind === "foreign") return "bad_cid";
  if (section.kind === "oversized") return "limit_exceeded";
  return Buffer.compare(blake3(section.bytes), section.digest) === 0 ? undefined : "cid_mismatch";
}
