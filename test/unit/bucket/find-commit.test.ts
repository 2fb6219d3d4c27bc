/** Roots that `--at` accepts by their address. */
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import type { Cid, Lamport } from "../../../src/base/ids.ts";
import { findCommit } from "../../../src/bucket/find-commit.ts";
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
