/** A master without sockets: its real code from the routes on. It can be killed at any moment, and starts again. */
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
import type { MasterStorage } from "../../master/storage.ts";
import { SimulatedProcess } from "../process.ts";
import type { Timeline } from "../timeline.ts";

export interface SimulatedMasterOptions {
  readonly timeline: Timeline;
  readonly random: Random;
  readonly owner: Wallet;
  /** False: swaps do not compare the expected root. */
  readonly compareAndSwap: boolean;
  /** What it runs on. The master takes ownership. */
  readonly host: MasterHost;
}

/** Where a master keeps what survives its process. */
export interface MasterHost extends Disposable {
  /** The storage of a new process. Throws `disk_full`. */
  open(process: SimulatedProcess): Promise<MasterStorage>;
  /** The process has ended. */
  killed(): void;
  /** The process has ended; writes that were not synced are lost or torn. */
  lostPower(): void;
  fill(isFull: boolean): void;
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
  #starting: SimulatedProcess | undefined;
  #serving: Serving | undefined;

  constructor(options: SimulatedMasterOptions) {
    this.#options = options;
  }

  /** Whether it serves or is about to. */
  get isRunning(): boolean {
    return this.#starting?.isDead === false;
  }

  /** Its parts while it serves. */
  get parts(): MasterParts | undefined {
    return this.#serving?.parts;
  }

  /** False if it does not start: something passing is in the way, or it was killed meanwhile. Throws on any other failure. */
  async start(): Promise<boolean> {
    const { timeline, random, owner, compareAndSwap, host } = this.#options;
    const process = new SimulatedProcess(timeline, 0);
    this.#starting = process;
    const ports = { clock: process.clock, random, log: silentLog };
    const opening = host
      .open(process)
      .then((storage) => openMaster({ storage, allow: [owner], version: "simulated", compareAndSwap, ...ports }));
    try {
      const opened = await Promise.race([opening, process.death]);
      if (opened === undefined || process.isDead) return false;
      const router = new Router(opened.routes);
      this.#serving = { process, parts: opened.parts, router, end: () => opened[Symbol.asyncDispose]() };
      return true;
    } catch (error) {
      if (!PASSING.some((code) => hasCode(error, code))) throw error;
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
    this.#options.host.killed();
  }

  /** As `kill`; writes that were not synced are lost or torn. */
  cutPower(): void {
    this.#end();
    this.#options.host.lostPower();
  }

  /** Shuts down on request: completes what is under way. */
  async stop(): Promise<void> {
    await this.#serving?.end();
    this.kill();
  }

  fillDisk(isFull: boolean): void {
    this.#options.host.fill(isFull);
  }

  [Symbol.dispose](): void {
    this.#end();
    this.#options.host[Symbol.dispose]();
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

const PASSING = ["disk_full", "arbiter_unreachable", "store_unreachable"] as const;
