/** The context of a merge, in memory. */
import type { WriterId } from "../../src/base/ids.ts";
import type { MergeContext } from "../../src/fstree/merge/context.ts";
import { ChunkCache } from "../../src/content/chunk-cache.ts";
import { createContentConfig } from "../../src/content/config.ts";
import { DEFAULT_POLICY } from "../../src/format/commits/policy.ts";
import { createTreeConfig } from "../../src/tree/boundary.ts";
import { NodeStore } from "../../src/tree/node-store.ts";
import { BlockMap } from "./block-map.ts";

/** The scenarios' policy: `.txt`, `.md`, `.json` and `.c` are text, `.log` is a log. Small nodes: trees have several. */
export function createMergeContext(blocks: BlockMap = new BlockMap()): MergeContext {
  return {
    nodes: new NodeStore(blocks, { capacityBytes: 64 * 1024 * 1024 }),
    content: new ChunkCache(blocks, { capacityBytes: 16 * 1024 * 1024 }),
    blocks,
    sink: blocks,
    treeConfig: createTreeConfig({ salt: new Uint8Array(32), targetBytes: 1024 }),
    contentConfig: createContentConfig(),
    policy: { ...DEFAULT_POLICY, text: ["*.c", "*.json", "*.md", "*.txt"], logs: ["*.log"] },
  };
}

/** A writer id that sorts as its label does. */
export function writerId(label: string): WriterId {
  return Buffer.from(label).toString("hex").padStart(32, "0") as WriterId;
}
