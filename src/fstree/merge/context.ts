/** A merge's sources, sink and policy. The same inputs give the same tree on every machine. */
import type { WriterId, Cid, Lamport } from "../../base/ids.ts";
import type { BlockReader, BlockSink } from "../../blocks/block-store.ts";
import type { ContentConfig } from "../../content/config.ts";
import type { ContentSource } from "../../content/source.ts";
import type { Policy } from "../../format/commits/policy.ts";
import type { TreeConfig } from "../../tree/boundary.ts";
import type { NodeStore } from "../../tree/node-store.ts";

export interface MergeContext {
  /** Tree nodes of all three trees. */
  readonly nodes: NodeStore;
  /** Contents of all three trees. */
  readonly content: ContentSource;
  /** Long extended attributes and symlink targets. */
  readonly blocks: BlockReader;
  /** Takes new tree nodes, contents of merged files, and long values. */
  readonly sink: BlockSink;
  readonly treeConfig: TreeConfig;
  readonly contentConfig: ContentConfig;
  /** The base's policy. */
  readonly policy: Policy;
  /** Contents of the base that may be gone: if they are, nothing is merged with them. */
  readonly gone?: ReadonlySet<Cid>;
}

/** One of the two commits that are merged, or a sealed epoch that is not published yet. */
export interface Head {
  readonly tree: Cid;
  /** The commit's seq; of a sealed epoch, its base's seq + 1. */
  readonly lamport: Lamport;
  readonly writer: WriterId;
  readonly epoch: number;
}

/** Whether `x` wins over `y`: the greater (seq, writer, epoch) wins. Clocks and the question which is ours play no part. */
export function wins(x: Head, y: Head): boolean {
  if (x.lamport !== y.lamport) return x.lamport > y.lamport;
  if (x.writer !== y.writer) return x.writer > y.writer;
  return x.epoch > y.epoch;
}
