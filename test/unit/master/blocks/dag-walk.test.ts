/** Blocks below one, for an answer: in which order, and in whose memory. */
import { expect, test } from "vitest";
import { Link } from "../../../../src/format/blocks/dag-cbor.ts";
import { walkDag } from "../../../../src/master/blocks/dag-walk.ts";
import { FairBudget } from "../../../../src/http/fair-budget.ts";
import { MemoryOwnerBlocks } from "../../../support/memory-owner-blocks.ts";
import { raw } from "../../../support/opaque-commits.ts";
import { cborBlock } from "../../../support/signed-history.ts";

test("a block's memory is reserved before it is read, and released before the next block's", async () => {
  const blocks = new MemoryOwnerBlocks();
  const leaf = raw("leaf".repeat(250));
  const root = cborBlock(new Link(leaf.cid));
  await blocks.put([leaf, root]);
  const reads: string[] = [];
  const get = blocks.get.bind(blocks);
  blocks.get = async (cid) => {
    reads.push(cid);
    return get(cid);
  };
  const answers = new FairBudget(1_000, 1_000);
  const { signal } = new AbortController();
  await answers.take("another", 1_000, signal);
  const walk = walkDag({ blocks, answers, walks: new FairBudget(0, 0), owner: "me", signal }, root.cid);
  const first = walk.next();
  await expect.poll(() => answers.owners).toBe(2);
  expect(reads).toEqual([]);
  answers.give("another", 1_000);
  expect(await first).toMatchObject({ value: { cid: root.cid } });
  expect(answers.used).toBe(root.bytes.length);
  expect(await walk.next()).toMatchObject({ value: { cid: leaf.cid } });
  expect(answers.used).toBe(1_000);
  await walk.return(undefined);
  expect(answers.used).toBe(0);
});

test("large walks share a memory budget, which small walks do not need", async () => {
  const blocks = new MemoryOwnerBlocks();
  const answers = new FairBudget(1e9, 1e9);
  const walks = new FairBudget(1, 1);
  const { signal } = new AbortController();
  const leaf = raw("leaf");
  const wide = cborBlock(Array.from({ length: 15_000 }, () => new Link(leaf.cid)));
  const small = cborBlock(new Link(leaf.cid));
  await blocks.put([leaf, wide, small]);
  const walk = (root: string) => walkDag({ blocks, answers, walks, owner: "me", signal }, root as never);
  const first = walk(wide.cid);
  await first.next();
  await first.next();
  expect(walks.used).toBe(1);
  const second = walk(wide.cid);
  await second.next();
  await expect(second.next()).rejects.toMatchObject({ code: "limit_exceeded" });
  const seen: string[] = [];
  for await (const { cid } of walk(small.cid)) seen.push(cid);
  expect(seen).toEqual([small.cid, leaf.cid]);
  await first.return(undefined);
  expect(walks.used).toBe(0);
  expect(walks.owners).toBe(0);
});
