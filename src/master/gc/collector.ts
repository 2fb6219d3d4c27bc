/** Collects a master's garbage, one owner at a time: everyone's every few hours, and an owner's on request. */
import { SerialQueue } from "../../base/concurrency.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { describeError, type Log } from "../../base/log.ts";
import { publicError } from "../http/failure.ts";
import type { BlockStores, CollectionProgress } from "../store/owner-blocks.ts";
import type { MasterStorage } from "../storage.ts";
import type { CollectionContext, CollectionReport } from "./collection.ts";

export interface CollectorOptions extends Omit<CollectionContext, "signal" | "onProgress"> {
  readonly stores: Pick<BlockStores, "owners">;
  readonly collect: MasterStorage["collect"];
  /** Identifies this process's numbers: other masters, and this one after a restart, count by themselves. */
  readonly counter: string;
  readonly log: Log;
  /** How often all owners' garbage is collected; default: every six hours. */
  readonly everyMs?: number;
}

/** How a collection ended; `number` counts the owner's collections since the master started. */
export type Collected = { readonly number: number } & (
  | CollectionReport
  | { readonly error: { readonly code: string; readonly message: string } }
);

/** What an owner may see of the collections: the last one, and the last dry run. */
export interface CollectionState {
  /** Identifies the process that counted. */
  readonly counter: string;
  /** One is running or queued. */
  readonly running: boolean;
  /** Of the one that is running. */
  readonly progress: CollectionProgress | null;
  readonly collected: Collected | null;
  readonly preview: Collected | null;
}

const EVERY_MS = 6 * 60 * 60 * 1000;

interface Owner {
  started: number;
  running: number;
  progress: CollectionProgress | undefined;
  /** Queued collections by whether they are dry runs: requests meanwhile share the same one. */
  readonly waiting: Map<boolean, number>;
  readonly ended: Map<boolean, Collected>;
}

export class Collector implements AsyncDisposable {
  readonly #options: CollectorOptions;
  readonly #queue = new SerialQueue();
  readonly #owners = new Map<Wallet, Owner>();
  readonly #end = new AbortController();
  #timer: Disposable | undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#rest();
  }

  get counter(): string {
    return this.#options.counter;
  }

  /** Schedules a collection that begins after now; returns its number. */
  ask(wallet: Wallet, dryRun: boolean): number {
    const owner = this.#ownerOf(wallet);
    const waiting = owner.waiting.get(dryRun);
    if (waiting !== undefined) return waiting;
    const number = ++owner.started;
    owner.waiting.set(dryRun, number);
    void this.#queue.run(() => this.#run(wallet, owner, number, dryRun));
    return number;
  }

  stateOf(wallet: Wallet): CollectionState {
    const { running, progress = null, waiting, ended } = this.#ownerOf(wallet);
    const [collected, preview] = [ended.get(false) ?? null, ended.get(true) ?? null];
    const { counter } = this.#options;
    return { counter, running: running > 0 || waiting.size > 0, progress, collected, preview };
  }

  /** Stops, including the running collection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#end.abort(new SynclineError("store_failed", "The master is stopping."));
    await this.#queue.run(async () => {});
  }

  #rest(): void {
    this.#timer = this.#options.clock.after(this.#options.everyMs ?? EVERY_MS, () => void this.#all());
  }

  async #all(): Promise<void> {
    const { stores, log } = this.#options;
    try {
      for (const owner of await stores.owners()) this.ask(owner, false);
    } catch (error) {
      log.error("cannot list the owners whose garbage to collect", { error: describeError(error) });
    }
    await this.#queue.run(async () => {});
    if (!this.#end.signal.aborted) this.#rest();
  }

  async #run(wallet: Wallet, owner: Owner, number: number, dryRun: boolean): Promise<void> {
    const { log } = this.#options;
    owner.waiting.delete(dryRun);
    if (this.#end.signal.aborted) return;
    owner.running++;
    try {
      const onProgress = (progress: CollectionProgress) => (owner.progress = progress);
      const options = { ...this.#options, signal: this.#end.signal, onProgress };
      const report = await options.collect(options, wallet, dryRun);
      owner.ended.set(dryRun, { number, ...report });
      const { blocks, dropped, repackedBytes, bytes } = report;
      const freedBytes = bytes.before - bytes.after;
      if (!dryRun) log.info("collected garbage", { wallet, blocks, dropped, repackedBytes, freedBytes });
    } catch (error) {
      owner.ended.set(dryRun, { number, error: publicError(error) });
      if (!this.#end.signal.aborted) log.error("garbage was not collected", { wallet, error: describeError(error) });
    } finally {
      owner.running--;
      owner.progress = undefined;
    }
  }

  #ownerOf(wallet: Wallet): Owner {
    let owner = this.#owners.get(wallet);
    if (owner === undefined) {
      owner = { started: 0, running: 0, progress: undefined, waiting: new Map(), ended: new Map() };
      this.#owners.set(wallet, owner);
    }
    return owner;
  }
}
