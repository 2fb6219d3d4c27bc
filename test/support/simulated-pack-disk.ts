/** The simulator's disk for a master's packs, with real folders, which hold the index and the lock. */
import { mkdirSync } from "node:fs";
import type { FaultyDisk } from "../../src/simulate/disks/faulty-disk.ts";
import { SimulatedPackDisk as Simulated } from "../../src/simulate/master/simulated-pack-disk.ts";

export type { DiskCall as PackDiskCall } from "../../src/simulate/disks/faulty-disk.ts";

export class SimulatedPackDisk extends Simulated {
  constructor(disk?: FaultyDisk) {
    super(disk, (folder) => void mkdirSync(folder, { recursive: true }));
  }
}
