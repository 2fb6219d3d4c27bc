import { join } from "node:path";
import { describe } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import type { WriterId } from "../../src/base/ids.ts";
import { systemRandom } from "../../src/base/random.ts";
import { openRemote } from "../../src/bucket/open-remote.ts";
import { PackedRemote } from "../../src/bucket/packed/packed-remote.ts";
import { MemoryObjectStore } from "../../src/objects/memory-object-store.ts";
import { openHistoryBucket } from "../support/history-access.ts";
import { sharedMaster } from "../support/shared-master.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { bucketRemoteContract } from "./bucket-remote.ts";

let agents = 0;
const agent = () => ({
  clock: systemClock,
  random: systemRandom,
  writer: (++agents).toString(16).padStart(32, "0") as WriterId,
});

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
