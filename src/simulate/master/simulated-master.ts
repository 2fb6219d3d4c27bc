/**
 * A master without sockets: all of its code from its routes on, its packs and databases on a simulated disk. It is killed and loses
 * power between any two calls of the disk, and starts again with what its disk has.
 */
import { hasCode } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { silentLog } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { dispatch } from "../../master/http/dispatch.ts";
import { answerTo } from "../../master/http/failure.ts";
import type { Answer } from "../../master/http/route.ts";
import { Router } from "../../master/http/router.ts";
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
  /** False: swaps do not compare. */
  readonly compareAndSwap: boolean;
  /** Whether its disk says that packs are synced, and they are not. */
  readonly forgetsSyncs?: boolean;
  /** What its disk holds; it takes it. */
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
  /** Fires when its sender is gone. */
  readonly gone: AbortSignal;
}

/** An answer, and whoever gives it: a stream ends with its process. */
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

  /** It serves, or is about to. */
  get isRunning(): boolean {
    return this.#starting?.isDead === false;
  }

  /** While it serves. */
  get parts(): MasterParts | undefined {
    return this.#serving?.parts;
  }

  /** What its disk holds now. */
  data(): MasterData {
    return { disk: this.#data.disk.copy(), databases: this.#data.databases.copy() };
  }

  /** False when it does not start: its disk is full, or it was killed meanwhile. Throws what it ends with else. */
  async start(): Promise<boolean> {
    const { timeline, random, owner, leaseSeconds, compareAndSwap, forgetsSyncs = false } = this.#options;
    const process = new SimulatedProcess(timeline, 0);
    this.#starting = process;
    const { disk, databases } = this.#data;
    disk.forgetsSyncs = forgetsSyncs;
    disk.pause = () => process.clock.sleep(DISK_MS * random.fraction() ** 3);
    const opening = openMaster({
      data: DATA,
      disk,
      databases,
      clock: process.clock,
      random,
      log: silentLog,
      allow: [owner],
      version: "simulated",
      leaseSeconds,
      compareAndSwap,
    });
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

  /** Undefined: nobody answers there, or it died over it. */
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

  /** As `kill`, and what was not synced is lost or torn. */
  cutPower(): void {
    this.#end();
    const { random } = this.#options;
    const databases = this.#data.databases.afterPowerLoss(random);
    this.#use({ disk: this.#data.disk.afterPowerLoss(random), databases });
  }

  /** Ends as one that is told to: with what is under way. */
  async stop(): Promise<void> {
    await this.#serving?.end();
    this.kill();
  }

  fillDisk(isFull: boolean): void {
    this.#isFull = isFull;
    this.#data.disk.capacity = isFull ? this.#data.disk.used : Infinity;
    this.#data.databases.fill(isFull);
  }

  /** Forgets all; the databases take memory that nobody else gives back. */
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

/** As master/http/exchange.ts, without what HTTP itself asks for. */
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
          // A copy: whoever takes it may write into it.
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

/** Where it believes its files to be. */
export const DATA = "/master";
/** A call of the disk takes so long at most; most take much less. */
const DISK_MS = 12;
