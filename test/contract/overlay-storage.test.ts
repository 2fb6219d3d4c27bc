import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe } from "vitest";
import { DiskStorage } from "../../src/overlay/disk/disk-storage.ts";
import { SimulatedDisk } from "../../src/simulate/disks/simulated-disk.ts";
import { overlayStorageContract } from "./overlay-storage.ts";

const folder = mkdtempSync(join(tmpdir(), "syncline-overlay-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("disk", () => {
  overlayStorageContract(() => {
    const path = mkdtempSync(join(folder, "state-"));
    return (asOfNow = false) => {
      if (!asOfNow) return new DiskStorage(path);
      const copy = mkdtempSync(join(folder, "copy-"));
      cpSync(path, copy, { recursive: true });
      return new DiskStorage(copy);
    };
  });
});

describe("simulated", () => {
  overlayStorageContract(() => {
    const disk = new SimulatedDisk();
    return () => disk;
  });
});
