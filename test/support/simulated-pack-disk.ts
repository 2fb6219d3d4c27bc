/** The simulator's disk for a master's packs, with real folders, which hold the index and the lock. */
import { mkdirSync } from "node:fs";
import { SimulatedPackDisk as Simulated } from "../../src/simulate/master/simulated-pack-disk.ts";
import type { SimulatedInode } from "../../src/simulate/disks/simulated-files.ts";

export type { PackDiskCall } from "../../src/simulate/master/simulated-pack-disk.ts";

export class SimulatedPackDisk extends Simulated {
  constructor(names?: Map<string, SimulatedInode>) {
    super(names, (folder) => void mkdirSync(folder, { recursive: true }));
  }
}
