/** A master's simulated disk: packs and databases. Its process can be killed or lose power between any two disk calls. */
import { silentLog } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { MasterStorage } from "../../master/storage.ts";
import { openFolderStorage } from "../../master/store/folder-storage.ts";
import type { SimulatedProcess } from "../process.ts";
import { SimulatedDatabases } from "./simulated-databases.ts";
import type { MasterHost } from "./simulated-master.ts";
import { SimulatedPackDisk } from "./simulated-pack-disk.ts";

export interface FolderHostOptions {
  readonly random: Random;
  readonly leaseSeconds: number | undefined;
  /** Whether it reports syncs of packs that it did not make. */
  readonly forgetsSyncs?: boolean;
  /** What it holds at first; the host takes ownership. */
  readonly data?: MasterData | undefined;
}

export interface MasterData {
  readonly disk: SimulatedPackDisk;
  readonly databases: SimulatedDatabases;
}

export class FolderHost implements MasterHost {
  readonly #options: FolderHostOptions;
  #data: MasterData;
  #isFull = false;

  constructor(options: FolderHostOptions) {
    this.#options = options;
    this.#data = options.data ?? { disk: new SimulatedPackDisk(), databases: new SimulatedDatabases() };
  }

  data(): MasterData {
    return { disk: this.#data.disk.copy(), databases: this.#data.databases.copy() };
  }

  open({ clock }: SimulatedProcess): Promise<MasterStorage> {
    const { random, leaseSeconds, forgetsSyncs = false } = this.#options;
    const { disk, databases } = this.#data;
    disk.forgetsSyncs = forgetsSyncs;
    disk.pause = () => clock.sleep(DISK_MS * random.fraction() ** 3);
    return openFolderStorage({ dir: DATA, disk, databases, leaseSeconds, clock, random, log: silentLog });
  }

  killed(): void {
    this.#use({ disk: this.#data.disk.afterKill(), databases: this.#data.databases.afterKill() });
  }

  lostPower(): void {
    const { random } = this.#options;
    const databases = this.#data.databases.afterPowerLoss(random);
    this.#use({ disk: this.#data.disk.afterPowerLoss(random), databases });
  }

  fill(isFull: boolean): void {
    this.#isFull = isFull;
    this.#data.disk.capacity = isFull ? this.#data.disk.used : Infinity;
    this.#data.databases.fill(isFull);
  }

  /** The databases hold memory that is freed only here. */
  [Symbol.dispose](): void {
    this.#data.databases.close();
  }

  #use(data: MasterData): void {
    this.#data = data;
    this.fill(this.#isFull);
  }
}

/** The folder that the master believes its files to be in. */
export const DATA = "/master";
/** The longest that a disk call takes; most take much less. */
const DISK_MS = 12;
