/** What commits include: reads it, and extends it (docs/reference/formats.md, Commit). */
import type { Cid, WriterId } from "../base/ids.ts";
import { nodesInto } from "../blocks/block-codec.ts";
import type { BlockReader, BlockSink } from "../blocks/block-store.ts";
import type { CommitBody } from "../format/commits/commit-body.ts";
import {
  decodeHeadRow,
  decodeHeadsBlock,
  headKey,
  headRow,
  type Heads,
  type HeadsField,
  headsField,
  isHeadsTree,
} from "../format/commits/heads.ts";
import { isLinked } from "../format/blocks/linked-value.ts";
import type { TreeConfig } from "../tree/boundary.ts";
import { buildTree, editTree } from "../tree/edit.ts";
import { NodeStore } from "../tree/node-store.ts";
import { get, range } from "../tree/read.ts";

/** Has a heads field: any commit's body. */
type Including = Pick<CommitBody, "heads">;

/** Reads heads. Keeps little of them: a bucket may have many writers, and many commits are in memory. */
export class CommitHeads {
  readonly #blocks: BlockReader;
  readonly #nodes: NodeStore;
  /** The block that was read last. */
  #listed: { readonly cid: Cid; readonly heads: Heads } | undefined;

  constructor(blocks: BlockReader) {
    this.#blocks = blocks;
    this.#nodes = new NodeStore(blocks, { capacityBytes: NODES_BYTES });
  }

  /** Reads the list, or the root node of the tree. Throws `format_invalid`, and as reading a block does. */
  async check({ heads }: Including): Promise<void> {
    if (isHeadsTree(heads)) await this.#nodes.node(heads.tree);
    else await this.#list(heads);
  }

  /** The writer's highest epoch that the commit includes; 0: none. Throws as `check`. */
  async epochOf({ heads }: Including, writer: WriterId): Promise<number> {
    if (!isHeadsTree(heads)) return (await this.#list(heads)).get(writer) ?? 0;
    const row = await get(this.#nodes, heads.tree, headKey(writer));
    return row === undefined ? 0 : decodeHeadRow(row)[1];
  }

  /** All of them. Throws as `check`. */
  async all({ heads }: Including): Promise<Heads> {
    if (!isHeadsTree(heads)) return this.#list(heads);
    const all = new Map<WriterId, number>();
    for await (const row of range(this.#nodes, heads.tree)) all.set(...decodeHeadRow(row));
    return all;
  }

  /** The field of a commit on this one that adds an epoch. Its blocks go to `sink`. Throws as `check`. */
  async with(
    { heads }: Including,
    writer: WriterId,
    epoch: number,
    { nodes, sink, treeConfig }: { nodes: NodeStore; sink: BlockSink; treeConfig: TreeConfig },
  ): Promise<HeadsField> {
    if (isHeadsTree(heads))
      return { tree: await editTree(nodes, sink, treeConfig, heads.tree, [headRow(writer, epoch)]) };
    const all = new Map([...(await this.#list(heads)), [writer, epoch] as const]);
    const field = headsField(all, nodesInto(sink));
    if (field !== undefined) return field;
    const rows = [...all].toSorted(([a], [b]) => (a < b ? -1 : 1)).map((row) => headRow(...row));
    return { tree: await buildTree(nodes, sink, treeConfig, rows) };
  }

  async #list(field: Exclude<HeadsField, { tree: Cid }>): Promise<Heads> {
    if (!isLinked(field)) return field;
    if (this.#listed?.cid !== field.linked)
      this.#listed = { cid: field.linked, heads: decodeHeadsBlock(await this.#blocks.get(field.linked)) };
    return this.#listed.heads;
  }
}

/** Room for two paths through a tree. */
const NODES_BYTES = 1024 * 1024;
