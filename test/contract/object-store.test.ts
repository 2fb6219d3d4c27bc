import { join } from "node:path";
import { describe } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { FileObjectStore } from "../../src/objects/file-object-store.ts";
import { MemoryObjectStore } from "../../src/objects/memory-object-store.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { objectStoreContract } from "./object-store.ts";

const ports = { clock: systemClock, random: systemRandom };

describe("memory", () => {
  objectStoreContract(async () => new MemoryObjectStore());
});
describe("memory with a clock", () => {
  objectStoreContract(async () => new MemoryObjectStore("memory:", () => performance.now()));
});
describe("file", () => {
  objectStoreContract(async () => {
    const path = join(await temporaryFolder(), "deep", "bucket");
    return new FileObjectStore({ path, address: `file://${path}`, ...ports });
  });
});
