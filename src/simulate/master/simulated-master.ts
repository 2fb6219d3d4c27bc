/**
 * A master without sockets: its real code from the routes on, with packs and databases on a simulated disk. It can be
 * killed or lose power between any two disk calls, and restarts from its disk.
 */
import { hasCode } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { silentLog } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { dispatch } from "../../master/http/dispatch.ts";
import { answerTo } from "../../master/http/failure.ts";
import type { Answer } from "../../master/http/route.ts";
import { Router } from "../../master/http/router.ts";
import { openFolderStorage } from "../../master/store/folder-storage.ts";
import { openMaster } from "../../master/master.ts";
import type { MasterParts } from "../../master/parts.ts";
import { SimulatedProcess } from "../process.ts";
import type { Timeline } from "../timeline.ts";
import { SimulatedDatabases } from "./simulated-databases.ts";
import { SimulatedPackDisk } from "./simulated-pack-disk.ts";

export interface SimulatedMasterOptions {
  readonly timeline: Timeline;
  readonly random: Random;
  readonly owner: Wallet;
  readonly leaseSeconds: number | undefined;
  /** False: swaps do not compare the expected root. */
  readonly compareAndSwap: boolean;
  /** Whether its disk reports syncs of packs that it did not make. */
  readonly forgetsSyncs?: boolean;
  /** What its disk holds; the master takes ownership. */
  readonly data?: MasterData | undefined;
}

export interface MasterData {
  readonly disk: SimulatedPackDisk;
  readonly databases: SimulatedDatabases;
}

export interface MasterRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Aborts when the sender is gone. */
  readonly gone: AbortSignal;
}

/** An answer and the process that gives it: a stream ends with its process. */
export interface Answered {
  readonly answer: Answer;
  readonly process: SimulatedProcess;
}

interface Serving {
  readonly process: SimulatedProcess;
  readonly parts: MasterParts;
  readonly router: Router;
  readonly end: () => PromiseLike<void>;
}

export class SimulatedMaster {
  readonly #options: SimulatedMasterOptions;
  #data: MasterData;
  #isFull = false;
  #starting: SimulatedProcess | undefined;
  #serving: Serving | undefined;

  constructor(options: SimulatedMasterOptions) {
    this.#options = options;
    this.#data = options.data ?? { disk: new SimulatedPackDisk(), databases: new SimulatedDatabases() };
  }

  /** Whether it serves or is about to. */
  get isRunning(): boolean {
    return this.#starting?.isDead === false;
  }

  /** Its parts while it serves. */
  get parts(): MasterParts | undefined {
    return this.#serving?.parts;
  }

  /** The disk's current contents. */
  data(): MasterData {
    return { disk: this.#data.disk.copy(), databases: this.#data.databases.copy() };
  }

  /** False if it does not start: its disk is full, or it was killed meanwhile. Throws on any other failure. */
  async start(): Promise<boolean> {
    const { timeline, random, owner, leaseSeconds, compareAndSwap, forgetsSyncs = false } = this.#options;
    const process = new SimulatedProcess(timeline, 0);
    this.#starting = process;
    const { disk, databases } = this.#data;
    disk.forgetsSyncs = forgetsSyncs;
    disk.pause = () => process.clock.sleep(DISK_MS * random.fraction() ** 3);
    const ports = { clock: process.clock, random, log: silentLog };
    const opening = openFolderStorage({ dir: DATA, disk, databases, leaseSeconds, ...ports }).then((storage) =>
      openMaster({ storage, allow: [owner], version: "simulated", compareAndSwap, ...ports }),
    );
    try {
      const opened = await Promise.race([opening, process.death]);
      if (opened === undefined || process.isDead) return false;
      const router = new Router(opened.routes);
      this.#serving = { process, parts: opened.parts, router, end: () => opened[Symbol.asyncDispose]() };
      return true;
    } catch (error) {
      if (!hasCode(error, "disk_full")) throw error;
      this.kill();
      return false;
    }
  }

  /** Undefined: no master is running, or it died while handling the request. */
  async answer(request: MasterRequest): Promise<Answered | undefined> {
    const serving = this.#serving;
    if (serving === undefined) return undefined;
    const { process } = serving;
    const answer = await Promise.race([answerOf(serving, request), process.death]);
    return answer === undefined || process.isDead ? undefined : { answer, process };
  }

  kill(): void {
    this.#end();
    this.#use({ disk: this.#data.disk.afterKill(), databases: this.#data.databases.afterKill() });
  }

  /** As `kill`; writes that were not synced are lost or torn. */
  cutPower(): void {
    this.#end();
    const { random } = this.#options;
    const databases = this.#data.databases.afterPowerLoss(random);
    this.#use({ disk: this.#data.disk.afterPowerLoss(random), databases });
  }

  /** Shuts down on request: completes what is under way. */
  async stop(): Promise<void> {
    await this.#serving?.end();
    this.kill();
  }

  fillDisk(isFull: boolean): void {
    this.#isFull = isFull;
    this.#data.disk.capacity = isFull ? this.#data.disk.used : Infinity;
    this.#data.databases.fill(isFull);
  }

  /** Discards everything; the databases hold memory that is freed only here. */
  [Symbol.dispose](): void {
    this.#end();
    this.#data.databases.close();
  }

  #use(data: MasterData): void {
    this.#data = data;
    this.fillDisk(this.#isFull);
  }

  #end(): void {
    this.#starting?.kill();
    this.#serving = undefined;
  }
}

/** As master/http/exchange.ts, without what is specific to HTTP. */
async function answerOf({ router, parts }: Serving, request: MasterRequest): Promise<Answer> {
  const { method, path, headers, body, gone } = request;
  try {
    return await dispatch(
      { router, bearers: parts.bearers },
      {
        method,
        target: path,
        headers,
        body: async function* () {
          // A copy: the consumer may write into it.
          if (body.length > 0) yield new Uint8Array(body);
        },
        json: async () => JSON.parse(Buffer.from(body).toString("utf8")) as unknown,
        signal: gone,
      },
    );
  } catch (error) {
    return answerTo(error, silentLog, `${method} ${path}`);
  }
}

/** The folder that the master believes its files to be in. */
export const DATA = "/master";
/** The longest that a disk call takes; most take much less. */
const DISK_MS = 12;
