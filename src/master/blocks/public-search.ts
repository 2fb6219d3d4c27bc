/**
 * Finds an owner of a public block. Anyone may ask for anything, so one request looks at few owners: the next request for the
 * block goes on from there.
 */
import type { Clock } from "../../base/clock.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import { TimeSlice } from "../../base/time-slice.ts";
import { FairBudget } from "../../http/fair-budget.ts";
import { networkOf } from "../../http/peer-network.ts";
import type { OpenStreams } from "../http/open-streams.ts";
import { Refusal } from "../http/refusal.ts";
import {
  MISSING_MS,
  NETWORK_SEARCHES,
  SEARCH_MS,
  SEARCHED_BLOCKS,
  SEARCHES,
  USEFUL_OWNERS,
  WALK_SLICE_MS,
} from "../limits.ts";
import type { BlockStores, OwnerBlocks } from "../store/owner-blocks.ts";

export interface Found {
  readonly owner: Wallet;
  readonly blocks: OwnerBlocks;
  readonly size: number;
}

/** How far the owners, in their order, were searched for a block. */
interface Searched {
  readonly upTo: Wallet;
  readonly isOver: boolean;
  readonly atMs: number;
}

export interface PublicSearchOptions {
  readonly stores: Pick<BlockStores, "of" | "owners">;
  readonly endings: Pick<OpenStreams, "register">;
  readonly clock: Clock;
}

export class PublicSearch {
  readonly #options: PublicSearchOptions;
  readonly #slots = new FairBudget(SEARCHES, NETWORK_SEARCHES);
  /** Owners that had a block lately, the latest last. */
  readonly #useful = new Set<Wallet>();
  /** The earliest first. */
  readonly #searched = new Map<Cid, Searched>();

  constructor(options: PublicSearchOptions) {
    this.#options = options;
  }

  /** Undefined: no owner has it, or had it a minute ago. Throws `busy` before all owners were searched; the signal's reason. */
  async find(cid: Cid, address: string | undefined, signal: AbortSignal): Promise<Found | undefined> {
    const known = await this.#amongUseful(cid);
    if (known !== undefined || this.#progress(cid)?.isOver === true) return known;
    const ending = new AbortController();
    const forget = this.#options.endings.register(undefined, () => ending.abort(unfinished()));
    try {
      const either = AbortSignal.any([signal, ending.signal]);
      using _slot = await this.#slots.hold(networkOf(address), 1, either);
      return await this.#search(cid, either);
    } finally {
      forget();
    }
  }

  async #amongUseful(cid: Cid): Promise<Found | undefined> {
    for (const owner of [...this.#useful].toReversed()) {
      const found = await this.#at(owner, cid);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #search(cid: Cid, signal: AbortSignal): Promise<Found | undefined> {
    const { stores, clock } = this.#options;
    const before = this.#progress(cid);
    if (before?.isOver === true) return undefined;
    const pace = new TimeSlice(clock, WALK_SLICE_MS);
    const untilMs = clock.monotonicMs() + SEARCH_MS;
    let upTo = before?.upTo;
    for (const owner of await stores.owners()) {
      if (upTo !== undefined && owner <= upTo) continue;
      signal.throwIfAborted();
      const found = await this.#at(owner, cid);
      if (found !== undefined) return found;
      upTo = owner;
      if (clock.monotonicMs() >= untilMs) {
        this.#note(cid, { upTo, isOver: false });
        throw unfinished();
      }
      await pace.breathe();
    }
    if (upTo !== undefined) this.#note(cid, { upTo, isOver: true });
    return undefined;
  }

  async #at(owner: Wallet, cid: Cid): Promise<Found | undefined> {
    const blocks = await this.#options.stores.of(owner);
    const size = await blocks.knownSize(cid);
    if (size === undefined) return undefined;
    this.#useful.delete(owner);
    this.#useful.add(owner);
    this.#searched.delete(cid);
    for (const each of this.#useful) if (this.#useful.size > USEFUL_OWNERS) this.#useful.delete(each);
    return { owner, blocks, size };
  }

  #progress(cid: Cid): Searched | undefined {
    const searched = this.#searched.get(cid);
    const isOld = searched !== undefined && this.#options.clock.monotonicMs() - searched.atMs >= MISSING_MS;
    return isOld ? undefined : searched;
  }

  #note(cid: Cid, { upTo, isOver }: Omit<Searched, "atMs">): void {
    this.#searched.delete(cid);
    this.#searched.set(cid, { upTo, isOver, atMs: this.#options.clock.monotonicMs() });
    for (const each of this.#searched.keys()) if (this.#searched.size > SEARCHED_BLOCKS) this.#searched.delete(each);
  }
}

function unfinished(): Refusal {
  return new Refusal(
    "busy",
    "Not all owners were searched for this block yet. Ask again: the search goes on from there.",
    { headers: { "retry-after": "1" } },
  );
}
