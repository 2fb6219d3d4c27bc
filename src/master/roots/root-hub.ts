/** Announces a bucket's newest root to its watchers. A slow watcher gets only the newest: older ones do not matter. */
import { MAX_WATCHES } from "../limits.ts";
import { bucketKey, type BucketName, type Root } from "../../roots/root-store.ts";
import { Refusal } from "../http/refusal.ts";
import { FairBudget } from "../../http/fair-budget.ts";

export class RootHub {
  readonly #watchers = new Map<string, Set<RootWatch>>();
  readonly #names = new Map<string, BucketName>();
  readonly #underWay = new FairBudget(Infinity, MAX_WATCHES);

  /** Counted for the caller, whoever owns the bucket. Throws `too_many_watches`. */
  watch(name: BucketName, caller: string): RootWatch {
    if (!this.#underWay.tryTake(caller, 1)) {
      throw new Refusal("too_many_watches", `You already have ${MAX_WATCHES} open watches: close some.`);
    }
    const key = bucketKey(name);
    const watchers = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, watchers);
    this.#names.set(key, name);
    const end = () => {
      watchers.delete(watch);
      if (watchers.size === 0 && this.#watchers.get(key) === watchers) {
        this.#watchers.delete(key);
        this.#names.delete(key);
      }
      this.#underWay.give(caller, 1);
    };
    const watch = new RootWatch(end, () => watchers.size);
    watchers.add(watch);
    return watch;
  }

  tell(name: BucketName, root: Root): void {
    for (const watch of this.#watchers.get(bucketKey(name)) ?? []) watch.offer(root);
  }

  isWatched(name: BucketName): boolean {
    return this.#watchers.has(bucketKey(name));
  }

  watched(): BucketName[] {
    return [...this.#names.values()];
  }

  /** For metrics. */
  get watches(): number {
    return this.#underWay.used;
  }
}

/** One watcher's pending root. */
export class RootWatch implements Disposable {
  readonly #end: () => void;
  readonly #watchers: () => number;
  #newest: Root | undefined;
  #taken = 0;
  #wake: () => void = () => {};
  #ended = false;

  constructor(end: () => void, watchers: () => number) {
    this.#end = end;
    this.#watchers = watchers;
  }

  /** The watchers of this bucket, including this one. */
  get watchers(): number {
    return this.#watchers();
  }

  /** Roots may arrive out of order: one older than those offered or taken is dropped. */
  offer(root: Root): void {
    if (root.version <= Math.max(this.#newest?.version ?? 0, this.#taken)) return;
    this.#newest = root;
    this.#wake();
  }

  /** The newest root not yet taken. */
  take(): Root | undefined {
    const root = this.#newest;
    this.#newest = undefined;
    if (root !== undefined) this.#taken = root.version;
    return root;
  }

  /** Calls `wake` once `take` has something, or at once if it has. A new call replaces the previous one. */
  onNews(wake: () => void): void {
    this.#wake = wake;
    if (this.#newest !== undefined) wake();
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#end();
  }
}
