/** A master's link to the arbiter that it shares with others, over a faulty line. */
import type { Arbiter, JobLease, KnownStore, PackLog, RevokedTokens, SeenMaster } from "../../arbiter/arbiter.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import type { BucketName, CheckAgain, Root, RootTable, SwapOutcome } from "../../roots/root-store.ts";
import { FaultyLine, type LineOptions, type LinkChances } from "../disks/faulty-line.ts";
import type { SimulatedProcess } from "../process.ts";

export interface ArbiterLinkOptions extends Omit<LineOptions, "isDead"> {
  readonly arbiter: Arbiter;
  readonly process: SimulatedProcess;
  /** Whether it takes a swap without an answer for done. */
  readonly isCredulous: boolean;
  /** Called with each new root before anybody hears of it. */
  readonly onSwapped: (name: BucketName, root: Root) => Promise<void>;
}

export class ArbiterLink implements Arbiter {
  readonly address: string;
  readonly roots: RootTable;
  readonly packs: PackLog;
  readonly revoked: RevokedTokens;
  readonly #options: ArbiterLinkOptions;
  readonly #line: FaultyLine;

  constructor(options: ArbiterLinkOptions) {
    const { arbiter, process, chances } = options;
    const { roots, packs, revoked } = arbiter;
    const line = { ...options, chances: () => chancesOf(chances()), isDead: () => process.isDead };
    this.#options = options;
    this.#line = new FaultyLine(line, () => unreachable(arbiter.address));
    this.address = arbiter.address;
    this.roots = {
      get: (name) => this.#line.read(() => roots.get(name)),
      getMany: (names) => this.#line.read(() => roots.getMany(names)),
      row: (name) => this.#line.read(() => roots.row(name)),
      list: (...call) => this.#line.read(() => roots.list(...call)),
      swap: (name, expected, next) => this.#swap(name, next, () => roots.swap(name, expected, next)),
      swapInEra: (name, expected, next, era) =>
        this.#swap<SwapOutcome | CheckAgain>(name, next, () => roots.swapInEra(name, expected, next, era)),
    };
    this.packs = {
      owners: () => this.#line.read(() => packs.owners()),
      after: (...call) => this.#line.read(() => packs.after(...call)),
      change: (...call) => this.#change(() => packs.change(...call)),
      restore: (...call) => this.#change(() => packs.restore(...call)),
      giveUp: (...call) => this.#change(() => packs.giveUp(...call)),
      disown: (...call) => this.#change(() => packs.disown(...call)),
    };
    this.revoked = {
      add: (...call) => this.#change(() => revoked.add(...call)),
      all: () => this.#line.read(() => revoked.all()),
    };
  }

  incarnation(): Promise<string> {
    return this.#line.read(() => this.#options.arbiter.incarnation());
  }

  changeIncarnation(from: string): Promise<void> {
    return this.#change(() => this.#options.arbiter.changeIncarnation(from));
  }

  beat(...call: Parameters<Arbiter["beat"]>): Promise<number> {
    return this.#change(() => this.#options.arbiter.beat(...call));
  }

  store(): Promise<KnownStore> {
    return this.#line.read(() => this.#options.arbiter.store());
  }

  takeStore(id: string): Promise<string> {
    return this.#change(() => this.#options.arbiter.takeStore(id));
  }

  /** Ends with the process. */
  async lease(job: string): Promise<JobLease | undefined> {
    const { arbiter, process } = this.#options;
    return this.#line.read(async () => {
      const lease = await arbiter.lease(job);
      void process.death.then(() => lease?.[Symbol.asyncDispose]());
      return lease;
    });
  }

  watch(changed: (name: BucketName) => void): Disposable {
    const { arbiter, process } = this.#options;
    const watching = arbiter.watch((name) => this.#line.hint(() => changed(name)));
    void process.death.then(() => watching[Symbol.dispose]());
    return watching;
  }

  announce(master: SeenMaster): Promise<void> {
    return this.#line.read(() => this.#options.arbiter.announce(master));
  }

  withdraw(id: string): Promise<void> {
    return this.#line.read(() => this.#options.arbiter.withdraw(id));
  }

  masters(seconds: number): Promise<SeenMaster[]> {
    return this.#line.read(() => this.#options.arbiter.masters(seconds));
  }

  async doubts(): Promise<string[]> {
    return [];
  }

  /** The arbiter is shared. */
  async [Symbol.asyncDispose](): Promise<void> {}

  async #swap<Outcome extends SwapOutcome | CheckAgain>(
    name: BucketName,
    next: Cid,
    work: () => Promise<Outcome>,
  ): Promise<Outcome | SwapOutcome> {
    const swap = this.#line.change(async () => {
      const done = await work();
      if (done.kind === "committed") await this.#options.onSwapped(name, done.root);
      return done;
    });
    const outcome = this.#options.isCredulous ? await swap.catch(() => undefined) : await swap;
    if (outcome !== undefined) return outcome.value;
    this.#options.counts.count("swap unknown at the arbiter");
    if (this.#options.isCredulous) return { kind: "committed", root: { commit: next, version: 1 } };
    return { kind: "unknown", cause: unreachable(this.address) };
  }

  async #change<Result>(work: () => Promise<Result>): Promise<Result> {
    const outcome = await this.#line.change(work);
    if (outcome === undefined) throw unreachable(this.address);
    return outcome.value;
  }
}

/** A database does not carry a statement out twice. Its calls are few, so more of them fail. */
function chancesOf({ requestLost, replyLost, late, flip }: LinkChances): LinkChances {
  return { requestLost, replyLost: MORE * replyLost, late: MORE * late, flip, twice: 0 };
}

const MORE = 2;

function unreachable(address: string): SynclineError {
  return new SynclineError("arbiter_unreachable", `${address} does not answer.`);
}
