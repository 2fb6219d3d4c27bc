/**
 * A pool that replaces its connections after this machine slept or lost an address that they use. Such connections are dead,
 * and requests on them would wait until they time out. The loss of other addresses does no harm: each container that ends
 * takes one away.
 */
import { networkInterfaces } from "node:os";
import type { buildConnector, Dispatcher, Pool } from "undici";
import { type BothClocks, bothClocks, type Clock, longestMs } from "../base/clock.ts";

export interface LivePoolOptions {
  readonly clock: Clock;
  /** Calls `uses` with the local address of each connection (`noting`). */
  readonly make: (uses: (address: string | undefined) => void) => Pool;
  /** The addresses of this machine; for tests. */
  readonly addresses?: () => readonly string[];
}

/** How often it looks, and how late a look must be to count as a sleep. */
export const LOOK_MS = 2_000;
export const SLEPT_MS = 10_000;

export class LivePool {
  readonly #options: LivePoolOptions;
  /** Local addresses of the pool's connections, including closed ones. */
  readonly #used = new Set<string>();
  #pool: Pool;
  #known: readonly string[];
  #looked: BothClocks;
  #timer: Disposable | undefined;

  constructor(options: LivePoolOptions) {
    this.#options = options;
    this.#pool = this.#make();
    this.#known = this.#addresses();
    this.#looked = bothClocks(this.#options.clock);
    this.#wait();
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return this.#pool.dispatch(options, handler);
  }

  async destroy(error: Error): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    await this.#pool.destroy(error);
  }

  #wait(): void {
    this.#timer = this.#options.clock.after(LOOK_MS, () => {
      this.#look();
      this.#wait();
    });
  }

  #look(): void {
    const [before, now] = [this.#looked, bothClocks(this.#options.clock)];
    const addresses = this.#addresses();
    // An additional address does not harm existing connections.
    const isElsewhere = this.#known.some((address) => this.#used.has(address) && !addresses.includes(address));
    const awayMs = longestMs(before, now) - LOOK_MS;
    this.#looked = now;
    this.#known = addresses;
    if (!isElsewhere && awayMs < SLEPT_MS) return;
    const old = this.#pool;
    this.#pool = this.#make();
    void old.destroy(new Error(isElsewhere ? "this machine's address changed" : "this machine slept"));
  }

  #make(): Pool {
    this.#used.clear();
    return this.#options.make((address) => {
      if (address !== undefined) this.#used.add(address);
    });
  }

  #addresses(): readonly string[] {
    return (this.#options.addresses ?? ownAddresses)();
  }
}

/** A connector that reports each connection's local address. */
export function noting(
  connect: buildConnector.connector,
  uses: (address: string | undefined) => void,
): buildConnector.connector {
  return (options, done) =>
    connect(options, (...outcome) => {
      uses(outcome[1]?.localAddress);
      done(...outcome);
    });
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all = []) =>
    all.filter(({ internal }) => !internal).map(({ address }) => address),
  );
}
