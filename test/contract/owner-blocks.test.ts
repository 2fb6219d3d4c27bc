import { describe } from "vitest";
import { MemoryOwnerBlocks } from "../support/memory-owner-blocks.ts";
import { ownerBlocksContract } from "./owner-blocks.ts";

describe("owner's blocks in memory", () => {
  ownerBlocksContract(async () => new MemoryOwnerBlocks());
});
