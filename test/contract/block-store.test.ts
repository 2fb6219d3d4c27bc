import { join } from "node:path";
import { afterAll, describe } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import type { BlockStore } from "../../src/blocks/block-store.ts";
import { CachedReader } from "../../src/blocks/cached-reader.ts";
import { DiskBlockCache } from "../../src/blocks/disk-block-cache.ts";
import { HttpBlockStore } from "../../src/blocks/http-block-store.ts";
import { MemoryBlockStore } from "../../src/blocks/memory-block-store.ts";
import { VerifiedReader } from "../../src/blocks/verified-reader.ts";
import { sharedMaster } from "../support/shared-master.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { blockStoreContract } from "./block-store.ts";

describe("memory", () => {
  blockStoreContract(async () => new MemoryBlockStore());
});

describe("verified", () => {
  blockStoreContract(async () => {
    const store = new MemoryBlockStore();
    const reader = new VerifiedReader(store);
    return storeOf(reader, store);
  });
});

describe("a large enough disk cache", () => {
  const opened: DiskBlockCache[] = [];
  afterAll(async () => {
    await Promise.all(opened.map((cache) => cache.close()));
  });
  blockStoreContract(async () => {
    const cache = new DiskBlockCache({ dir: join(await temporaryFolder(), "cache"), bytes: 1 << 26, log: silentLog });
    opened.push(cache);
    return storeOf(new CachedReader(cache, new MemoryBlockStore()), {
      has: async (cids) => new Set((await cache.held(cids)).keys()),
      put: async (block) => {
        cache.keep([block]);
        await cache.settled();
      },
    });
  });
});

describe("a master process", () => {
  const master = sharedMaster();
  blockStoreContract(async () => new HttpBlockStore(master.connect(), systemClock));
});

function storeOf(reader: Pick<BlockStore, "get" | "getMany">, store: Pick<BlockStore, "has" | "put">): BlockStore {
  return {
    get: (cid) => reader.get(cid),
    getMany: (cids) => reader.getMany(cids),
    has: (cids) => store.has(cids),
    put: (block) => store.put(block),
  };
}
