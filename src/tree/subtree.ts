/**
 * Adjacent subtrees, which tree diffs and merges descend through. A level of several trees is cut into windows of bounded
 * size: each is read in one request, and memory stays bounded however much differs.
 */
import { compareBytes } from "../base/bytes.ts";
import type { Cid } from "../base/ids.ts";
import type { Node } from "../format/tree/node.ts";

/** The keys above `from`, up to and including `to`; undefined: unbounded. */
export interface Bounds {
  readonly from: Uint8Array | undefined;
  readonly to: Uint8Array | undefined;
}

/** A node, perhaps not read yet, and its position. */
export interface Subtree {
  readonly cid: Cid;
  /** All of its keys are above this. */
  readonly low: Uint8Array | undefined;
  /** Its last key. */
  readonly high: Uint8Array;
  /** Whether it is the last node of its level in its tree. */
  readonly last: boolean;
  /** The position of its entry; undefined for a root. */
  readonly place: { readonly parent: Node; readonly index: number } | undefined;
}

/** Adjacent subtrees of one tree and one level. */
export interface Front {
  readonly level: number;
  readonly subtrees: readonly Subtree[];
}

/** A subtree's node, opened. */
export interface Opened {
  readonly subtree: Subtree;
  readonly node: Node;
}

/** Reads subtrees, as NodeStore does. */
export interface SubtreeReader {
  /** In the order of `wanted`, in one request. */
  subtrees(wanted: readonly Subtree[]): Promise<Opened[]>;
}

/** A whole tree. The empty tree has no subtrees. */
export function frontOf(root: Cid, node: Node): Front {
  if (node.count === 0) return { level: 0, subtrees: [] };
  const subtree = { cid: root, low: undefined, high: node.keyAt(node.count - 1), last: true, place: undefined };
  return { level: node.level, subtrees: [subtree] };
}

export function childOf(opened: Opened, index: number): Subtree {
  return new Child(opened, index);
}

/** Reads its fields from the parent on demand: most children are only counted, or skipped. */
class Child implements Subtree {
  readonly last: boolean;
  readonly place: { readonly parent: Node; readonly index: number };
  readonly #above: Subtree;
  #low: Uint8Array | undefined;
  #high: Uint8Array | undefined;

  constructor({ subtree, node }: Opened, index: number) {
    this.last = subtree.last && index === node.count - 1;
    this.place = { parent: node, index };
    this.#above = subtree;
  }

  get cid(): Cid {
    return this.place.parent.childAt(this.place.index);
  }

  get low(): Uint8Array | undefined {
    const { parent, index } = this.place;
    return index === 0 ? this.#above.low : (this.#low ??= parent.keyAt(index - 1));
  }

  get high(): Uint8Array {
    return (this.#high ??= this.place.parent.keyAt(this.place.index));
  }
}

/** Opens the subtrees of all these fronts in one request. */
export async function openAll(nodes: SubtreeReader, fronts: readonly (readonly Subtree[])[]): Promise<Opened[][]> {
  const opened = await nodes.subtrees(fronts.flat());
  let next = 0;
  return fronts.map((front) => opened.slice(next, (next += front.length)));
}

/**
 * Cuts fronts of one level into windows of about `limit` subtrees, in key order. A subtree across a cut is in both windows;
 * each counts only the keys within its own bounds.
 */
export function* windows(
  fronts: readonly (readonly Subtree[])[],
  bounds: Bounds,
  limit: number,
): Generator<{ readonly bounds: Bounds; readonly fronts: readonly (readonly Subtree[])[] }> {
  let from = bounds.from;
  let starts = fronts.map(() => 0);
  while (fronts.some((front, side) => (starts[side] ?? 0) < front.length)) {
    const { ends, cut } = advance(fronts, starts, bounds, limit);
    const finished = fronts.every((front, side) => ends[side] === front.length);
    const to = finished ? bounds.to : cut;
    const inside = fronts.map((front, side) => {
      const end = ends[side] ?? 0;
      const next = front[end];
      const through = next !== undefined && cut !== undefined && isAbove(cut, next.low);
      return front.slice(starts[side], through ? end + 1 : end);
    });
    yield { bounds: { from, to }, fronts: inside };
    from = to;
    starts = ends;
  }
}

/** Whether all keys of the subtree are within the bounds, as far as its parent tells. */
export function isWhole(subtree: Subtree, { from, to }: Bounds): boolean {
  const begins = from === undefined || (subtree.low !== undefined && compareBytes(subtree.low, from) >= 0);
  return begins && (to === undefined || compareBytes(subtree.high, to) <= 0);
}

/** Whether some keys of the subtree may be within the bounds. */
export function overlaps(subtree: Subtree, { from, to }: Bounds): boolean {
  if (from !== undefined && compareBytes(subtree.high, from) <= 0) return false;
  return to === undefined || isAbove(to, subtree.low);
}

/** Steps over about `limit` subtrees in order of their ends; `cut` is the end of the last one. */
function advance(
  fronts: readonly (readonly Subtree[])[],
  starts: readonly number[],
  bounds: Bounds,
  limit: number,
): { ends: number[]; cut: Uint8Array | undefined } {
  const ends = [...starts];
  let cut: Uint8Array | undefined;
  for (let taken = 0; taken < limit;) {
    const lowest = lowestEnd(fronts, ends, bounds);
    if (lowest === undefined) break;
    cut = lowest;
    for (const [side, front] of fronts.entries()) {
      const at = ends[side] ?? 0;
      const subtree = front[at];
      if (subtree === undefined || compareBytes(endOf(subtree, bounds), lowest) !== 0) continue;
      ends[side] = at + 1;
      taken++;
    }
  }
  return { ends, cut };
}

function lowestEnd(
  fronts: readonly (readonly Subtree[])[],
  at: readonly number[],
  bounds: Bounds,
): Uint8Array | undefined {
  let lowest: Uint8Array | undefined;
  for (const [side, front] of fronts.entries()) {
    const subtree = front[at[side] ?? 0];
    if (subtree === undefined) continue;
    const end = endOf(subtree, bounds);
    if (lowest === undefined || compareBytes(end, lowest) < 0) lowest = end;
  }
  return lowest;
}

/** The subtree's last key, limited to the bounds. */
function endOf({ high }: Subtree, { to }: Bounds): Uint8Array {
  return to !== undefined && compareBytes(high, to) > 0 ? to : high;
}

function isAbove(key: Uint8Array, low: Uint8Array | undefined): boolean {
  return low === undefined || compareBytes(key, low) > 0;
}
