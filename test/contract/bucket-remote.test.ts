import { join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import type { WriterId } from "../../src/base/ids.ts";
import { systemRandom } from "../../src/base/random.ts";
import { openRemote } from "../../src/bucket/open-remote.ts";
import { PackedRemote } from "../../src/bucket/packed/packed-remote.ts";
import { MemoryObjectStore } from "../../src/objects/memory-object-store.ts";
import { S3BucketStore } from "../../src/objects/s3/s3-bucket-store.ts";
import { openHistoryBucket } from "../support/history-access.ts";
import { sharedMaster } from "../support/shared-master.ts";
import { s3Store, S3Server, serversHere } from "../support/s3-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { bucketRemoteContract } from "./bucket-remote.ts";

let agents = 0;
const agent = () => {
  const writer = (++agents).toString(16).padStart(32, "0") as WriterId;
  return { clock: systemClock, random: systemRandom, writer: () => writer };
};

describe("packs in memory", () => {
  bucketRemoteContract(async () => {
    const store = new MemoryObjectStore();
    return async () => new PackedRemote(store, { ...agent(), pollMs: 5 });
  });
});

describe("packs in a folder", () => {
  bucketRemoteContract(async () => {
    const address = `file://${join(await temporaryFolder(), "bucket")}`;
    return () => openRemote(address, agent());
  });
});

describe("a master process", () => {
  const master = sharedMaster();
  bucketRemoteContract(async () => {
    const address = master.newBucket();
    return async () => master.keep(await openHistoryBucket(address));
  });
});

describe.each(serversHere("versitygw").here)("packs in S3 (%s)", (name) => {
  let server: S3Server;
  let buckets = 0;
  beforeAll(async () => {
    server = await S3Server.start(name, await temporaryFolder());
  });
  afterAll(() => server.kill());

  describe.each(["replaced", "numbered"] as const)("with a root that is %s", (form) => {
    bucketRemoteContract(async () => {
      const prefix = `b${++buckets}/`;
      const checks = { chooseForm: async () => form, checkForm: async () => {} };
      const polling = { firstMs: 5, lastMs: 5 };
      return async () =>
        new PackedRemote(
          new S3BucketStore({ store: s3Store(server, prefix), clock: systemClock, polling, ...checks }),
          agent(),
        );
    });
  });
});
