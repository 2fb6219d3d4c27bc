/**
 * Keeps a cache of one owner's packs up to date with the arbiter's log. New packs are known by their footers.
 *
 * Changes of a page are applied together: first the state of known packs, then new packs. A rewritten pack and its
 * replacement are always in one page.
 */
import { type Arbiter, type LogEntry, PACK_STATES } from "../../arbiter/arbiter.ts";
import { addAll, inBatches } from "../../base/collections.ts";
import { mapConcurrent, nextTurn } from "../../base/concurrency.ts";
import { isDamage } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { STORE_CONCURRENCY } from "../../base/limits.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import { SharedRun } from "../../base/shared-run.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { readFooter } from "../../packs/pack-footer.ts";
import { INDEX_STEP } from "../limits.ts";
import type { CachedPack, PackCache } from "./pack-cache.ts";
import { objectOf } from "./pack-objects.ts";

export interface FollowerOptions extends Pick<Ports, "clock" | "log"> {
  readonly owner: Wallet;
  readonly arbiter: Pick<Arbiter, "packs">;
  readonly objects: ObjectStore;
  /** Opens it if it is closed. */
  readonly cache: () => PackCache;
  /** Called when the log is shorter or older than before. Empties the cache. */
  readonly onWentBack: () => Promise<void>;
}

/** Footers of small packs fit into the first read. */
export const FOOTER_GUESS_BYTES = 64 * 1024;

export class LogFollower {
  readonly #options: FollowerOptions;
  readonly #reading = new SharedRun(() => this.#read());
  readonly #retrying = new SharedRun(() => this.#retry());
  #heard: { readonly nowMs: number; readonly atMs: number } | undefined;
  /** How many stored packs the cache could not take so far, and how many of them a reading of the log has tried again. */
  #missed = 0;
  #retried = 0;
  /** How often the cache was emptied. */
  #emptied = 0;
  #isOver = false;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** Milliseconds since the log was read to its end. */
  get ageMs(): number {
    return this.#heard === undefined ? Infinity : this.#options.clock.monotonicMs() - this.#heard.atMs;
  }

  /** The arbiter's clock when the log was last read, in milliseconds since 1970. */
  get earlierMs(): number {
    return this.#heard?.nowMs ?? 0;
  }

  /** The cache lacks a pack that this master wrote. Reading the log adds it, unless the cache still cannot take it. */
  get isBehind(): boolean {
    return this.#missed > this.#retried;
  }

  /** Reads the log to its end, beginning after this call. Calls meanwhile share the next reading. */
  async refresh(): Promise<void> {
    await this.#reading.run();
    // Not awaited: a store that has lost something may be slow to say so. Never rejects.
    if (!this.#retrying.active && this.#unread().length > 0) void this.#retrying.run();
  }

  /** As `refresh`, and waits until unread packs have been tried again. */
  async refreshAll(): Promise<void> {
    await this.refresh();
    await this.#retrying.idle();
  }

  /** To be called before the cache is closed for good: footers that arrive later are dropped. */
  end(): void {
    this.#isOver = true;
  }

  /** Call after emptying the cache. A reading under way then starts over; otherwise packs that it has read would stay unknown. */
  cacheEmptied(): void {
    this.#emptied++;
  }

  /** Enters a pack that this master wrote. What the cache cannot take, as on a full disk, comes with a reading of the log. */
  entered(entry: Pick<LogEntry, "pack" | "bytes" | "createdMs">, rows: Iterable<PackRow>): void {
    const { cache, log, owner } = this.#options;
    try {
      cache().add({ ...entry, state: PACK_STATES.live }, rows);
    } catch (error) {
      this.#missed++;
      log.error("a pack was stored, but the cache cannot take it", {
        owner,
        pack: entry.pack,
        error: describeError(error),
      });
    }
  }

  async #read(): Promise<void> {
    const { owner, arbiter, cache, clock, onWentBack } = this.#options;
    for (;;) {
      const atMs = clock.monotonicMs();
      const from = cache().position;
      const [emptied, missed] = [this.#emptied, this.#missed];
      const page = await arbiter.packs.after(owner, from);
      const known = this.#cacheSince(emptied);
      if (known === undefined) continue;
      if (page.position < from || page.era < known.era) {
        await onWentBack();
        continue;
      }
      await this.#apply(page.entries, emptied);
      const read = this.#cacheSince(emptied);
      if (read === undefined) continue;
      // The era is known only at the end of the log.
      read.readTo(page.entries.at(-1)?.position ?? from, page.more ? read.era : page.era);
      if (page.more) continue;
      this.#heard = { nowMs: page.nowMs, atMs };
      this.#retried = missed;
      return;
    }
  }

  async #apply(entries: readonly LogEntry[], emptied: number): Promise<void> {
    const fresh: LogEntry[] = [];
    for (const portion of inBatches(entries, ({ rows }) => rows + 1, { bytes: INDEX_STEP })) {
      addAll(fresh, this.#cacheSince(emptied)?.follow(portion) ?? []);
      await nextTurn();
    }
    await mapConcurrent(fresh, STORE_CONCURRENCY, async (entry) => {
      const rows = await this.#rowsOf(entry.pack);
      if (rows !== undefined) this.#cacheSince(emptied)?.add(entry, rows);
      else this.#cacheSince(emptied)?.addUnread(entry, this.#nowMs);
      // Its writer may have entered it as live meanwhile.
      this.#cacheSince(emptied)?.setState(entry.pack, entry.state);
    });
  }

  #unread(): CachedPack[] {
    return this.#options.cache().unread(this.#nowMs);
  }

  /** Tries unread packs again: the store may have lost them for a while only. */
  async #retry(): Promise<void> {
    const emptied = this.#emptied;
    await mapConcurrent(this.#unread(), STORE_CONCURRENCY, async (pack) => {
      // Whatever the error, the pack stays unread.
      const rows = await this.#footer(pack.pack).catch(() => undefined);
      if (this.#isOver) return;
      if (rows === undefined) this.#cacheSince(emptied)?.noteTried(pack.pack, this.#nowMs);
      else this.#cacheSince(emptied)?.addRead(pack.pack, rows);
    }).catch(() => {});
  }

  get #nowMs(): number {
    return Number(this.#options.clock.nowNs() / 1_000_000n);
  }

  /** The cache, unless it was emptied after this count was taken. */
  #cacheSince(emptied: number): PackCache | undefined {
    const cache = this.#options.cache();
    return emptied === this.#emptied ? cache : undefined;
  }

  /** Undefined: the pack is lost or damaged, so its blocks are missing. */
  async #rowsOf(pack: string): Promise<PackRow[] | undefined> {
    const { log, owner } = this.#options;
    try {
      return await this.#footer(pack);
    } catch (error) {
      if (!isDamage(error)) throw error;
      log.error("a pack of the log cannot be read: its blocks are missing", {
        owner,
        pack,
        error: describeError(error),
      });
      return undefined;
    }
  }

  async #footer(pack: string): Promise<PackRow[]> {
    const { objects } = this.#options;
    const { footer } = await readFooter((length) => objects.getTail(objectOf(pack), length), FOOTER_GUESS_BYTES);
    return [...footer];
  }
}
