/**
 * Tells watchers of the roots that other masters swap: those that they announce, and every few seconds all, since
 * announcements may be missed. One query is under way at a time, so that swaps keep the arbiter's connections.
 */
import type { Clock } from "../../base/clock.ts";
import { type BucketName, bucketKey, type RootTable } from "../../roots/root-store.ts";
import type { OtherMasters } from "../storage.ts";
import type { RootHub } from "./root-hub.ts";

export interface RootFollowerOptions {
  readonly roots: Pick<RootTable, "getMany">;
  readonly hub: RootHub;
  readonly others: OtherMasters;
  readonly clock: Clock;
}

/** From the end of one look for unannounced changes to the next. */
const LOOK_MS = 3_000;
const NAMES_AT_ONCE = 1_000;

export class RootFollower implements Disposable {
  readonly #options: RootFollowerOptions;
  readonly #due = new Map<string, BucketName>();
  readonly #watch: Disposable;
  #reading: Promise<void> | undefined;
  #timer: Disposable | undefined;
  #ended = false;

  constructor(options: RootFollowerOptions) {
    this.#options = options;
    this.#watch = options.others.watch((name) => {
      if (options.hub.isWatched(name)) void this.#read([name]);
    });
    this.#lookLater();
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#timer?.[Symbol.dispose]();
    this.#watch[Symbol.dispose]();
  }

  #lookLater(): void {
    if (this.#ended) return;
    this.#timer = this.#options.clock.after(LOOK_MS, () => {
      void this.#read(this.#options.hub.watched()).then(() => this.#lookLater());
    });
  }

  /** Resolves once no name is left to read. */
  #read(names: readonly BucketName[]): Promise<void> {
    for (const name of names) this.#due.set(bucketKey(name), name);
    this.#reading ??= this.#readDue().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #readDue(): Promise<void> {
    while (this.#due.size > 0 && !this.#ended) {
      const page = [...this.#due].slice(0, NAMES_AT_ONCE);
      for (const [key] of page) this.#due.delete(key);
      await this.#tell(page.map(([, name]) => name));
    }
  }

  async #tell(names: readonly BucketName[]): Promise<void> {
    const { roots, hub } = this.#options;
    try {
      const found = await roots.getMany(names);
      for (const [at, name] of names.entries()) {
        const root = found[at];
        if (root !== undefined) hub.tell(name, root);
      }
    } catch {
      // The next look finds them.
    }
  }
}
