/**
 * The three-way merge of leaves that both sides changed: our changes are inserted into their entries, which are copied
 * unchanged in between.
 */
import { compareBytes } from "../base/bytes.ts";
import type { Node } from "../format/tree/node.ts";
import type { TreeBuilder } from "./builder.ts";
import { Cursor } from "./cursor.ts";
import { join } from "./diff.ts";
import { type Entry, entryAt } from "./entry.ts";
import type { SortedKeys } from "./sorted-keys.ts";
import type { Bounds, Opened } from "./subtree.ts";

/** Resolves a key that the sides changed differently: returns the entry to keep, or undefined for none. */
export type Resolve = (
  key: Uint8Array,
  base: Entry | undefined,
  ours: Entry | undefined,
  theirs: Entry | undefined,
) => Resolution | Promise<Resolution>;

export type Resolution = Pick<Entry, "value" | "links"> | undefined;

/** A key where ours may differ from the base. */
interface ChangedKey {
  readonly key: Uint8Array;
  readonly base: Position | undefined;
  readonly ours: Position | undefined;
  readonly forced: boolean;
}

interface Position {
  readonly node: Node;
  readonly index: number;
}

/** Adds the merged entries of three sides' leaves, base first. `forced`: keys to resolve in any case. */
export async function mergeLeaves(
  builder: TreeBuilder,
  [base = [], ours = [], theirs = []]: readonly (readonly Opened[])[],
  bounds: Bounds,
  resolve: Resolve,
  forced: SortedKeys,
): Promise<void> {
  const kept = new KeptRun(builder);
  const rest = new Cursor(theirs, bounds);
  for (const each of withForced(changedKeys([base, ours], bounds), forced, base, ours, bounds)) {
    await kept.addUntil(rest, each.key);
    const there = rest.positionAt(each.key);
    if (!each.forced && isSame(each.ours, there)) continue;
    if (!each.forced && isSame(each.base, there)) {
      if (each.ours !== undefined) await kept.add(each.ours);
    } else {
      const resolution = await resolve(each.key, entryOf(each.base), entryOf(each.ours), entryOf(there));
      await kept.flush();
      if (resolution !== undefined) {
        const wait = builder.add({ key: each.key, value: resolution.value, links: resolution.links });
        if (wait !== undefined) await wait;
      }
    }
    if (there !== undefined) rest.advance();
  }
  await kept.addUntil(rest, undefined);
  await kept.flush();
}

export function changedKeys([base = [], ours = []]: readonly (readonly Opened[])[], bounds: Bounds): ChangedKey[] {
  const changed: ChangedKey[] = [];
  join(base, ours, bounds, (a, b) => {
    const [before, after] = [a?.position, b?.position];
    const at = after ?? before;
    if (at !== undefined) changed.push({ key: at.node.keyAt(at.index), base: before, ours: after, forced: false });
  });
  return changed;
}

/** The changed keys and the forced ones, in order. */
function withForced(
  changed: readonly ChangedKey[],
  forced: SortedKeys,
  base: readonly Opened[],
  ours: readonly Opened[],
  bounds: Bounds,
): readonly ChangedKey[] {
  if (forced.length === 0) return changed;
  const [before, after] = [new Cursor(base, bounds), new Cursor(ours, bounds)];
  const all: ChangedKey[] = [];
  let next = 0;
  for (let at = 0, key = forced.at(0); key !== undefined; key = forced.at(++at)) {
    for (let each = changed[next]; each !== undefined && compareBytes(each.key, key) <= 0; each = changed[++next])
      if (compareBytes(each.key, key) < 0) all.push(each);
    before.seek(key);
    after.seek(key);
    all.push({ key, base: before.positionAt(key), ours: after.positionAt(key), forced: true });
  }
  return all.concat(changed.slice(next));
}

/** Entries to take unchanged; adjacent ones are added together. */
class KeptRun {
  readonly #builder: TreeBuilder;
  #node: Node | undefined;
  #from = 0;
  #to = 0;

  constructor(builder: TreeBuilder) {
    this.#builder = builder;
  }

  /** Adds the cursor's entries below this key, or all remaining ones, and advances it there. */
  async addUntil(cursor: Cursor, key: Uint8Array | undefined): Promise<void> {
    for (let stretch = cursor.take(key); stretch !== undefined; stretch = cursor.take(key))
      await this.#addStretch(stretch.node, stretch.from, stretch.to);
  }

  add({ node, index }: Position): Promise<void> | undefined {
    return this.#addStretch(node, index, index + 1);
  }

  async flush(): Promise<void> {
    const node = this.#node;
    this.#node = undefined;
    if (node !== undefined) await this.#builder.addFrom(node, this.#from, this.#to, false);
  }

  #addStretch(node: Node, from: number, to: number): Promise<void> | undefined {
    if (node === this.#node && from === this.#to) {
      this.#to = to;
      return undefined;
    }
    const wait = this.flush();
    this.#node = node;
    this.#from = from;
    this.#to = to;
    return wait;
  }
}

function isSame(a: Position | undefined, b: Position | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.node.sameValue(a.index, b.node, b.index);
}

function entryOf(position: Position | undefined): Entry | undefined {
  return position && entryAt(position.node, position.index);
}
