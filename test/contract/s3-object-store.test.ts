/** S3 servers as object stores, and as buckets' stores in both forms of the root: real servers (`scripts/lib/servers.sh`). */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { S3BucketStore } from "../../src/objects/s3/s3-bucket-store.ts";
import { s3Store, S3Server, serversHere } from "../support/s3-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { objectStoreContract } from "./object-store.ts";

const { here, missing } = serversHere("versitygw", "minio with --all", "gofakes3 with --all", "ministack with --all");
test.skipIf(missing.length > 0)(
  `every server can be had here; skipped for want of: ${missing.join(", ") || "none"}`,
  () => {
    expect(missing).toEqual([]);
  },
);

describe.each(here)("%s", (name) => {
  let server: S3Server;
  let opened = 0;
  beforeAll(async () => {
    server = await S3Server.start(name, await temporaryFolder());
  });
  afterAll(() => server.kill());
  const fresh = () => s3Store(server, `p${++opened}/`);

  describe("objects", () => {
    objectStoreContract(async () => fresh());
  });
  describe.each(["replaced", "numbered"] as const)("a bucket whose root is %s", (form) => {
    objectStoreContract(async () => {
      const options = { clock: systemClock, chooseForm: async () => form, checkForm: async () => {} };
      return new S3BucketStore({ store: fresh(), ...options });
    });
  });
});
