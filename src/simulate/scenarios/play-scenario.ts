/** Plays a scenario with an agent's code: two overlays, two builds, one merge, in memory. */
import { type Cid, type FileId, type Lamport, ROOT_ID, type WriterId } from "../../base/ids.ts";
import { nameToText } from "../../base/names.ts";
import { MemoryBlockStore } from "../../blocks/memory-block-store.ts";
import { rootDirectoryTree } from "../../bucket/bucket.ts";
import { listDirectory, lookup } from "../../fstree/fs-reader.ts";
import type { Head, MergeContext } from "../../fstree/merge/context.ts";
import { mergeSnapshots } from "../../fstree/merge/merge-snapshots.ts";
import { ChunkCache } from "../../content/chunk-cache.ts";
import { createContentConfig } from "../../content/config.ts";
import { readContent } from "../../content/read.ts";
import { linkedValues, targetOf } from "../../format/blocks/linked-value.ts";
import { DEFAULT_POLICY } from "../../format/commits/policy.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { createTreeConfig } from "../../tree/boundary.ts";
import { NodeStore } from "../../tree/node-store.ts";
import { expectedPaths, type Listing, type Scenario, sortedListing } from "./scenario.ts";
import { compareAttributes } from "./scenario-attributes.ts";
import { ScenarioWriter } from "./scenario-writer.ts";

export interface PlayedScenario {
  readonly name: string;
  /** Whether paths and conflicts are exactly as expected, and the heads in the other order give the same tree. */
  readonly ok: boolean;
  readonly got: Listing;
  /** Copies, displaced names and dropped moves. */
  readonly conflicts: number;
  readonly expected: { readonly paths: Listing; readonly conflicts: number };
}

/** Throws any error of the code that it runs: none is expected. */
export async function playScenario(scenario: Scenario): Promise<PlayedScenario> {
  const context = contextInMemory();
  const empty = await rootDirectoryTree(context.nodes, context.sink, context.treeConfig, EMPTY_ROOT);
  const base = (await new ScenarioWriter(context, empty, 0n).play(scenario.base)).tree;
  const x = await headOf(context, base, scenario, "x");
  const y = await headOf(context, base, scenario, "y");
  const { tree, conflicts } = await mergeSnapshots(context, base, x, y);
  const swapped = await mergeSnapshots(context, base, y, x);
  const there = await listingOf(context, tree);
  const attributes = await compareAttributes(context, tree, scenario);
  const got = { ...there, ...attributes.got };
  const paths = { ...expectedPaths(scenario, there), ...attributes.expected };
  const expected = { paths, conflicts: scenario.expect.conflicts };
  const same = JSON.stringify(got) === JSON.stringify(expected.paths) && conflicts.length === expected.conflicts;
  return { name: scenario.name, ok: same && swapped.tree === tree, got, conflicts: conflicts.length, expected };
}

const MiB = 1024 * 1024;
const EMPTY_ROOT = { mode: 0o755, uid: 0, gid: 0, timeNs: 0n };
/** Both heads have the same counter, so that the writers' ids decide. */
const LAMPORT = 7 as Lamport;
/** The writers' clocks are a second apart. */
const START_NS = { x: 1_000_000_000n, y: 2_000_000_000n };

/** Has the scenarios' globs of text and logs, and small nodes, so that trees have several. */
function contextInMemory(): MergeContext {
  const blocks = new MemoryBlockStore();
  return {
    nodes: new NodeStore(blocks, { capacityBytes: MiB }),
    content: new ChunkCache(blocks, { capacityBytes: MiB }),
    blocks,
    sink: blocks,
    treeConfig: createTreeConfig({ salt: new Uint8Array(32), targetBytes: 1024 }),
    contentConfig: createContentConfig(),
    policy: { ...DEFAULT_POLICY, text: ["*.c", "*.json", "*.md", "*.txt"], logs: ["*.log"] },
  };
}

async function headOf(context: MergeContext, base: Cid, scenario: Scenario, label: "x" | "y"): Promise<Head> {
  const { tree, epoch } = await new ScenarioWriter(context, base, START_NS[label]).play(scenario[label]);
  const writer = Buffer.from(label).toString("hex").padStart(32, "0") as WriterId;
  return { tree, lamport: LAMPORT, writer, epoch };
}

async function listingOf(context: MergeContext, tree: Cid): Promise<Listing> {
  const entries: [string, string][] = [];
  const visit = async (directory: FileId, prefix: string): Promise<void> => {
    for await (const { name } of listDirectory(context.nodes, tree, directory)) {
      const child = await lookup(context.nodes, tree, { parent: directory, name });
      if (child === undefined) continue;
      const path = prefix + nameToText(name);
      entries.push([path, await textOf(context, child.record)]);
      if (child.record.type === "directory") await visit(child.id, `${path}/`);
    }
  };
  await visit(ROOT_ID, "");
  return sortedListing(entries);
}

async function textOf({ content, blocks }: MergeContext, record: FileRecord): Promise<string> {
  if (record.type === "directory") return "dir";
  if (record.type !== "symlink")
    return Buffer.from(await readContent(content, record.content, record.size, 0, record.size)).toString("utf8");
  const linked = await blocks.getMany(linkedValues(record));
  const target = targetOf(record, (cid) => linked.get(cid) ?? new Uint8Array());
  return `-> ${Buffer.from(target, "latin1").toString("utf8")}`;
}
