/**
 * Plans a three-way merge of inner nodes' children. They are cut where all sides have a child that ends at the same key. A
 * piece that at most one side changed is taken from the side with the newer version.
 */
import { Cursor } from "./cursor.ts";
import type { SortedKeys } from "./sorted-keys.ts";
import { type Bounds, childOf, isWhole, type Opened, type Subtree } from "./subtree.ts";

export type MergeStep =
  | {
      /** The children [from, to) of one node go into the result as they are. */
      readonly kind: "take";
      readonly opened: Opened;
      readonly from: number;
      to: number;
    }
  | OpenStep;

/** Both sides changed something here: base, ours and theirs within these bounds. */
export interface OpenStep {
  readonly kind: "open";
  readonly bounds: Bounds;
  readonly sides: readonly (readonly Subtree[])[];
}

/** An entry of an inner node. */
interface Child {
  readonly opened: Opened;
  readonly index: number;
}

/** The plan for three sides' inner nodes of one level, base first, in key order. Pieces with a `forced` key stay open. */
export function planMerge(opened: readonly (readonly Opened[])[], bounds: Bounds, forced: SortedKeys): MergeStep[] {
  const within = new ForcedKeys(forced.within(bounds));
  const cursors = opened.map((side) => new Cursor(side, bounds));
  const steps: MergeStep[] = [];
  let pieces: Child[][] = opened.map(() => NOTHING);
  let cut: Child | undefined;
  for (let lowest = lowestOf(cursors); lowest !== 0;) {
    const end = step(cursors, lowest, pieces);
    lowest = lowestOf(cursors);
    if (end === undefined) continue;
    const finished = lowest === 0;
    const atEdge = cut === undefined || finished;
    const taken = takenOf(pieces, atEdge ? bounds : undefined);
    const isForced = within.takeUntil(finished ? undefined : end);
    if (taken !== undefined && !isForced) {
      take(steps, taken);
    } else {
      const from = cut === undefined ? bounds.from : keyOf(cut);
      const to = finished ? bounds.to : keyOf(end);
      steps.push({ kind: "open", bounds: { from, to }, sides: pieces.map((piece) => piece.map(subtreeOf)) });
    }
    pieces = opened.map(() => NOTHING);
    cut = end;
  }
  return steps;
}

/** Keys, consumed along a plan. */
class ForcedKeys {
  readonly #keys: SortedKeys;
  #next = 0;

  constructor(keys: SortedKeys) {
    this.#keys = keys;
  }

  /** Steps over the keys up to and including this child's, or all; returns whether there were any. */
  takeUntil(child: Child | undefined): boolean {
    const before = this.#next;
    for (let key = this.#keys.at(before); key !== undefined; key = this.#keys.at(++this.#next))
      if (child !== undefined && child.opened.node.compareKey(child.index, key) < 0) break;
    return this.#next > before;
  }
}

/** A side's empty piece; most pieces have one child a side. Never modified. */
const NOTHING: Child[] = [];

/** A bit mask of the cursors at the lowest key, the first cursor in the lowest bit; 0 if all are at their ends. */
function lowestOf(cursors: readonly Cursor[]): number {
  let lowest: Cursor | undefined;
  let bits = 0;
  for (let side = 0; side < cursors.length; side++) {
    const cursor = cursors[side];
    if (cursor?.opened === undefined) continue;
    const order = lowest === undefined ? -1 : cursor.compare(lowest);
    if (order > 0) continue;
    if (order < 0) bits = 0;
    if (order < 0) lowest = cursor;
    bits |= 1 << side;
  }
  return bits;
}

/**
 * Moves the children that end at the lowest key from the cursors to the pieces. Returns one of them if all sides can be cut
 * after it.
 */
function step(cursors: readonly Cursor[], lowest: number, pieces: Child[][]): Child | undefined {
  let aligned = true;
  let child: Child | undefined;
  for (let side = 0; side < cursors.length; side++) {
    const cursor = cursors[side];
    if (cursor?.opened === undefined) continue;
    if ((lowest & (1 << side)) === 0) {
      aligned = false;
      continue;
    }
    child = { opened: cursor.opened, index: cursor.index };
    const piece = pieces[side] ?? NOTHING;
    if (piece === NOTHING) pieces[side] = [child];
    else piece.push(child);
    cursor.advance();
  }
  return aligned ? child : undefined;
}

/**
 * The piece that represents all three, if at most one side changed it. At the edges of the bounds it must lie within them:
 * `edges` is undefined elsewhere.
 */
function takenOf(pieces: readonly (readonly Child[])[], edges: Bounds | undefined): readonly Child[] | undefined {
  const [base = [], ours = [], theirs = []] = pieces;
  let taken: readonly Child[] | undefined;
  if (samePiece(base, ours)) taken = theirs;
  else if (samePiece(base, theirs) || samePiece(ours, theirs)) taken = ours;
  if (taken === undefined || edges === undefined) return taken;
  return taken.every((child) => isWhole(subtreeOf(child), edges)) ? taken : undefined;
}

function samePiece(a: readonly Child[], b: readonly Child[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((child, at) => {
    const other = b[at];
    return other !== undefined && child.opened.node.sameValue(child.index, other.opened.node, other.index);
  });
}

/** Adds the piece to the plan; neighbors with the same parent become one step. */
function take(steps: MergeStep[], piece: readonly Child[]): void {
  for (const { opened, index } of piece) {
    const previous = steps.at(-1);
    if (previous?.kind === "take" && previous.opened === opened && previous.to === index) previous.to++;
    else steps.push({ kind: "take", opened, from: index, to: index + 1 });
  }
}

function subtreeOf({ opened, index }: Child): Subtree {
  return childOf(opened, index);
}

function keyOf({ opened, index }: Child): Uint8Array {
  return opened.node.keyAt(index);
}
