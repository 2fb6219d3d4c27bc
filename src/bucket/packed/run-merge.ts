/** Merges loose packs and smaller runs into one run, as pages (docs/reference/formats.md: tiered × 16, ≤ 4 runs). */
import type { PackName } from "../../base/ids.ts";
import { MAX_RUNS, RUN_TIER } from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import type { RunReference } from "../../format/blocks/manifest.ts";
import { OBJECT_ID_BYTES, runName } from "../../format/blocks/object-name.ts";
import type { PackFooter, PackRow } from "../../format/blocks/pack.ts";
import { encodePage, pagesOfRun, RUN_PAGE_ROWS, type RunRow } from "../../format/blocks/run.ts";
import type { ObjectBody } from "../../objects/object-store.ts";
import type { PackDirectory } from "./pack-directory.ts";

/**
 * How many runs, newest first, go into the new one: each that is not RUN_TIER times as large, and as many as needed to stay
 * within MAX_RUNS. So a row is rewritten about RUN_TIER / 2 times a tier.
 */
export function countRunsToMerge(runs: readonly RunReference[], newRows: number): number {
  let rows = newRows;
  let merged = 0;
  for (const run of runs.toReversed()) {
    if (run.rows >= RUN_TIER * rows && runs.length - merged < MAX_RUNS) break;
    rows += run.rows;
    merged++;
  }
  return merged;
}

export interface PackRows {
  readonly pack: PackName;
  readonly footer: PackFooter;
}

/** The rows of these packs, sorted by digest; of equal digests, an earlier pack's first. Decodes one row of each at a time. */
export function* rowsOfPacks(packs: readonly PackRows[]): Generator<RunRow> {
  /** The next row of each pack that has one: a heap, the least row first. */
  const heap: NextRow[] = [];
  for (const [order, { pack, footer }] of packs.entries()) {
    if (footer.count > 0) heap.push({ order, pack, footer, index: 0, row: footer.row(0) });
  }
  for (let at = (heap.length >>> 1) - 1; at >= 0; at--) siftDown(heap, at);
  for (let [first] = heap; first !== undefined; [first] = heap) {
    yield { ...first.row, pack: first.pack };
    first.index++;
    if (first.index < first.footer.count) first.row = first.footer.row(first.index);
    else {
      const last = heap.pop();
      if (last !== undefined && last !== first) heap[0] = last;
    }
    siftDown(heap, 0);
  }
}

interface NextRow extends PackRows {
  readonly order: number;
  index: number;
  row: PackRow;
}

function siftDown(heap: NextRow[], from: number): void {
  for (let at = from; ;) {
    let least = at;
    for (const child of [2 * at + 1, 2 * at + 2]) if (isLess(heap[child], heap[least])) least = child;
    const [moved, other] = [heap[at], heap[least]];
    if (least === at || moved === undefined || other === undefined) return;
    heap[at] = other;
    heap[least] = moved;
    at = least;
  }
}

function isLess(a: NextRow | undefined, b: NextRow | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return (Buffer.compare(a.row.digest, b.row.digest) || a.order - b.order) < 0;
}

/** The rows of a stored run, read a few pages at a time. Throws `object_not_found`, `store_corrupt`. */
export async function* rowsOfRun(directory: PackDirectory, run: RunReference): AsyncGenerator<RunRow> {
  const pages = pagesOfRun(run.rows);
  for (let first = 0; first < pages; first += PAGES_AT_ONCE) {
    const wanted = Array.from({ length: Math.min(PAGES_AT_ONCE, pages - first) }, (_, index) => first + index);
    const read = await directory.pages(run, wanted);
    for (const index of wanted) {
      const page = read.get(index);
      if (page !== undefined) yield* page;
    }
  }
}

/** Stores a new run of the rows of all sources, as `mergePages` merges them. */
export async function putRun(
  random: Random,
  sources: Sources,
  put: (name: string, body: ObjectBody) => Promise<void>,
): Promise<RunReference> {
  const id = Buffer.from(random.bytes(OBJECT_ID_BYTES)).toString("hex");
  let rows = 0;
  const pages = mergePages(sources, (count) => (rows = count));
  await put(runName(id), pages);
  return { id, rows };
}

type Sources = readonly (Iterable<RunRow> | AsyncIterable<RunRow>)[];

/** The pages of a run with the rows of all sources, each sorted; for equal digests, the earliest source's row. */
export async function* mergePages(sources: Sources, counted: (rows: number) => void): AsyncGenerator<Uint8Array> {
  let page: RunRow[] = [];
  let count = 0;
  let last: Uint8Array | undefined;
  for await (const row of mergeSorted(sources)) {
    if (last !== undefined && Buffer.compare(last, row.digest) === 0) continue;
    last = row.digest;
    page.push(row);
    count++;
    if (page.length < RUN_PAGE_ROWS) continue;
    yield encodePage(page);
    page = [];
  }
  if (page.length > 0) yield encodePage(page);
  counted(count);
}

const PAGES_AT_ONCE = 16;

async function* mergeSorted(sources: Sources): AsyncGenerator<RunRow> {
  const heads: { row: RunRow; rest: Iterator<RunRow> | AsyncIterator<RunRow> }[] = [];
  for (const source of sources) {
    const rest = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    const first = await rest.next();
    if (first.done !== true) heads.push({ row: first.value, rest });
  }
  while (heads.length > 0) {
    // Few sources: one for all packs, and at most MAX_RUNS runs.
    let least = 0;
    for (const [index, { row }] of heads.entries()) {
      const best = heads[least];
      if (best !== undefined && Buffer.compare(row.digest, best.row.digest) < 0) least = index;
    }
    const head = heads[least];
    if (head === undefined) return;
    yield head.row;
    const next = await head.rest.next();
    if (next.done === true) heads.splice(least, 1);
    else head.row = next.value;
  }
}
