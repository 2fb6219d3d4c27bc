/**
 * One writer's lease: names of packs that no manifest lists yet. Names are drawn in batches and leased before use, so that
 * a long upload writes its lease rarely, not once per pack.
 */
import { type BothClocks, bothClocks, type Clock, longestMs } from "../../base/clock.ts";
import { SerialQueue } from "../../base/concurrency.ts";
import { isDamage, SynclineError, unlessDamaged } from "../../base/errors.ts";
import type { PackName, WriterId } from "../../base/ids.ts";
import type { Random } from "../../base/random.ts";
import { decodeLease, encodeLease } from "../../format/commits/lease.ts";
import { leaseName, OBJECT_ID_BYTES, packName } from "../../format/blocks/object-name.ts";
import { notStored, type ObjectStore, type PutOutcome } from "../../objects/object-store.ts";

/** Names drawn at once: 1 GiB of packs. */
const BATCH = 64;
/** The collector protects what a lease names for 24 h. */
const REFRESH_MS = 60 * 60 * 1000;
const NO_LEASE = encodeLease([]);

/** Called for every write, so that an upload can report its cost. */
export type CountPut = (bytes: number) => void;

export class Lease {
  readonly #store: ObjectStore;
  readonly #writer: WriterId | undefined;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #queue = new SerialQueue();
  readonly #held = new Set<PackName>();
  #free: PackName[] = [];
  #token: string | undefined;
  #written: BothClocks | undefined;

  /** Nothing can be leased without a writer. */
  constructor(store: ObjectStore, writer: WriterId | undefined, clock: Clock, random: Random) {
    this.#store = store;
    this.#writer = writer;
    this.#clock = clock;
    this.#random = random;
  }

  /** A fresh pack name that the lease holds. Throws `store_unreachable`, `disk_full`. */
  draw(counted: CountPut): Promise<PackName> {
    return this.#queue.run(async () => {
      if (this.#free.length === 0) {
        this.#free = Array.from({ length: BATCH }, () => packName(this.#random.bytes(OBJECT_ID_BYTES)));
        await this.#write(counted).catch((cause: unknown) => {
          this.#free = [];
          throw cause;
        });
      } else if (this.#isOld()) {
        await this.#write(counted);
      }
      const name = this.#free.pop() ?? packName(this.#random.bytes(OBJECT_ID_BYTES));
      this.#held.add(name);
      return name;
    });
  }

  /** What an earlier process of this writer leased; nothing if this one has written the lease. */
  inherited(): Promise<readonly PackName[]> {
    return this.#queue.run(async () => {
      if (this.#writer === undefined || this.#token !== undefined) return [];
      const name = leaseName(this.#writer);
      return (await unlessDamaged(async () => decodeLease((await this.#store.get(name))?.bytes ?? NO_LEASE))) ?? [];
    });
  }

  /** Also leases objects that are stored already. */
  hold(names: readonly PackName[], counted: CountPut): Promise<void> {
    return this.#queue.run(async () => {
      for (const name of names) this.#held.add(name);
      await this.#write(counted);
    });
  }

  /** Writes the lease again if it is old. */
  refresh(counted: CountPut): Promise<void> {
    return this.#queue.run(async () => {
      if (this.#held.size > 0 && this.#isOld()) await this.#write(counted);
    });
  }

  /** Releases names: a manifest lists them, or never will. Removes the lease with the last one. */
  release(names: readonly PackName[]): Promise<void> {
    return this.#queue.run(async () => {
      for (const name of names) this.#held.delete(name);
      if (this.#held.size > 0 || this.#token === undefined || this.#writer === undefined) return;
      this.#free = [];
      this.#token = undefined;
      await this.#store.delete(leaseName(this.#writer));
    });
  }

  #isOld(): boolean {
    return this.#written === undefined || longestMs(this.#written, bothClocks(this.#clock)) > REFRESH_MS;
  }

  async #write(counted: CountPut): Promise<void> {
    if (this.#writer === undefined) {
      throw new SynclineError("not_supported", "A bucket opened read-only accepts no uploads.");
    }
    const name = leaseName(this.#writer);
    const bytes = encodeLease([...this.#held, ...this.#free]);
    // The first try may meet a lease that the collector removed, or that a crash left.
    let outcome = await this.#put(name, bytes, counted);
    if (outcome.kind !== "stored") outcome = await this.#put(name, bytes, counted);
    if (outcome.kind === "unknown") throw notStored(this.#store.address, name, outcome);
    if (outcome.kind === "refused") throw replaced(name);
    this.#written = bothClocks(this.#clock);
  }

  async #put(name: string, bytes: Uint8Array, counted: CountPut): Promise<PutOutcome> {
    const token = this.#token ?? (await ownToken(this.#store, name));
    const outcome =
      token === undefined
        ? await this.#store.putNew(name, [bytes], { durable: "later" })
        : await this.#store.putIfMatch(name, [bytes], token);
    counted(bytes.length);
    this.#token = outcome.kind === "stored" ? outcome.token : undefined;
    return outcome;
  }
}

/** An object that only one writer keeps was replaced by another process. */
export function replaced(name: string): SynclineError {
  return new SynclineError("store_failed", `Could not write ${name}: another process keeps replacing it.`);
}

/** The token of an object that only this writer keeps. One that is too large to read is not ours: it is removed. */
export async function ownToken(store: ObjectStore, name: string): Promise<string | undefined> {
  try {
    return (await store.get(name))?.token;
  } catch (error) {
    if (!isDamage(error)) throw error;
    await store.delete(name);
    return undefined;
  }
}
