/** Roots that `--at` accepts by their address. */
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import type { Cid, Lamport } from "../../../src/base/ids.ts";
import type { BlockReader } from "../../../src/blocks/block-store.ts";
import { Bucket } from "../../../src/bucket/bucket.ts";
import { findCommit } from "../../../src/bucket/find-commit.ts";
import { headsOf, includeAll } from "../../support/many-writers.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { createBucket, newWriter, openBucket } from "../../support/test-bucket.ts";
import { dropKept } from "../../support/thinning.ts";

test("a root that retention removed is not found, even while its commit can still be read", async () => {
  const remote = new MemoryRemote();
  const context = await newWriter(await createBucket(remote), 2);
  const line: Cid[] = [];
  for (const thinned of [[], [], [1], [2]] as Lamport[][]) {
    line.push((await context.bucket.head()).commit.cid);
    await dropKept(context, thinned);
  }
  const bucket = await openBucket(remote);
  const { commit: head } = await bucket.head();
  const found = async (root: Cid) => (await findCommit(bucket, head, root, systemClock)).cid;
  const [first = head.cid, second = head.cid, third = head.cid, fourth = head.cid] = line;
  for (const root of [third, fourth, head.cid]) expect(await found(root)).toBe(root);
  for (const root of [first, second])
    await expect(found(root)).rejects.toMatchObject({
      code: "no_such_root",
      message: `Root ${root} is in the history, but retention removed its contents.`,
    });
});

test("finding a commit by time takes few requests, and reads no devices that commits include", async () => {
  const remote = new MemoryRemote();
  const context = await newWriter(await createBucket(remote), 2);
  await includeAll(context, headsOf(200), 1);
  const roots = 40;
  for (let made = 2; made < roots; made++) await includeAll(context, new Map(), made);

  let requests = 0;
  const counted: BlockReader = {
    get(cid) {
      requests++;
      return remote.blocks.get(cid);
    },
    getMany(cids) {
      if (cids.length > 0) requests++;
      return remote.blocks.getMany(cids);
    },
  };
  const bucket = await Bucket.open(remote, { blocks: counted });
  const { commit: head } = await bucket.head();
  requests = 0;
  await expect(findCommit(bucket, head, "2001-01-01", systemClock)).rejects.toMatchObject({ code: "no_such_root" });
  // Portions of the roots, the list of them, and some certificates.
  expect(requests).toBeLessThan(20);
});
