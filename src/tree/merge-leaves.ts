/** The three-way merge of leaves that more than one side changed, entry by entry. */
import { SynclineError } from "../base/errors.ts";
import type { Node } from "../format/node.ts";
import type { TreeBuilder } from "./builder.ts";
import { Cursor } from "./cursor.ts";
import type { Entry } from "./entry.ts";
import { entryAt } from "./entry.ts";
import { lowestOf } from "./merge-plan.ts";
import type { Bounds, Opened } from "./subtree.ts";

/** Decides a key that both sides changed, not to the same: what to keep, or undefined to have no such entry. */
export type Resolve = (
  key: Uint8Array,
  base: Entry | undefined,
  ours: Entry | undefined,
  theirs: Entry | undefined,
) => Resolution | Promise<Resolution>;

export type Resolution = Pick<Entry, "value" | "links"> | undefined;

/** Adds the merged entries of three sides' leaves, base first. */
export async function mergeLeaves(
  builder: TreeBuilder,
  sides: readonly (readonly Opened[])[],
  bounds: Bounds,
  resolve: Resolve,
): Promise<void> {
  const cursors = sides.map((side) => new Cursor(side, bounds));
  const kept = new KeptRun(builder);
  for (let lowest = lowestOf(cursors); lowest !== undefined; lowest = lowestOf(cursors)) {
    const [base, ours, theirs] = cursors.map((cursor, side) => (lowest?.[side] === true ? cursor : undefined));
    const undecided = !sameEntry(base, ours) && !sameEntry(base, theirs) && !sameEntry(ours, theirs);
    const wait = undecided
      ? resolveInto(builder, kept, resolve, base, ours, theirs)
      : kept.add(sameEntry(base, ours) ? theirs : ours);
    if (wait !== undefined) await wait;
    for (const cursor of [base, ours, theirs]) cursor?.advance();
  }
  await kept.flush();
}

async function resolveInto(
  builder: TreeBuilder,
  kept: KeptRun,
  resolve: Resolve,
  ...sides: readonly (Cursor | undefined)[]
): Promise<void> {
  const [base, ours, theirs] = sides.map(entryOf);
  const { key } = ours ?? theirs ?? missing();
  const resolution = await resolve(key, base, ours, theirs);
  await kept.flush();
  if (resolution !== undefined) await builder.add({ key, value: resolution.value, links: resolution.links });
}

/** Entries that are taken as they stand; neighbours are added together. */
class KeptRun {
  readonly #builder: TreeBuilder;
  #node: Node | undefined;
  #from = 0;
  #to = 0;

  constructor(builder: TreeBuilder) {
    this.#builder = builder;
  }

  /** Adds the entry that the cursor stands at, if it is given. */
  add(cursor: Cursor | undefined): Promise<void> | undefined {
    if (cursor?.opened === undefined) return undefined;
    const { node } = cursor.opened;
    if (node === this.#node && cursor.index === this.#to) {
      this.#to++;
      return undefined;
    }
    const wait = this.flush();
    this.#node = node;
    this.#from = cursor.index;
    this.#to = cursor.index + 1;
    return wait;
  }

  async flush(): Promise<void> {
    const node = this.#node;
    this.#node = undefined;
    if (node !== undefined) await this.#builder.addFrom(node, this.#from, this.#to, false);
  }
}

function sameEntry(a: Cursor | undefined, b: Cursor | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.sameValue(b);
}

function entryOf(cursor: Cursor | undefined): Entry | undefined {
  return cursor?.opened === undefined ? undefined : entryAt(cursor.opened.node, cursor.index);
}

function missing(): never {
  throw new SynclineError("internal", "A merge was asked about a key that no side has.");
}
