/** Where the blocks lie that one commit and its ancestors reach, as the manifest of its commit object says. */
import { isDamage } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import { STORE_CONCURRENCY } from "../../base/limits.ts";
import { groupBy } from "../../base/collections.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import { digestOf } from "../../format/cid.ts";
import type { RunReference } from "../../format/manifest.ts";
import { guessPage, pagesOfRun, prefixOf, type RunRow, wholeRun } from "../../format/run.ts";
import type { CommitObject, PackDirectory } from "./pack-directory.ts";
import type { PackRows } from "./run-merge.ts";

export interface Placement {
  readonly pack: PackName;
  readonly offset: number;
  readonly length: number;
  /** How the bytes are stored: format/pack.ts. */
  readonly codec: number;
}

export interface Located {
  readonly found: Map<Cid, Placement>;
  /** What could not be searched, because it is missing or damaged. A block that was not found may be there. */
  readonly damage: readonly unknown[];
}

export class PlacementIndex {
  readonly object: CommitObject;
  readonly #directory: PackDirectory;
  /** Once all of them have been read. */
  #loose: readonly PackRows[] | undefined;

  constructor(directory: PackDirectory, object: CommitObject) {
    this.#directory = directory;
    this.object = object;
  }

  /** Those of `cids` that are mapped. Throws `store_unreachable`. */
  async locate(cids: readonly Cid[]): Promise<Located> {
    const found = new Map<Cid, Placement>();
    const damage: unknown[] = [];
    let wanted = cids.map((cid) => ({ cid, digest: digestOf(cid) }));
    const take = (cid: Cid, place: Placement) => void found.set(cid, place);
    for (const { pack, footer } of await this.#footers(damage)) {
      if (wanted.length === 0) break;
      wanted = wanted.filter(({ cid, digest }) => {
        const row = footer.find(digest);
        if (row !== undefined) take(cid, { pack, offset: row.offset, length: row.length, codec: row.codec });
        return row === undefined;
      });
    }
    for (const run of this.object.manifest.runs.toReversed()) {
      if (wanted.length === 0) break;
      await surviving(damage, () => this.#findInRun(run, wanted, take));
      wanted = wanted.filter(({ cid }) => !found.has(cid));
    }
    return { found, damage };
  }

  /** The rows of every loose pack, newest first; `damage` gets the reason for each that cannot be read. */
  async #footers(damage: unknown[]): Promise<readonly PackRows[]> {
    if (this.#loose !== undefined) return this.#loose;
    const { pack, footer, manifest } = this.object;
    const older = await mapConcurrent(manifest.loose.toReversed(), STORE_CONCURRENCY, async (loose) => {
      const read = await surviving(damage, () => this.#directory.footer(loose));
      return read === undefined ? [] : [{ pack: loose.name, footer: read }];
    });
    const all = [{ pack: pack.name, footer }, ...older.flat()];
    if (all.length === manifest.loose.length + 1) this.#loose = all;
    return all;
  }

  /** Interpolates, and where the guessed page is a neighbour of the right one, again between what is known by then. */
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

interface Wanted {
  readonly cid: Cid;
  readonly digest: Uint8Array;
}

/** Runs `work`; what is missing or damaged is noted instead of thrown, so that the rest of the bucket stays readable. */
async function surviving<Value>(damage: unknown[], work: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await work();
  } catch (cause) {
    if (!isDamage(cause)) throw cause;
    damage.push(cause);
    return undefined;
  }
}
