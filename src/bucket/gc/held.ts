/**
 * What holds a bucket's space: the newest root, and older retained roots by age. Roots are marked newest first, so a block
 * counts for the newest root that reaches it. If the plan is made again because others publish, blocks that the newest root
 * no longer reaches still count for it: the figures are approximate.
 */
import { groupBy } from "../../base/collections.ts";
import type { Cid } from "../../base/ids.ts";
import type { KeptCommit } from "./maintenance.ts";
import type { Marker } from "./marker.ts";
import type { LiveRows } from "./live-rows.ts";

export interface Held {
  /** Bytes of the blocks that the newest root reaches, as they are stored. */
  readonly newestBytes: number;
  /** From the youngest on; ranges without roots are left out. */
  readonly older: readonly HeldByAge[];
}

/** Older roots of one range of age. */
export interface HeldByAge {
  /** The upper end of the range; null: older than any rule retains. The range begins where the one before ends. */
  readonly withinMs: number | null;
  readonly roots: number;
  /** Bytes of the blocks that these roots reach and no newer root does. */
  readonly bytes: number;
}

export class AgedMarks {
  readonly #marker: Marker;
  /** The range of age of all blocks up to this number. */
  readonly #spans: { readonly range: Range; readonly until: number }[] = [];

  constructor(marker: Marker) {
    this.#marker = marker;
  }

  /** Throws `block_not_found` if anything is missing. */
  async markRoots(newest: Cid, older: readonly KeptCommit[]): Promise<void> {
    await this.#marker.markCommits([newest]);
    this.#end(NEWEST);
    for (const [range, commits] of rangesOf(older)) {
      await this.#marker.markCommits(commits.toReversed().map(({ cid }) => cid));
      this.#end(range);
    }
  }

  heldBy(older: readonly KeptCommit[], live: Pick<LiveRows, "lengthOf">): Held {
    const bytes = new Map<Range, number>();
    const spans = this.#spans.values();
    let span = spans.next().value;
    const { needed } = this.#marker;
    for (let number = 0; number < needed.size; number++) {
      while (span !== undefined && number >= span.until) span = spans.next().value;
      if (needed.kindOf(number) === undefined) continue;
      // What is marked after all roots is there for the next one.
      const range = span === undefined ? NEWEST : span.range;
      bytes.set(range, (bytes.get(range) ?? 0) + live.lengthOf(number));
    }
    const byAge = rangesOf(older).map(([range, { length: roots }]): HeldByAge => {
      const withinMs = range === undefined ? null : Number(range / 1_000_000n);
      return { withinMs, roots, bytes: bytes.get(range) ?? 0 };
    });
    return { newestBytes: bytes.get(NEWEST) ?? 0, older: byAge };
  }

  #end(range: Range): void {
    this.#spans.push({ range, until: this.#marker.needed.size });
  }
}

const NEWEST = "newest";

/** The upper end of a range of age; undefined: older than any rule retains. */
type Range = KeptCommit["withinNs"] | typeof NEWEST;

/** The older roots by their age, the youngest first. */
function rangesOf(older: readonly KeptCommit[]) {
  const rangeOf = ({ withinNs }: KeptCommit) => withinNs;
  return [...groupBy(older, rangeOf)].sort(([a], [b]) => (a === undefined || (b !== undefined && a > b) ? 1 : -1));
}
