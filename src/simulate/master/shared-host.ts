/** What a master without state of its own runs on: lines to the arbiter and to the store, and a cache. */
import type { Arbiter } from "../../arbiter/arbiter.ts";
import { silentLog } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { MasterObjects } from "../../master/shared/pack-objects.ts";
import { openSharedStorage } from "../../master/shared/shared-storage.ts";
import type { MasterStorage } from "../../master/storage.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { CALM, type LineOptions, type LinkChances } from "../disks/faulty-line.ts";
import { SimulatedLink } from "../disks/simulated-link.ts";
import type { SimulatedProcess } from "../process.ts";
import { ArbiterLink, type ArbiterLinkOptions } from "./arbiter-link.ts";
import { SimulatedDatabases } from "./simulated-databases.ts";
import type { MasterHost } from "./simulated-master.ts";

export interface SharedHostOptions {
  readonly arbiter: Arbiter;
  readonly objects: MasterObjects;
  readonly leaseSeconds: number | undefined;
  readonly random: Random;
  /** How far its clock is ahead of the others'. */
  readonly skewMs: number;
  /** Of both lines. */
  readonly line: Omit<LineOptions, "isDead" | "isCut">;
  readonly isCredulous: boolean;
  readonly onSwapped: ArbiterLinkOptions["onSwapped"];
}

export class SharedHost implements MasterHost {
  /** Whether it cannot reach the arbiter, and the store. */
  readonly isCut = { arbiter: false, store: false };
  readonly #options: SharedHostOptions;
  #cache = new SimulatedDatabases();
  /** Nothing is lost then: a start asks so much that it would hardly ever end. */
  #isOpening = false;

  constructor(options: SharedHostOptions) {
    this.#options = options;
  }

  async open(process: SimulatedProcess): Promise<MasterStorage> {
    this.#isOpening = true;
    try {
      return await this.#open(process);
    } finally {
      this.#isOpening = false;
    }
  }

  #open(process: SimulatedProcess): Promise<MasterStorage> {
    const { leaseSeconds, random, skewMs } = this.#options;
    const { clock } = process;
    return openSharedStorage({
      arbiter: this.#arbiter(process),
      objects: this.#objects(process),
      cacheDir: "/cache",
      databases: this.#cache,
      leaseSeconds,
      clock: { ...clock, nowNs: () => clock.nowNs() + BigInt(Math.round(skewMs * 1e6)) },
      random,
      log: silentLog,
    });
  }

  killed(): void {
    this.#cache = this.#cache.afterKill();
  }

  /** Its cache is gone. */
  lostPower(): void {
    this.#cache.close();
    this.#cache = new SimulatedDatabases();
  }

  /** The cache needs no room: it may be deleted. */
  fill(): void {}

  [Symbol.dispose](): void {
    this.#cache.close();
  }

  #arbiter(process: SimulatedProcess): ArbiterLink {
    const { arbiter, line, isCredulous, onSwapped } = this.#options;
    const ends = { isCut: () => this.isCut.arbiter, chances: () => this.#chances() };
    return new ArbiterLink({ ...line, ...ends, arbiter, process, isCredulous, onSwapped });
  }

  /** Bits do not flip on these lines. */
  #chances(): LinkChances {
    return this.#isOpening ? CALM : { ...this.#options.line.chances(), flip: 0 };
  }

  #objects(process: SimulatedProcess): MasterObjects {
    const { objects, line } = this.#options;
    const { death } = process;
    const linked = (store: ObjectStore) => {
      const ends = { isCut: () => this.isCut.store, isDead: () => process.isDead, death, onMissingReply: () => {} };
      return new SimulatedLink({ ...line, ...ends, store, chances: () => this.#chances() });
    };
    return {
      address: objects.address,
      top: linked(objects.top),
      of: (owner) => linked(objects.of(owner)),
      owners: () => objects.owners(),
      [Symbol.asyncDispose]: async () => {},
    };
  }
}
