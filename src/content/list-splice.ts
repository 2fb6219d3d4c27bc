/**
 * Changes a chunk list: replaces runs of its entries, and rebuilds only the nodes around them on each level.
 *
 * Places are offsets in the old file on all levels, since every level covers the same bytes.
 */
import type { BlockSink } from "../blocks/block-store.ts";
import type { ListEntry } from "../format/files/chunk-list.ts";
import type { Content } from "../format/files/record.ts";
import type { ContentConfig } from "./config.ts";
import { contentOf, ListBuilder, type ListNode, NodeBuilder } from "./list-builder.ts";
import type { ListCursor } from "./list-cursor.ts";

/** Entries that replace the old ones in [from, to). Both bounds lie between entries of the old list. */
export interface Splice {
  readonly from: number;
  readonly to: number;
  /** Complete stored nodes that precede the entries: only at the start of the file. */
  readonly nodes?: readonly ListEntry[];
  readonly entries: readonly ListEntry[];
}

/** The content that results from the splices, equal to a full rebuild. `splices` ascend and are not adjacent. */
export async function spliceList(
  old: ListCursor,
  sink: BlockSink,
  config: ContentConfig,
  splices: readonly Splice[],
): Promise<Content> {
  const whole = wholeSplice(old, splices);
  if (whole !== undefined) return build(sink, config, whole, 0);
  let above = splices;
  for (let level = 0; level <= old.rootLevel; level++) {
    above = await new LevelSplicer(old, sink, new NodeBuilder(config, level), level).run(above);
    const nodes = wholeSplice(old, above)?.entries;
    if (nodes?.length === 1 && nodes[0] !== undefined) return contentOf("list", nodes[0]);
  }
  return build(sink, config, wholeSplice(old, above) ?? { entries: [] }, old.rootLevel + 1);
}

/** The only splice, if it replaces everything. */
function wholeSplice(old: ListCursor, splices: readonly Splice[]): Splice | undefined {
  const only = splices.length === 1 ? splices[0] : undefined;
  return only?.from === 0 && only.to === old.length ? only : undefined;
}

async function build(
  sink: BlockSink,
  config: ContentConfig,
  { nodes = [], entries }: Pick<Splice, "nodes" | "entries">,
  level: number,
): Promise<Content> {
  const builder = new ListBuilder(sink, config, level);
  for (const node of nodes) await builder.addNode(node);
  for (const entry of entries) await builder.add(entry);
  return builder.finish();
}

/** Turns splices of a level's entries into splices of its nodes. */
class LevelSplicer {
  readonly #old: ListCursor;
  readonly #sink: BlockSink;
  readonly #builder: NodeBuilder;
  readonly #level: number;

  constructor(old: ListCursor, sink: BlockSink, builder: NodeBuilder, level: number) {
    this.#old = old;
    this.#sink = sink;
    this.#builder = builder;
    this.#level = level;
  }

  async run(splices: readonly Splice[]): Promise<Splice[]> {
    const above: Splice[] = [];
    let taken = 0;
    for (let next = splices[taken]; next !== undefined; next = splices[taken]) {
      const { start: from } = await this.#old.node(this.#level, next.from);
      const nodes: ListEntry[] = [];
      let at = from;
      do {
        if (next?.from === at) {
          nodes.push(...(next.nodes ?? []));
          for (const entry of next.entries) await this.#add(nodes, entry);
          at = next.to;
          next = splices[++taken];
        } else {
          const { entry } = await this.#old.entry(this.#level, at);
          await this.#add(nodes, entry);
          at += entry.length;
        }
      } while (!(await this.#meets(at, next)));
      if (this.#builder.entries.length > 0) await this.#take(nodes, this.#builder.end());
      above.push({ from, to: at, entries: nodes });
    }
    return above;
  }

  /** Whether both old and new nodes end at `at`, so that from here they are the same until the next splice. */
  async #meets(at: number, next: Splice | undefined): Promise<boolean> {
    if (at === this.#old.length) return next === undefined;
    return this.#builder.entries.length === 0 && (await this.#old.isNodeStart(this.#level, at));
  }

  async #add(nodes: ListEntry[], entry: ListEntry): Promise<void> {
    const node = this.#builder.add(entry);
    if (node !== undefined) await this.#take(nodes, node);
  }

  async #take(nodes: ListEntry[], { block, entry }: ListNode): Promise<void> {
    await this.#sink.put(block);
    nodes.push(entry);
  }
}
