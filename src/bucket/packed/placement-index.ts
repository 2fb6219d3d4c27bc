/** Where the blocks lie that a commit and its ancestors reach, by the manifest of its commit object. */
import { isDamage } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import { FOOTERS_READ_BYTES, STORE_CONCURRENCY } from "../../base/limits.ts";
import { groupBy, inBatches } from "../../base/collections.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import { digestOf } from "../../format/blocks/cid.ts";
import type { LoosePack, RunReference } from "../../format/blocks/manifest.ts";
import { commitObjectName } from "../../format/blocks/object-name.ts";
import { footerBytes, type PackFooter } from "../../format/blocks/pack.ts";
import { guessPage, pagesOfRun, prefixOf, type RunRow, wholeRun } from "../../format/blocks/run.ts";
import type { Placement } from "../../packs/ranged-reads.ts";
import type { CommitObject, PackDirectory } from "./pack-directory.ts";

export interface Located {
  readonly found: Map<Cid, Placement>;
  /** What could not be searched, because it is missing or damaged. A block that was not found may be in it. */
  readonly damage: readonly unknown[];
}

export class PlacementIndex {
  readonly object: CommitObject;
  readonly #directory: PackDirectory;
  /** The loose packs, newest first: the commit object itself leads. */
  readonly #loose: readonly LoosePack[];

  constructor(directory: PackDirectory, object: CommitObject) {
    this.#directory = directory;
    this.object = object;
    this.#loose = [object.pack, ...object.manifest.loose.toReversed()];
  }

  /**
   * The places of those of `cids` that are mapped. Reads only as many footers of loose packs as needed: the newest blocks
   * are requested most. Copies in `doubted` packs do not count. Throws `store_unreachable`.
   */
  async locate(cids: readonly Cid[], doubted: ReadonlySet<PackName> = NONE): Promise<Located> {
    const damage: unknown[] = [];
    const search = new Search(cids, doubted);
    const unread = this.#searchAtHand(search);
    const named = this.#ownObjectsOf(search.wanted, unread);
    for (const batch of readTogether(named)) await this.#searchFooters(search, batch, damage);
    for (const batch of readTogether(unread.filter((pack) => !named.includes(pack)))) {
      if (!search.isOpen) break;
      await this.#searchFooters(search, batch, damage);
    }
    for (const run of this.object.manifest.runs.toReversed()) {
      if (!search.isOpen) break;
      await surviving(damage, () => this.#findInRun(run, search.wanted, (cid, place) => search.take(cid, place)));
    }
    return { found: search.found, damage };
  }

  /** The places that are known without reading anything: the remaining blocks may be mapped, too. */
  locateAtHand(cids: readonly Cid[], doubted: ReadonlySet<PackName>): Map<Cid, Placement> {
    const search = new Search(cids, doubted);
    this.#searchAtHand(search);
    return search.found;
  }

  /** Searches the footers already read; returns the loose packs with unread footers, newest first. */
  #searchAtHand(search: Search): LoosePack[] {
    return this.#loose.filter((pack) => {
      if (search.doubted.has(pack.name)) return false;
      const footer = pack === this.object.pack ? this.object.footer : this.#directory.footerAtHand(pack.name);
      if (footer !== undefined) search.in(pack.name, footer);
      return footer === undefined;
    });
  }

  /** The packs that are, by name, commit objects of wanted commits: a commit lies in its own until a collection. */
  #ownObjectsOf(wanted: readonly Wanted[], packs: readonly LoosePack[]): LoosePack[] {
    if (packs.length === 0) return [];
    const names = new Set(wanted.map(({ cid }) => commitObjectName(cid)));
    return packs.filter(({ name }) => names.has(name));
  }

  /** Reads the footers of these packs and searches them in order; adds the error of each unreadable one to `damage`. */
  async #searchFooters(search: Search, packs: readonly LoosePack[], damage: unknown[]): Promise<void> {
    const read = await mapConcurrent(packs, STORE_CONCURRENCY, async (pack) => {
      return { pack, footer: await surviving(damage, () => this.#directory.footer(pack)) };
    });
    for (const { pack, footer } of read) if (footer !== undefined) search.in(pack.name, footer);
  }

  /** Interpolates. If the guessed page is next to the right one, interpolates again with what is then known. */
  async #findInRun(
    run: RunReference,
    wanted: readonly Wanted[],
    take: (cid: Cid, place: RunRow) => void,
  ): Promise<void> {
    let open = wanted.map((one) => ({ ...one, bounds: wholeRun(pagesOfRun(run.rows)) }));
    while (open.length > 0) {
      const guesses = groupBy(open, ({ digest, bounds }) => guessPage(digest, bounds));
      const pages = await this.#directory.pages(run, [...guesses.keys()]);
      open = [];
      for (const [index, page] of pages) {
        for (const one of guesses.get(index) ?? []) {
          const hit = page.find(one.digest);
          if (typeof hit === "object") take(one.cid, hit);
          if (typeof hit === "object" || hit === "absent") continue;
          const bounds =
            hit === "before"
              ? { ...one.bounds, high: index - 1, after: prefixOf(page.row(0).digest) }
              : { ...one.bounds, low: index + 1, before: prefixOf(page.row(page.count - 1).digest) };
          if (bounds.low <= bounds.high) open.push({ ...one, bounds });
        }
      }
    }
  }
}

const NONE: ReadonlySet<PackName> = new Set();

/** Packs whose footers are read at once, in order: all of a batch are in memory until they are searched. */
function readTogether(packs: readonly LoosePack[]): Iterable<LoosePack[]> {
  return inBatches(packs, footerBytes, { bytes: FOOTERS_READ_BYTES, items: STORE_CONCURRENCY });
}

interface Wanted {
  readonly cid: Cid;
  readonly digest: Uint8Array;
}

/** The wanted blocks, and those found so far. */
class Search {
  readonly found = new Map<Cid, Placement>();
  readonly doubted: ReadonlySet<PackName>;
  #wanted: readonly Wanted[];
  /** How many were found when #wanted was last computed. */
  #known = 0;

  constructor(cids: readonly Cid[], doubted: ReadonlySet<PackName>) {
    this.doubted = doubted;
    this.#wanted = cids.map((cid) => ({ cid, digest: digestOf(cid) }));
  }

  get wanted(): readonly Wanted[] {
    if (this.found.size !== this.#known) this.#wanted = this.#wanted.filter(({ cid }) => !this.found.has(cid));
    this.#known = this.found.size;
    return this.#wanted;
  }

  get isOpen(): boolean {
    return this.wanted.length > 0;
  }

  in(pack: PackName, footer: PackFooter): void {
    for (const { cid, digest } of this.wanted) {
      const row = footer.find(digest);
      if (row !== undefined) this.take(cid, { pack, offset: row.offset, length: row.length, codec: row.codec });
    }
  }

  take(cid: Cid, place: Placement): void {
    if (!this.doubted.has(place.pack)) this.found.set(cid, place);
  }
}

/** Runs `work`; notes missing or damaged objects instead of throwing, so that the rest of the bucket stays readable. */
async function surviving<Value>(damage: unknown[], work: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await work();
  } catch (cause) {
    if (!isDamage(cause)) throw cause;
    damage.push(cause);
    return undefined;
  }
}
