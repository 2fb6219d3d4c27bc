/** The walk that finds what a root lacks: what it costs, and what hostile blocks cost it. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Budget } from "../../../../src/base/budget.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { MAX_MISSING_TOLD, MAX_WALK_DEPTH, WALK_LINKS, WALKS_BYTES } from "../../../../src/master/limits.ts";
import { nextTurn } from "../../../../src/base/concurrency.ts";
import { TimeSlice } from "../../../../src/base/time-slice.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { cidOf, codecOf } from "../../../../src/format/blocks/cid.ts";
import { linksOf } from "../../../../src/format/blocks/links.ts";
import { checkComplete } from "../../../../src/master/roots/completeness.ts";
import type { OwnerBlocks } from "../../../../src/master/store/owner-blocks.ts";
import { buildTree, editTree } from "../../../../src/tree/edit.ts";
import type { Entry } from "../../../../src/tree/entry.ts";
import { blockOf, nodeBlock } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemoryOwnerBlocks } from "../../../support/memory-owner-blocks.ts";
import { testTrees } from "../../../support/trees.ts";

const UNHURRIED = new TimeSlice(new ManualClock(), 5);

describe("the cost of a check", () => {
  test("only new nodes are visited after one edit in a tree of 100,000 entries", async () => {
    const blocks = new WatchedBlocks();
    const { nodes, config, blocks: made } = testTrees({ targetBytes: 16_384, capacityBytes: 1 << 26 });
    const root = await buildTree(nodes, made, config, entries(100_000));
    await blocks.put(made.puts);
    const all = made.puts.length;
    expect(await walk(blocks, root)).toEqual({ kind: "complete" });
    expect(new Set(blocks.reads).size).toBe(all);

    blocks.reads.length = made.puts.length = 0;
    const [edited] = entries(1, 50_000);
    const next = await editTree(nodes, made, config, root, [
      { key: Buffer.alloc(0), links: [], ...edited, value: Buffer.from("new") },
    ]);
    await blocks.put(made.puts);
    expect(await walk(blocks, next)).toEqual({ kind: "complete" });
    expect(blocks.reads.sort()).toEqual(made.puts.map(({ cid }) => cid).sort());
    expect(blocks.reads.length).toBeLessThan(5);
    expect(all).toBeGreaterThan(200);
  }, 60_000);

  test("a walk that found a missing block resumes where it ended", async () => {
    const blocks = new WatchedBlocks();
    const leaves = Array.from({ length: 50 }, (_, index) => nodeBlock(`leaf ${index}`));
    const root = nodeBlock("root", ...leaves);
    await blocks.put([root, ...leaves.slice(1)]);
    expect(await walk(blocks, root.cid)).toEqual({ kind: "missing", missing: [leaves[0]?.cid] });
    await blocks.put(leaves);
    blocks.reads.length = 0;
    expect(await walk(blocks, root.cid)).toEqual({ kind: "complete" });
    expect(blocks.reads).toEqual([root.cid, leaves[0]?.cid]);
  });

  test("other work proceeds during a walk", async () => {
    const blocks = new WatchedBlocks();
    const leaves = Array.from({ length: 500 }, (_, index) => nodeBlock(`leaf ${index}`));
    const root = nodeBlock("root", ...leaves);
    await blocks.put([root, ...leaves]);
    let now = 0;
    const another = { turns: 0, over: false };
    const ended = (async () => {
      for (; !another.over; another.turns++) await nextTurn();
    })();
    // Each question takes a millisecond.
    const clock = Object.assign(new ManualClock(), { monotonicMs: () => now++ });
    await checkComplete({ blocks, pace: new TimeSlice(clock, 5), memory: new Budget(WALKS_BYTES), era: 0 }, root.cid);
    another.over = true;
    await ended;
    expect(another.turns).toBeGreaterThan(100);
  });
});

describe("hostile blocks", () => {
  test("a chain that is too deep is refused, and one at the limit is walked", async () => {
    for (const [depth, kind] of [
      [MAX_WALK_DEPTH, "complete"],
      [MAX_WALK_DEPTH + 1, "malformed"],
    ] as const) {
      const blocks = new WatchedBlocks();
      const chain = [nodeBlock("end")];
      while (chain.length < depth) chain.push(nodeBlock("link", chain.at(-1) as Block));
      await blocks.put(chain);
      expect((await walk(blocks, chain.at(-1)?.cid as Cid)).kind).toBe(kind);
    }
  });

  test("a collection walks a chain of any depth, built up in stages, in bounded memory", async () => {
    const blocks = new WatchedBlocks();
    const beside = Array.from({ length: 20 }, (_, index) => nodeBlock(`beside ${index}`));
    const chain = [nodeBlock("end")];
    while (chain.length < 10 * MAX_WALK_DEPTH) {
      const side = beside[chain.length % beside.length] as Block;
      chain.push(nodeBlock(`${chain.length}`, side, chain.at(-1) as Block, side));
    }
    await blocks.put([...chain, ...beside]);
    const root = chain.at(-1)?.cid as Cid;
    const walking = { blocks, pace: UNHURRIED, memory: new Budget(WALKS_BYTES), anyDepth: true, era: 0 };
    expect(await checkComplete(walking, root)).toEqual({ kind: "complete" });
    expect((await blocks.complete(chain.map(({ cid }) => cid))).size).toBe(chain.length);
    expect(blocks.reads.length).toBeLessThan(2.5 * chain.length);
    blocks.remove(chain[0]?.cid as Cid);
    expect(await checkComplete(walking, root)).toEqual({ kind: "missing", missing: [chain[0]?.cid] });
  });

  test("2^200 paths to a missing block are not all walked", async () => {
    const blocks = new WatchedBlocks();
    const missing = nodeBlock("missing");
    let [left, right] = [missing, missing];
    for (let height = 0; height < 200; height++) {
      [left, right] = [nodeBlock(`${height} a`, left, right), nodeBlock(`${height} b`, left, right)];
      await blocks.put([left, right]);
    }
    expect(await walk(blocks, left.cid)).toEqual({ kind: "missing", missing: [missing.cid] });
    expect(blocks.reads.length).toBeLessThanOrEqual(400);
  });

  test("a node of 4 MiB is checked in pieces", async () => {
    const blocks = new WatchedBlocks();
    const chunk = blockOf("raw", Buffer.from("chunk"));
    const huge = nodeBlock("huge", ...Array.from({ length: 100_000 }, () => chunk));
    await blocks.put([huge, chunk]);
    expect(huge.bytes.length).toBeGreaterThan(4_000_000);
    expect(await walk(blocks, huge.cid)).toEqual({ kind: "complete" });
    expect(Math.max(...blocks.asked)).toBeLessThanOrEqual(256);
    expect(blocks.reads).toEqual([huge.cid]);
  });

  test("nested nodes of a megabyte each are not all kept in memory", async () => {
    const blocks = new WatchedBlocks();
    const chain = await heavyChain(blocks, WALK_LINKS + 10);
    expect(await walk(blocks, chain)).toEqual({ kind: "complete" });
    // Given up on the way down, read again on the way up: those that did not fit.
    const again = blocks.reads.length - new Set(blocks.reads).size;
    expect(again).toBeGreaterThan(30);
    expect(again).toBeLessThan(60);
  });

  test("a node is released once all its links are checked", async () => {
    const blocks = new WatchedBlocks();
    const memory = new Budget(1e9);
    let most = 0;
    blocks.onRead = () => (most = Math.max(most, memory.used));
    const chain = await heavyChain(blocks, 3);
    expect(await checkComplete({ blocks, pace: UNHURRIED, memory, era: 0 }, chain)).toEqual({ kind: "complete" });
    expect(new Set(blocks.reads).size).toBe(blocks.reads.length);
    expect(most).toBeLessThan(1.3 * (1 << 20));
    expect(memory.used).toBe(0);
  });

  test("many concurrent walks stay within the shared memory limit, and none waits forever", async () => {
    const memory = new Budget(4 << 20);
    let most = 0;
    const walks = Array.from({ length: 10 }, async (_, index) => {
      const blocks = new WatchedBlocks();
      const chain = await heavyChain(blocks, WALK_LINKS + 10, 8, `${index}`);
      blocks.get = async (cid) => {
        most = Math.max(most, memory.used);
        await nextTurn();
        return MemoryOwnerBlocks.prototype.get.call(blocks, cid);
      };
      return checkComplete({ blocks, pace: UNHURRIED, memory, era: 0 }, chain);
    });
    expect(await Promise.all(walks)).toEqual(walks.map(() => ({ kind: "complete" })));
    expect(most).toBeGreaterThan(3 << 20);
    expect(most).toBeLessThanOrEqual(4 << 20);
    expect(memory.used).toBe(0);
  });

  test(`only ${MAX_MISSING_TOLD} of thousands of missing blocks are named`, async () => {
    const blocks = new WatchedBlocks();
    const gone = Array.from({ length: 3_000 }, (_, index) => blockOf("raw", Buffer.from(`${index}`)));
    const root = nodeBlock("root", ...gone);
    await blocks.put([root]);
    const found = await walk(blocks, root.cid);
    expect(found).toEqual({ kind: "missing", missing: gone.slice(0, MAX_MISSING_TOLD).map(({ cid }) => cid) });
  });

  test("a block that is not dag-cbor, or links with another hash, is named", async () => {
    const sha256 = Buffer.concat([Buffer.from("d82a58250001711220", "hex"), Buffer.alloc(32)]);
    for (const bytes of [sha256, Buffer.of(0xff), Buffer.of(0x18, 0x00), new Uint8Array()]) {
      const blocks = new WatchedBlocks();
      const broken = blockOf("dag-cbor", bytes);
      const root = nodeBlock("root", broken);
      await blocks.put([root, broken]);
      expect(await walk(blocks, root.cid)).toMatchObject({ kind: "malformed", cid: broken.cid });
      expect(await blocks.complete([root.cid, broken.cid])).toEqual(new Set());
    }
  });

  test("a block that disappears during the walk counts as missing", async () => {
    const blocks = new WatchedBlocks();
    const leaf = nodeBlock("leaf");
    const root = nodeBlock("root", leaf);
    await blocks.put([root, leaf]);
    blocks.onRead = () => blocks.remove(leaf.cid);
    expect(await walk(blocks, root.cid)).toEqual({ kind: "missing", missing: [leaf.cid] });
  });
});

test("a walk finds what is missing, and remembers only complete nodes as complete", async () => {
  const graph = fc.array(
    fc.record({ links: fc.array(fc.nat(), { maxLength: 4 }), raw: fc.boolean(), gone: fc.nat(9) }),
    { minLength: 1, maxLength: 30 },
  );
  await fc.assert(
    fc.asyncProperty(graph, fc.nat(), async (shape, chosen) => {
      const made: Block[] = [];
      for (const [index, { links, raw }] of shape.entries()) {
        const below = made.length === 0 ? [] : links.map((link) => made[link % made.length] as Block);
        made.push(raw ? blockOf("raw", Buffer.from(`${index}`)) : nodeBlock(`${index}`, ...below));
      }
      const blocks = new WatchedBlocks();
      const stored = made.filter((_, index) => shape[index]?.gone !== 0);
      await blocks.put(stored);
      const root = (made[chosen % made.length] as Block).cid;
      const reached = reach(root, new Map(stored.map(({ cid, bytes }) => [cid, bytes])));
      const missing = [...reached].filter((cid) => !stored.some((block) => block.cid === cid)).sort();

      const found = await walk(blocks, root);
      expect(found.kind === "missing" ? [...found.missing].sort() : found.kind === "complete" ? [] : found).toEqual(
        missing,
      );
      for (const cid of await blocks.complete(made.map((block) => block.cid))) {
        const below = reach(cid, new Map(made.map((block) => [block.cid, block.bytes])));
        expect(await blocks.has([...below])).toEqual(below);
      }
      const known = (await blocks.complete([root])).has(root);
      expect(known).toBe(missing.length === 0 && codecOf(root) === "dag-cbor");
    }),
    { numRuns: process.env["SYNCLINE_TEST_ALL"] === undefined ? 200 : 5_000 },
  );
}, 60_000);

/** Counts what is asked and read. Marks must come for children before their parents, or all at once. */
class WatchedBlocks extends MemoryOwnerBlocks {
  readonly reads: Cid[] = [];
  readonly asked: number[] = [];
  onRead = () => {};

  override async get(cid: Cid): Promise<Uint8Array> {
    this.reads.push(cid);
    const bytes = await super.get(cid);
    this.onRead();
    return bytes;
  }

  override async markComplete(cids: readonly Cid[]): Promise<void> {
    for (const cid of cids) {
      const links = linksOf(cid, await super.get(cid));
      const nodes = links.filter((link) => codecOf(link) === "dag-cbor" && !cids.includes(link));
      if ((await super.has(links)).size < new Set(links).size) throw new Error(`${cid} is not complete`);
      if ((await super.complete(nodes)).size < new Set(nodes).size) throw new Error(`${cid} is marked too early`);
    }
    await super.markComplete(cids);
  }

  override async has(cids: readonly Cid[]): Promise<Set<Cid>> {
    this.asked.push(cids.length);
    return super.has(cids);
  }
}

/** Nodes of 1 MiB below one another, each with so many links, the one below first. */
async function heavyChain(blocks: OwnerBlocks, links: number, length = 60, name = ""): Promise<Cid> {
  const ballast = "x".repeat(1 << 20);
  const beside = Array.from({ length: links - 1 }, (_, index) => blockOf("raw", Buffer.from(`beside ${index}`)));
  const chain = [nodeBlock(`end${name}`)];
  while (chain.length < length) chain.push(nodeBlock(`${ballast}${chain.length}`, chain.at(-1) as Block, ...beside));
  await blocks.put([...chain, ...beside]);
  return chain.at(-1)?.cid as Cid;
}

function walk(blocks: MemoryOwnerBlocks, root: Cid) {
  return checkComplete({ blocks, pace: UNHURRIED, memory: new Budget(WALKS_BYTES), era: 0 }, root);
}

/** All that a block reaches, itself too, through what is stored. */
function reach(root: Cid, stored: ReadonlyMap<Cid, Uint8Array>): Set<Cid> {
  const reached = new Set([root]);
  for (const cid of reached) {
    const bytes = stored.get(cid);
    if (bytes !== undefined) for (const link of linksOf(cid, bytes)) reached.add(link);
  }
  return reached;
}

function entries(count: number, from = 0): Entry[] {
  return Array.from({ length: count }, (_, index) => ({
    key: Buffer.from(`key ${String(from + index).padStart(8, "0")}`),
    value: Buffer.from(`${cidOf("raw", Buffer.of(index % 256))}`),
    links: [],
  }));
}
