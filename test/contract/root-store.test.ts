import { join } from "node:path";
import { beforeAll, describe } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { MasterConnection } from "../../src/net/master-connection.ts";
import { FileObjectStore } from "../../src/objects/file-object-store.ts";
import { MemoryObjectStore } from "../../src/objects/memory-object-store.ts";
import { HttpRootStore } from "../../src/roots/http-root-store.ts";
import { MemoryRootStore } from "../support/memory-root-store.ts";
import { ObjectRootStore, ONLY_BUCKET } from "../../src/roots/object-root-store.ts";
import type { BucketName } from "../../src/roots/root-store.ts";
import { SqliteRootStore } from "../../src/roots/sqlite-root-store.ts";
import { sharedMaster } from "../support/shared-master.ts";
import { SignedCommits } from "../support/signed-commits.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { rootStoreContract } from "./root-store.ts";

const ports = { clock: systemClock, random: systemRandom };
const only = { name: ONLY_BUCKET, single: true };

describe("memory", () => {
  rootStoreContract({ open: async () => new MemoryRootStore() });
});
describe("objects in memory", () => {
  rootStoreContract({ ...only, open: async () => new ObjectRootStore(new MemoryObjectStore()) });
});
describe("objects in a folder", () => {
  rootStoreContract({
    ...only,
    open: async () => {
      const path = await temporaryFolder();
      return new ObjectRootStore(new FileObjectStore({ path, address: `file://${path}`, ...ports }));
    },
  });
});
describe("sqlite", () => {
  rootStoreContract({ open: async () => new SqliteRootStore(join(await temporaryFolder(), "roots.db")) });
});

describe("a master process", () => {
  const master = sharedMaster();
  let connection: MasterConnection;
  let commits: SignedCommits;
  let stores = 0;
  beforeAll(async () => {
    connection = master.connect();
    commits = await SignedCommits.open(connection);
  });
  rootStoreContract({
    name: { owner: "", bucket: "demo" },
    ownOnly: true,
    commits: (labels, parent) => commits.make(labels, parent),
    open: async () => {
      // Every test has a store of its own: here, buckets of its own.
      const own = ++stores;
      const store = new HttpRootStore(connection);
      const named = (name: BucketName) => ({ ...name, bucket: `${name.bucket}-${own}` });
      return {
        get: (name) => store.get(named(name)),
        swap: (name, expected, next) => store.swap(named(name), expected, next),
      };
    },
  });
});
