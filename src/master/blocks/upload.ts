/**
 * POST /v1/blocks: a CAR is verified and stored as it comes in, a batch at a time with one flush each; the next batch is read
 * meanwhile. A bad block rejects itself. When the CAR breaks off, what came before is stored, so that its sender can go on there.
 */
import { hasCode } from "../../base/errors.ts";
import { BLOCK_OVERHEAD_BYTES, CAR_BATCH_BYTES, MAX_CAR_BYTES } from "../../base/limits.ts";
import type { Block } from "../../blocks/block-store.ts";
import { blake3 } from "../../crypto/hash.ts";
import { type CarSection, decodeCar } from "../../format/car.ts";
import { Refusal, type RefusalCode } from "../http/refusal.ts";
import type { Answer, Call } from "../http/route.ts";
import type { MasterParts } from "../parts.ts";
import type { OwnerBlocks } from "../store/owner-blocks.ts";

export async function uploadBlocks(parts: MasterParts, call: Call): Promise<Answer> {
  const { wallet } = call.caller;
  if (Number(call.headers["content-length"] ?? 0) <= MAX_CAR_BYTES) await parts.quota.check(wallet);
  const upload = new Upload(parts, call, await parts.stores.of(wallet));
  return { status: 200, json: await upload.run() };
}

class Upload {
  readonly #parts: MasterParts;
  readonly #call: Call;
  readonly #blocks: OwnerBlocks;
  readonly #rejected: { readonly cid: string | null; readonly code: RefusalCode }[] = [];
  #stored = 0;
  #known = 0;
  #batch: Block[] = [];
  #batchBytes = 0;
  /** What it has of the memory for bodies: its batches and the block that comes. */
  #held = 0;
  /** The batch that is being stored while the next one is read. */
  #flush: Promise<void> = Promise.resolve();

  constructor(parts: MasterParts, call: Call, blocks: OwnerBlocks) {
    this.#parts = parts;
    this.#call = call;
    this.#blocks = blocks;
  }

  async run(): Promise<Counts> {
    try {
      try {
        const body = this.#call.body(MAX_CAR_BYTES);
        for await (const section of decodeCar(body, (length) => this.#admit(length))) await this.#take(section);
      } finally {
        await this.#store();
        await this.#flush;
      }
    } catch (cause) {
      throw this.#described(cause);
    } finally {
      this.#give(this.#held);
      this.#count();
    }
    return this.#counts;
  }

  get #counts(): Counts {
    return { stored: this.#stored, known: this.#known, rejected: this.#rejected };
  }

  /** Makes room for a block. Whoever waits for memory holds none: else all could wait for one another. */
  #admit(length: number): void | Promise<void> {
    const wanted = length + BLOCK_OVERHEAD_BYTES;
    if (this.#parts.bodies.tryTake(this.#call.caller.wallet, wanted)) this.#held += wanted;
    else return this.#await(wanted);
  }

  async #await(wanted: number): Promise<void> {
    await this.#store();
    await this.#flush;
    await this.#parts.bodies.take(this.#call.caller.wallet, wanted, this.#call.signal);
    this.#held += wanted;
  }

  #give(bytes: number): void {
    this.#held -= bytes;
    if (bytes > 0) this.#parts.bodies.give(this.#call.caller.wallet, bytes);
  }

  async #take(section: CarSection): Promise<void> {
    const fault = faultOf(section);
    if (fault !== undefined && section.kind === "block") this.#give(section.bytes.length + BLOCK_OVERHEAD_BYTES);
    if (fault !== undefined) this.#reject(section.cid ?? null, fault);
    if (fault !== undefined || section.kind !== "block") return;
    this.#batch.push({ cid: section.cid, bytes: section.bytes });
    this.#batchBytes += section.bytes.length;
    if (this.#batchBytes >= CAR_BATCH_BYTES || this.#batch.length === MAX_BATCH_BLOCKS) await this.#store();
  }

  #reject(cid: string | null, code: RefusalCode): void {
    this.#rejected.push({ cid, code });
    if (this.#rejected.length <= MAX_REJECTED) return;
    throw new Refusal("malformed_car", `More than ${MAX_REJECTED} blocks are not what they should be.`);
  }

  /** Begins to store the batch, once the one before is stored. */
  async #store(): Promise<void> {
    const batch = this.#batch;
    const bytes = this.#batchBytes;
    this.#batch = [];
    this.#batchBytes = 0;
    await this.#flush;
    if (batch.length === 0) return;
    this.#flush = this.#put(batch, bytes);
    // Whoever waits for it sees the failure; until then it is not unhandled.
    this.#flush.catch(() => {});
  }

  async #put(batch: readonly Block[], bytes: number): Promise<void> {
    try {
      const arrived = await this.#parts.quota.admit(this.#call.caller.wallet, bytes);
      try {
        const { stored, known } = await this.#blocks.put(batch);
        this.#stored += stored;
        this.#known += known;
      } finally {
        arrived();
      }
    } finally {
      this.#give(bytes + batch.length * BLOCK_OVERHEAD_BYTES);
    }
  }

  /** With what was done before it went wrong. */
  #described(cause: unknown): unknown {
    const details = { ...this.#counts };
    if (hasCode(cause, "format_invalid")) return new Refusal("malformed_car", cause.message, { details, cause });
    if (!(cause instanceof Refusal)) return cause;
    const { code, message, headers } = cause;
    return new Refusal(code, message, { details: { ...cause.details, ...details }, headers, cause });
  }

  #count(): void {
    const { metrics } = this.#parts;
    const help = "Blocks that came in CARs, by what became of them.";
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

const MAX_BATCH_BLOCKS = 8_192;
const MAX_REJECTED = 1_000;

function faultOf(section: CarSection): RefusalCode | undefined {
  if (section.kind === "foreign") return "bad_cid";
  if (section.kind === "oversized") return "limit_exceeded";
  return Buffer.compare(blake3(section.bytes), section.digest) === 0 ? undefined : "cid_mismatch";
}
