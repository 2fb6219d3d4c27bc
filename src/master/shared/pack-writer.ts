/**
 * Stores blocks as packs: whatever waits becomes one pack, which is put into the store, then entered in the log; only then
 * is anyone answered. A crash in between leaves an object that no log names, which a collection deletes.
 */
import type { PackLog } from "../../arbiter/arbiter.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import type { Ports } from "../../base/ports.ts";
import type { Block } from "../../blocks/block-store.ts";
import { packName } from "../../format/blocks/object-name.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { buildPack, type BuiltPack } from "../../packs/pack-builder.ts";
import { packOf } from "./pack-objects.ts";

export interface PackWriterOptions extends Pick<Ports, "clock" | "random"> {
  readonly owner: Wallet;
  readonly objects: ObjectStore;
  readonly packs: PackLog;
  /** How long an upload may take before its pack can no longer be entered. */
  readonly patienceMs: number;
  /** A recent time of the arbiter. */
  readonly arbiterMs: () => Promise<number>;
  /** Called for each pack that is in the log. */
  readonly onEntered: (pack: StoredPack) => void;
}

export interface StoredPack {
  readonly pack: string;
  readonly bytes: number;
  readonly createdMs: number;
  readonly rows: Iterable<PackRow>;
}

interface Waiting {
  readonly blocks: readonly Block[];
  readonly done: PromiseWithResolvers<void>;
}

/** Concurrent uploads of packs for one owner. */
const UNDER_WAY = 3;
const TRIES = 4;
const FIRST_PAUSE_MS = 100;

export class PackWriter {
  readonly #options: PackWriterOptions;
  #waiting: Waiting[] = [];
  #underWay = 0;

  constructor(options: PackWriterOptions) {
    this.#options = options;
  }

  /** Resolves when the blocks are durable and in the log. */
  write(blocks: readonly Block[]): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ blocks, done });
    this.#start();
    return done.promise;
  }

  /** Stores a pack without entering it in the log. Returns its name, and the arbiter's time before. */
  async store(blocks: Iterable<Block>): Promise<{ readonly built: BuiltPack; readonly pack: string; begunMs: number }> {
    const { objects, random, arbiterMs, clock } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const begunMs = await arbiterMs();
      const built = buildPack(packName(random.bytes(16)), blocks);
      const outcome = await objects.putNew(built.pack.name, built.body);
      if (outcome.kind === "stored") return { built, pack: packOf(built.pack.name) ?? "", begunMs };
      // Retry with a new name: this one may be taken.
      if (attempt === TRIES) {
        const cause = outcome.kind === "unknown" ? outcome.cause : undefined;
        throw new SynclineError("store_unreachable", `${objects.address} did not confirm a pack.`, { cause });
      }
      await clock.sleep(FIRST_PAUSE_MS * 2 ** attempt);
    }
  }

  #start(): void {
    while (this.#waiting.length > 0 && this.#underWay < UNDER_WAY) {
      const taken = this.#take();
      this.#underWay++;
      void this.#write(taken.flatMap(({ blocks }) => blocks))
        .then(
          () => taken.forEach(({ done }) => done.resolve()),
          (error: unknown) => taken.forEach(({ done }) => done.reject(error)),
        )
        .finally(() => {
          this.#underWay--;
          this.#start();
        });
    }
  }

  #take(): Waiting[] {
    const taken: Waiting[] = [];
    let bytes = 0;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const more = next.blocks.reduce((sum, block) => sum + block.bytes.length, 0);
      if (taken.length > 0 && bytes + more > PACK_TARGET_BYTES) break;
      taken.push(next);
      bytes += more;
      this.#waiting.shift();
    }
    return taken;
  }

  async #write(blocks: readonly Block[]): Promise<void> {
    const { owner, packs, patienceMs, onEntered, objects } = this.#options;
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const { built, pack, begunMs } = await this.store(blocks);
      const { size: bytes, rows } = built.pack;
      const add = [{ pack, bytes, rows }];
      const live = await this.#untilAnswered(() => packs.change(owner, { add, condemn: [], begunMs, patienceMs }));
      if (!live.has(pack)) continue;
      onEntered({ pack, bytes, createdMs: begunMs, rows: built.footer });
      return;
    }
    throw new SynclineError("store_unreachable", `${objects.address} takes longer for a pack than packs are kept.`);
  }

  /** Retries, which is safe because entering a pack is idempotent. */
  async #untilAnswered<Result>(work: () => Promise<Result>): Promise<Result> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (!hasCode(error, "arbiter_unreachable") || attempt === TRIES) throw error;
        await this.#options.clock.sleep(FIRST_PAUSE_MS * 2 ** attempt);
      }
    }
  }
}
