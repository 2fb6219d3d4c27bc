/** Whole agents on one bucket in an object store in memory, each of which can be offline, and a collector beside them. */
import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../src/base/clock.ts";
import { systemClock } from "../../src/base/clock.ts";
import { hasCode, SynclineError } from "../../src/base/errors.ts";
import type { Cid } from "../../src/base/ids.ts";
import type { Random } from "../../src/base/random.ts";
import type { BlockCache } from "../../src/blocks/cached-reader.ts";
import { CachedReader } from "../../src/blocks/cached-reader.ts";
import { VerifiedReader } from "../../src/blocks/verified-reader.ts";
import { Bucket } from "../../src/bucket/bucket.ts";
import { cachingRemote } from "../../src/bucket/caching-remote.ts";
import { collectIfNeeded, type CollectionMark } from "../../src/bucket/gc/need.ts";
import { PackedRemote } from "../../src/bucket/packed/packed-remote.ts";
import type { BucketRemote } from "../../src/bucket/remote.ts";
import { BASES_FOLDER } from "../../src/format/blocks/object-name.ts";
import { MemoryObjectStore } from "../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../src/objects/object-store.ts";
import type { WorldRemote, WorldSetting } from "./agents-world.ts";
import { World } from "./agents-world.ts";
import { EAGER } from "./collected-store.ts";
import { mortalStore } from "./mortal-store.ts";
import { newWriter, seededRandom } from "./test-bucket.ts";

const HOUR_MS = 3_600_000;
/** Turns of the event loop that a request may take. */
const MOST_TURNS = 4;

export class PackedWorld {
  readonly store: MemoryObjectStore;
  readonly away = new Set<number>();
  /** Agents whose store has room only for small notes. */
  readonly full = new Set<number>();
  /** How many collections died, completed, lost to a faster writer, or were not needed, and the packs dropped. */
  readonly collections = { died: 0, ended: 0, overtaken: 0, notNeeded: 0, dropped: 0 };
  /** How often an agent stated the root that its changes are based on. */
  basesHeld = 0;
  #nowMs = 1_700_000_000_000;
  readonly #random: Random;
  readonly #clock: Clock;
  #timers: { readonly atMs: number; readonly action: () => void }[] = [];
  #collectors = 0;
  /** Per collector that runs by itself: what it remembers of its last collection. */
  readonly #known: (CollectionMark | undefined)[] = [undefined, undefined];
  #running: Promise<void>[] = [];
  #world: World | undefined;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.store = new MemoryObjectStore("memory:", () => this.#nowMs);
    const nowNs = () => BigInt((this.#nowMs += 1)) * 1_000_000n;
    const after = (ms: number, action: () => void) => this.#after(ms, action);
    this.#clock = { ...systemClock, sleep: () => setImmediate(), nowNs, monotonicMs: () => this.#nowMs, after };
  }

  get world(): World {
    if (this.#world === undefined) throw new Error("not made yet");
    return this.#world;
  }

  async create(): Promise<void> {
    const remote: WorldRemote = Object.assign(this.#remote(this.store), {
      unreachable: false,
      faults: [],
      refusals: [],
    });
    const setting: WorldSetting = { remote, clock: this.#clock, remoteOf: (seed) => this.#remoteOf(seed) };
    this.#world = await World.create(setting);
  }

  later(hours: number): void {
    this.#nowMs += hours * HOUR_MS;
    for (const timer of this.#timers.filter(({ atMs }) => atMs <= this.#nowMs)) {
      this.#timers = this.#timers.filter((other) => other !== timer);
      timer.action();
    }
  }

  #after(ms: number, action: () => void): Disposable {
    const timer = { atMs: this.#nowMs + ms, action };
    this.#timers.push(timer);
    return { [Symbol.dispose]: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) };
  }

  /** Begins a collection that dies at the change with this number, if it gets that far. */
  collect(dieAt: number): Promise<void> {
    const running = this.#collect(dieAt).catch((error: unknown) => {
      // Its own death and a faster writer are expected; any other error is a finding.
      if (error instanceof Error && /^(died|dead)$/.test(error.message)) this.collections.died++;
      else if (hasCode(error, "root_moved")) this.collections.overtaken++;
      else throw error;
    });
    this.#running.push(running);
    running.catch(() => {});
    return running;
  }

  /** Waits for all collections. Rejects with an error that one of them threw. */
  async settle(): Promise<void> {
    await Promise.all(this.#running.splice(0));
  }

  async #collect(dieAt: number): Promise<void> {
    const seed = 500 + ++this.#collectors;
    const store = mortalStore(this.#wandering(this.store), dieAt, seed % 2 === 0).store;
    const remote = this.#remote(store);
    const bucket = await Bucket.open(remote, { blocks: new VerifiedReader(remote.blocks) });
    const { writer, random } = await newWriter(bucket, seed);
    const options = { bucket, store, writer, clock: this.#clock, random, ...EAGER };
    const turn = (seed >> 1) % this.#known.length;
    const { mark, report } = await collectIfNeeded(options, this.#known[turn], 0);
    this.#known[turn] = mark;
    this.collections[report === undefined ? "notNeeded" : "ended"]++;
    this.collections.dropped += report?.dropped ?? 0;
  }

  /** Blocks that were read once stay readable here, even after the bucket dropped them. */
  async #remoteOf(seed: number): Promise<BucketRemote> {
    const reading = this.#remote(this.store);
    const { writer } = await newWriter(await Bucket.open(reading, { blocks: reading.blocks }), seed);
    const store = this.#wandering(
      this.store,
      () => this.away.has(seed),
      () => this.full.has(seed),
    );
    const options = { clock: this.#clock, random: seededRandom(seed), writer: () => writer.device.writer };
    const remote = new PackedRemote(store, options);
    const held = new Map<Cid, Uint8Array>();
    const cache: BlockCache = {
      held: async (cids) =>
        new Map(cids.flatMap((cid) => (held.has(cid) ? [[cid, held.get(cid) ?? new Uint8Array()]] : []))),
      keep: (blocks) => blocks.forEach(({ cid, bytes }) => held.set(cid, bytes)),
    };
    const caching = cachingRemote(remote, cache);
    return { ...caching, blocks: new CachedReader(cache, new VerifiedReader(remote.blocks)) };
  }

  #remote(store: ObjectStore): PackedRemote {
    return new PackedRemote(store, { clock: this.#clock, random: seededRandom(1) });
  }

  /**
   * Each request takes some turns of the event loop, so that other work runs in between. An offline agent can still read,
   * as from a cache, but gets no root and stores nothing.
   */
  #wandering(inner: ObjectStore, isAway = () => false, isFull = () => false): ObjectStore {
    const wander = async <Result>(work: () => Promise<Result>, reads = false): Promise<Result> => {
      for (let turns = Math.floor(this.#random.fraction() * MOST_TURNS); turns > 0; turns--) await setImmediate();
      if (isAway() && !reads) throw new SynclineError("store_unreachable", "The store does not answer.");
      const result = await work();
      if (this.#random.fraction() < 0.3) await setImmediate();
      return result;
    };
    return {
      address: inner.address,
      initialize: () => inner.initialize(),
      head: (name) => wander(() => inner.head(name)),
      get: (name) => wander(() => inner.get(name)),
      getRanges: (name, ranges) => wander(() => inner.getRanges(name, ranges), true),
      getTail: (name, length) => wander(() => inner.getTail(name, length), true),
      putNew: (name, body, options) =>
        wander(async () => {
          const isNote = name.startsWith(BASES_FOLDER);
          if (isFull() && !isNote) throw new SynclineError("disk_full", "There is no room.");
          if (isNote) this.basesHeld++;
          return inner.putNew(name, body, options);
        }),
      putIfMatch: (name, body, token) => wander(() => inner.putIfMatch(name, body, token)),
      settle: () => wander(() => inner.settle()),
      now: () => wander(() => inner.now()),
      delete: (name) => wander(() => inner.delete(name)),
      list: (prefix) => inner.list(prefix),
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
  }
}
