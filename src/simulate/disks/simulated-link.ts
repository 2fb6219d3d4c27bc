/** A process's link to a shared object store, over a faulty line. */
import { SynclineError } from "../../base/errors.ts";
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
  TakePart,
  Turn,
} from "../../objects/object-store.ts";
import { TURN_WAIT_MS } from "../shared-folder.ts";
import { FaultyLine, type LineOptions, withFlippedBit } from "./faulty-line.ts";

export interface LinkOptions extends LineOptions {
  readonly store: ObjectStore;
  /** Called when the sender of a put will never get its outcome. */
  readonly onMissingReply: () => void;
  /** Resolves when the process dies. */
  readonly death: Promise<void>;
}

export class SimulatedLink implements ObjectStore {
  /** Present if the store has turns. */
  readonly takeTurn?: () => Promise<Turn | undefined>;
  readonly breakLock?: (force: boolean) => Promise<string | undefined>;
  readonly watch?: (name: string, changed: () => void) => Disposable;
  readonly polling?: Polling;
  readonly keepsPuts?: boolean;
  readonly isDoneWithBodies?: boolean;
  readonly streamRanges?: (name: string, ranges: readonly ByteRange[], take: TakePart) => Promise<void>;
  readonly prune?: () => Promise<void>;
  readonly returnRoot?: NonNullable<ObjectStore["returnRoot"]>;
  readonly requests?: () => RequestReport;
  readonly salvaging?: NonNullable<ObjectStore["salvaging"]>;
  readonly #options: LinkOptions;
  readonly #line: FaultyLine;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#line = new FaultyLine(options, () => unreachable(this.address));
    const { store } = options;
    if (store.takeTurn !== undefined) this.takeTurn = () => this.#takeTurn();
    if (store.breakLock !== undefined)
      this.breakLock = (force) => this.#line.read(async () => store.breakLock?.(force));
    const salvaging = store.salvaging?.bind(store);
    if (salvaging !== undefined)
      this.salvaging = (unread) => new SimulatedLink({ ...options, store: salvaging(unread) });
    if (store.requests !== undefined) this.requests = store.requests.bind(store);
    if (store.prune !== undefined) this.prune = () => this.#line.read(async () => store.prune?.());
    const returnRoot = store.returnRoot?.bind(store);
    if (returnRoot !== undefined) this.returnRoot = (...call) => this.#put(() => returnRoot(...call));
    if (store.streamRanges !== undefined) this.streamRanges = (...call) => this.#streamRanges(...call);
    if (store.polling !== undefined) this.polling = store.polling;
    if (store.keepsPuts !== undefined) this.keepsPuts = store.keepsPuts;
    if (store.isDoneWithBodies !== undefined) this.isDoneWithBodies = store.isDoneWithBodies;
    if (store.watch !== undefined) this.watch = (name, changed) => this.#watch(name, changed);
  }

  get address(): string {
    return this.#options.store.address;
  }

  async initialize(): Promise<void> {}

  head(name: string): Promise<ObjectInfo | undefined> {
    return this.#line.read(() => this.#options.store.head(name));
  }

  async get(name: string): Promise<StoredObject | undefined> {
    const object = await this.#line.read(() => this.#options.store.get(name));
    return object && { ...object, bytes: this.#flipped(object.bytes) };
  }

  async getRanges(name: string, ranges: readonly ByteRange[]): Promise<Uint8Array[]> {
    const parts = await this.#line.read(() => this.#options.store.getRanges(name, ranges));
    return parts.map((part) => this.#flipped(part));
  }

  async #streamRanges(name: string, ranges: readonly ByteRange[], take: TakePart): Promise<void> {
    for (const [range, bytes] of (await this.getRanges(name, ranges)).entries()) take(range, 0, bytes);
  }

  async getTail(name: string, length: number): Promise<{ bytes: Uint8Array; size: number }> {
    const { bytes, size } = await this.#line.read(() => this.#options.store.getTail(name, length));
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
    return this.#line.read(() => this.#options.store.settle());
  }

  async delete(name: string): Promise<void> {
    const outcome = await this.#line.change(() => this.#options.store.delete(name));
    if (outcome === undefined) throw unreachable(this.address);
  }

  now(): Promise<number | undefined> {
    return this.#line.read(() => this.#options.store.now());
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    const objects = await this.#line.read(async () => {
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
    await this.#line.travel();
    if (this.#line.checkCut()) {
      await clock.sleep(TURN_WAIT_MS);
      return this.#line.alive(undefined);
    }
    const turn = await store.takeTurn?.();
    void death.then(() => turn?.[Symbol.dispose]());
    return this.#line.alive(turn);
  }

  #watch(name: string, changed: () => void): Disposable {
    const { store, death } = this.#options;
    const watching = store.watch?.(name, () => this.#line.hint(changed));
    const end = () => watching?.[Symbol.dispose]();
    void death.then(end);
    return { [Symbol.dispose]: end };
  }

  async #put(work: () => Promise<PutOutcome>): Promise<PutOutcome> {
    const outcome = await this.#line.change(work);
    if (outcome !== undefined) return outcome.value;
    this.#options.onMissingReply();
    return { kind: "unknown", cause: unreachable(this.address) };
  }

  #flipped(bytes: Uint8Array): Uint8Array {
    const { random, chances, counts } = this.#options;
    if (bytes.length === 0 || random.fraction() >= chances().flip) return bytes;
    counts.count("flipped bit");
    return withFlippedBit(bytes, random);
  }
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
