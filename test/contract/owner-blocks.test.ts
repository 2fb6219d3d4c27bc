import { join } from "node:path";
import { afterAll, describe } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import type { Wallet } from "../../src/base/ids.ts";
import { silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { openMasterStore } from "../../src/master/store/master-store.ts";
import { MemoryOwnerBlocks } from "../support/memory-owner-blocks.ts";
import { SharedWorld } from "../support/shared-world.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { ownerBlocksContract } from "./owner-blocks.ts";

describe("an owner's blocks in memory", () => {
  ownerBlocksContract(async () => new MemoryOwnerBlocks());
});

describe("an owner's blocks in packs", async () => {
  const store = await openMasterStore({
    dir: join(await temporaryFolder(), "data"),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    maxOpenOwners: 2,
  });
  afterAll(() => store[Symbol.asyncDispose]());
  let owners = 0;
  ownerBlocksContract(() => store.of(`0x${String(++owners).padStart(40, "0")}` as Wallet));
});

describe("an owner's blocks in packs that the arbiter's log names", () => {
  const world = new SharedWorld();
  const master = world.master().stores;
  let owners = 0;
  ownerBlocksContract(() => master.of(`0x${String(++owners).padStart(40, "0")}` as Wallet));
});
