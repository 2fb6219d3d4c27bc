/** The storage of a bucket as `verify` sees it. */
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { openPacked } from "../../../../src/bucket/open-remote.ts";
import { verifyBucket } from "../../../../src/bucket/verify.ts";
import { openVerified } from "../../../../src/cli/commands/verified-storage.ts";
import { createBucket } from "../../../support/test-bucket.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test("for a bucket in a folder, the number of blocks that a walk visits is known in advance", async () => {
  const address = `file://${await temporaryFolder()}`;
  const ports = { clock: systemClock, random: systemRandom };
  await using remote = await openPacked(address, ports);
  const bucket = await createBucket(remote);
  await using storage = await openVerified(address, ports);
  const { blocks } = await verifyBucket(bucket, storage);
  expect(await storage.most()).toEqual({ blocks });
});
