/** The storage of a bucket as `verify` sees it. */
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { openPacked } from "../../../../src/bucket/open-remote.ts";
import { verifyBucket } from "../../../../src/bucket/verify.ts";
import { openVerified } from "../../../../src/cli/commands/verified-storage.ts";
import { masterAccess } from "../../../../src/net/access.ts";
import { CAR_TYPE } from "../../../../src/format/blocks/car.ts";
import { carOf } from "../../../support/car.ts";
import { raw } from "../../../support/opaque-commits.ts";
import { scriptedServer } from "../../../support/scripted-server.ts";
import { createBucket, OWNER } from "../../../support/test-bucket.ts";
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

test("an answer of a master that breaks off is requested again", async () => {
  const server = await scriptedServer();
  const blocks = [raw("one"), raw("two")];
  const car = carOf(...blocks);
  server.answer = (_request, response) => {
    response.writeHead(200, { "content-type": CAR_TYPE, "content-length": car.length });
    if (server.seen.length > 1) response.end(car);
    else response.write(car.subarray(0, car.length - 1), () => response.destroy());
  };
  const access = masterAccess({ wallet: async () => OWNER, clock: systemClock });
  await using storage = await openVerified(`${server.origin}/notes`, {
    clock: systemClock,
    random: systemRandom,
    access,
  });
  const cids = blocks.map(({ cid }) => cid);
  expect([...(await storage.blocks.getMany(cids)).keys()].sort()).toEqual(cids.sort());
});
