import { join } from "node:path";
import { describe } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { FileObjectStore } from "../../src/objects/file-object-store.ts";
import { MemoryObjectStore } from "../../src/objects/memory-object-store.ts";
import { MemoryRootStore } from "../../src/roots/memory-root-store.ts";
import { ObjectRootStore, ONLY_BUCKET } from "../../src/roots/object-root-store.ts";
import { SqliteRootStore } from "../../src/roots/sqlite-root-store.ts";
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
