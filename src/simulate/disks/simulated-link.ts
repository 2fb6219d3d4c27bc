/**
 * A process's link to a shared object store. Requests and replies take time, get lost, or are late; requests also arrive
 * twice. The link's own randomness decides.
 */
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type {
  ByteRange,
  ObjectBody,
  PutOptions,
  ObjectInfo,
  ObjectStore,
  Polling,
  RequestReport,
  PutOutcome,
  StoredObject,
  Turn,
} from "../../objects/object-store.ts";
import type { Fault, FaultCounts } from "../fault-counts.ts";
import { TURN_WAIT_MS } from "../shared-folder.ts";

/** The probability of each fault per request. */
export interface LinkChances {
  readonly requestLost: number;
  readonly replyLost: number;
  readonly twice: number;
  readonly late: number;
  readonly flip: number;
}

export const CALM: LinkChances = { requestLost: 0, replyLost: 0, twice: 0, late: 0, flip: 0 };

export interface LinkOptions {
  readonly store: ObjectStore;
  /** The world's clock, not the process's: a request in transit arrives even if its sender died. */
  readonly clock: Clock;
  readonly random: Random;
  readonly counts: FaultCounts;
  readonly chances: () => LinkChances;
  /** Called when a request will arrive later: its sender gave up, or it arrived once already. */
  readonly onLate: (atMs: number) => void;
  /** Called when the sender of a put will never get its outcome. */
  readonly onMissingReply: () => void;
  /** Whether the link is cut now. */
  readonly isCut: () => boolean;
  /** Whether the process is dead, so that no reply can reach it. */
  readonly isDead: () => boolean;
  /** Resolves when the process dies. */
  readonly death: Promise<void>;
}

export type Fate = "fine" | "request lost" | "reply lost" | "request twice" | "request late";

export class SimulatedLink implements ObjectStore {
  /** Present if the store has turns. */
  readonly takeTurn?: () => Promise<Turn | undefined>;
  readonly breakLock?: (force: boolean) => Promise<string | undefined>;
  readonly watch?: (name: string, changed: () => void) => Disposable;
  readonly polling?: Polling;
  readonly prune?: () => Promise<void>;
  readonly requests?: () => RequestReport;
  readonly #options: LinkOptions;

  constructor(options: LinkOptions) {
    this.#options = options;
    const { store } = options;
    if (store.takeTurn !== undefined) this.takeTurn = () => this.#takeTurn();
    if (store.breakLock !== undefined) this.breakLock = (force) => this.#read(async () => store.breakLock?.(force));
    if (store.requests !== undefined) this.requests = store.requests.bind(store);
    if (store.prune !== undefined) this.prune = () => this.#read(async () => store.prune?.());
    if (store.polling !== undefined) this.polling = store.polling;
    if (store.watch !== undefined) this.watch = (name, changed) => this.#watch(name, changed);
  }

  get address(): string {
    return this.#options.store.address;
  }

  async initialize(): Promise<void> {}

  head(name: string): Promise<ObjectInfo | undefined> {
    return this.#read(() => this.#options.store.head(name));
  }

  async get(name: string): Promise<StoredObject | undefined> {
    const object = await this.#read(() => this.#options.store.get(name));
    return object && { ...object, bytes: this.#flipped(object.bytes) };
  }

  async getRanges(name: string, ranges: readonly ByteRange[]): Promise<Uint8Array[]> {
    const parts = await this.#read(() => this.#options.store.getRanges(name, ranges));
    return parts.map((part) => this.#flipped(part));
  }

  async getTail(name: string, length: number): Promise<{ bytes: Uint8Array; size: number }> {
    const { bytes, size } = await this.#read(() => this.#options.store.getTail(name, length));
    return { bytes: this.#flipped(bytes), size };
  }

  async putNew(name: string, body: ObjectBody, options?: PutOptions): Promise<PutOutcome> {
    const chunks = await collected(body);
    return this.#put(() => this.#options.store.putNew(name, chunks, options));
  }

  async putIfMatch(name: string, body: ObjectBody, token: string, options?: PutOptions): Promise<PutOutcome> {
    const chunks = await collected(body);
    return this.#put(() => this.#options.store.putIfMatch(name, chunks, token, options));
  }

  settle(): Promise<void> {
    return this.#read(() => this.#options.store.settle());
  }

  async delete(name: string): Promise<void> {
    const outcome = await this.#change(() => this.#options.store.delete(name));
    if (outcome === undefined) throw unreachable(this.address);
  }

  now(): Promise<number | undefined> {
    return this.#read(() => this.#options.store.now());
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    const objects = await this.#read(async () => {
      const all: ObjectInfo[] = [];
      for await (const object of this.#options.store.list(prefix)) all.push(object);
      return all;
    });
    yield* objects;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Never rejects: a process that cannot reach the queue continues without a turn. A dead process leaves the queue. */
  async #takeTurn(): Promise<Turn | undefined> {
    const { store, clock, death } = this.#options;
    await this.#travel();
    if (this.#checkCut()) {
      await clock.sleep(TURN_WAIT_MS);
      return this.#alive(undefined);
    }
    const turn = await store.takeTurn?.();
    void death.then(() => turn?.[Symbol.dispose]());
    return this.#alive(turn);
  }

  /** Hints are delayed, get lost and arrive twice. */
  #watch(name: string, changed: () => void): Disposable {
    const { store, clock, random, chances, counts, isCut, isDead, death } = this.#options;
    const hint = () => {
      const { requestLost, twice } = chances();
      const draw = random.fraction();
      if (isDead() || isCut()) return;
      if (draw < requestLost) return counts.count("hint lost");
      for (let times = draw < requestLost + twice ? 2 : 1; times > 0; times--)
        clock.after(TRAVEL_MS * (0.5 + random.fraction()), () => isDead() || changed());
    };
    const watching = store.watch?.(name, hint);
    const end = () => watching?.[Symbol.dispose]();
    void death.then(end);
    return { [Symbol.dispose]: end };
  }

  async #put(work: () => Promise<PutOutcome>): Promise<PutOutcome> {
    const outcome = await this.#change(work);
    if (outcome !== undefined) return outcome.value;
    this.#options.onMissingReply();
    return { kind: "unknown", cause: unreachable(this.address) };
  }

  /** A call that changes nothing, and so can be repeated after any fault. */
  async #read<Result>(work: () => Promise<Result>): Promise<Result> {
    const fate = this.#fate();
    await this.#travel();
    const isLost = fate !== "fine" && fate !== "request twice";
    if (isLost) this.#options.counts.count(fate === "request late" ? "request lost" : fate);
    if (isLost || this.#checkCut()) return this.#never();
    const result = await work();
    await this.#travel();
    if (this.#checkCut()) return this.#never();
    return this.#alive(result);
  }

  /** Undefined: the outcome is unknown. Throws `store_unreachable` if the change did not happen and will not. */
  async #change<Result>(work: () => Promise<Result>): Promise<{ readonly value: Result } | undefined> {
    const fate = this.#fate();
    if (fate !== "fine") this.#options.counts.count(fate);
    await this.#travel();
    if (this.#checkCut() || fate === "request lost") return this.#never();
    if (fate === "request late") {
      this.#later(work);
      return this.#unknown();
    }
    const value = await work();
    if (fate === "request twice") this.#later(work);
    await this.#travel();
    return fate === "reply lost" || this.#checkCut() ? this.#unknown() : this.#alive({ value });
  }

  #later(work: () => Promise<unknown>): void {
    const { clock, random, onLate } = this.#options;
    const afterMs = LATE_MS * random.fraction();
    onLate(clock.monotonicMs() + afterMs);
    clock.after(afterMs, () => void work().catch(() => {}));
  }

  #fate(): Fate {
    return fateOf(this.#options.random, this.#options.chances());
  }

  #checkCut(): boolean {
    const isCut = this.#options.isCut();
    if (isCut) this.#options.counts.count("partition" satisfies Fault);
    return isCut;
  }

  async #travel(): Promise<void> {
    await this.#options.clock.sleep(travelMs(this.#options.random));
  }

  /** The sender gives up after a while. */
  async #never(): Promise<never> {
    await this.#options.clock.sleep(PATIENCE_MS);
    await this.#alive(undefined);
    throw unreachable(this.address);
  }

  async #unknown(): Promise<undefined> {
    await this.#options.clock.sleep(PATIENCE_MS);
    return this.#alive(undefined);
  }

  async #alive<Value>(value: Value): Promise<Value> {
    if (this.#options.isDead()) await new Promise<never>(() => {});
    return value;
  }

  #flipped(bytes: Uint8Array): Uint8Array {
    const { random, chances, counts } = this.#options;
    if (bytes.length === 0 || random.fraction() >= chances().flip) return bytes;
    counts.count("flipped bit");
    return withFlippedBit(bytes, random);
  }
}

/** Draws the fate of a request. */
export function fateOf(random: Random, { requestLost, replyLost, twice, late }: LinkChances): Fate {
  let draw = random.fraction();
  const fates = [
    ["request lost", requestLost],
    ["reply lost", replyLost],
    ["request twice", twice],
    ["request late", late],
  ] as const;
  for (const [fate, chance] of fates) if ((draw -= chance) < 0) return fate;
  return "fine";
}

/** How long a request or an answer travels. */
export function travelMs(random: Random): number {
  // Most packets take about equally long; a few take many times as long, so that requests overtake one another.
  const slow = random.fraction() < 0.05 ? 20 : 1;
  return TRAVEL_MS * slow * (0.5 + random.fraction());
}

/** Prefers bytes that are not zero, since preallocated files are mostly zeros. */
export function withFlippedBit(bytes: Uint8Array, random: Random): Uint8Array {
  const flipped = new Uint8Array(bytes);
  let at = Math.floor(random.fraction() * bytes.length);
  for (let tries = 0; tries < 8 && flipped[at] === 0; tries++) at = Math.floor(random.fraction() * at);
  flipped[at] = (flipped[at] ?? 0) ^ (1 << Math.floor(random.fraction() * 8));
  return flipped;
}

async function collected(body: ObjectBody): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  // Not `slice`: a Buffer's slice shares its memory.
  for await (const chunk of body) chunks.push(new Uint8Array(chunk));
  return chunks;
}

function unreachable(address: string): SynclineError {
  return new SynclineError("store_unreachable", `${address} does not answer.`);
}

const TRAVEL_MS = 5;
/** A sender gives up after this time. */
export const PATIENCE_MS = 2_000;
/** The longest time after its sender gave up that a request may still arrive. */
export const LATE_MS = 10_000;
