import { join } from "node:path";
import { describe } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { FileObjectStore } from "../../src/objects/file-object-store.ts";
import { MemoryObjectStore } from "../../src/objects/memory-object-store.ts";
import { promptDisk } from "../../src/objects/prompt-disk.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { objectStoreContract } from "./object-store.ts";

const ports = { clock: systemClock, random: systemRandom };
const EXT4 = 0xef53;

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
describe("file, with inline reads", () => {
  objectStoreContract(async () => {
    const path = join(await temporaryFolder(), "deep", "bucket");
    const disk = promptDisk({ path, clock: systemClock, kindOf: async () => EXT4 });
    return new FileObjectStore({ path, address: `file://${path}`, disk, ...ports });
  });
});
