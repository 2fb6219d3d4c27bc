/**
 * An agent: one mount of one bucket. This thread publishes and answers the control socket; a worker serves the filesystem.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { Clock } from "../base/clock.ts";
import { hasCode, SynclineError } from "../base/errors.ts";
import { describeError, type Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { Bucket } from "../bucket/bucket.ts";
import type { WalletSigner } from "../crypto/wallet.ts";
import { createDataReader } from "../overlay/data-reader.ts";
import { serveControl } from "./control.ts";
import { openDevice, replaceDevice, type DeviceSetup } from "./device.ts";
import { firstBase } from "./first-base.ts";
import { FlushSchedule } from "./flush-schedule.ts";
import { releaseMemory } from "./memory.ts";
import { openBucket, type OpenedBucket } from "./open-bucket.ts";
import { Publisher } from "./publisher.ts";
import {
  conflictReport,
  reportError,
  type AgentStatus,
  type FlushReport,
  type PendingReport,
  type UnmountReport,
} from "./reports.ts";
import { NodeStore } from "../tree/node-store.ts";
import { answerCalls, createCaller, type Caller } from "./rpc.ts";
import type { StateDir } from "./state-dir.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";
import type { BaseRoot, MainMethods, Pending, WorkerEvent, WorkerMethods, WorkerSetup } from "./threads.ts";
import { warmUp } from "./warm-up.ts";

export interface AgentOptions {
  readonly address: string;
  /** Absolute. */
  readonly mount: string;
  readonly state: StateDir;
  /** Opens the wallet; called only when a device must be certified. */
  readonly wallet: () => Promise<WalletSigner>;
  readonly readOnly: boolean;
  /** An old state to show, as `--at` names it; implies readOnly. */
  readonly at: string | undefined;
  readonly publishedDurability: boolean;
  readonly readTimeoutMs: number;
  readonly cacheBytes: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Agent {
  status(): Promise<AgentStatus>;
  flush(): Promise<FlushReport>;
  /** Publishes what is pending, then unmounts and ends. Throws `mount_busy` unless `lazy`. */
  unmount(timeoutMs: number, lazy: boolean): Promise<UnmountReport>;
  /** Resolves when the agent has ended, whoever ended it. */
  readonly ended: Promise<UnmountReport>;
}

/** How long a plain `umount DIR` waits for the bucket before what remains is left in the state. */
const DRAIN_MS = 60_000;
/** How long mounting waits for names to come into the cache. */
const WARM_UP_WAIT_MS = 200;
const WARM_UP_CACHE_BYTES = 8 * 1024 * 1024;

/** Opens the bucket and the overlay, mounts, and serves until the end. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { address, state, clock, random, log } = options;
  const cacheDir = join(state.path, "cache");
  const cache = { dir: cacheDir, bytes: options.cacheBytes };
  const genesis = readStateFile(join(state.path, "genesis"));
  const setup = async (opened: OpenedBucket): Promise<DeviceSetup> => ({
    stateDir: state.path,
    genesis: opened.bucket.genesis,
    wallet: options.wallet,
    clock,
    random,
  });
  // The genesis says whose device this must be, and the device says who uploads: so the bucket is opened twice.
  const first = await openBucket({ address, clock, random, log, genesis });
  const deviceSetup = await setup(first);
  const readOnly = options.readOnly || options.at !== undefined;
  const device = await openDevice(deviceSetup);
  await first[Symbol.asyncDispose]();
  const opened = await openBucket({ address, clock, random, log, genesis, cache, writer: device.key.writer });
  writeStateFile(join(state.path, "genesis"), opened.bucket.genesis.bytes);
  const worker = new Worker(new URL("vfs-worker.js", import.meta.url), {
    name: "filesystem",
    resourceLimits: { maxYoungGenerationSizeMb: 8 },
  });
  const agent = new RunningAgent(options, readOnly, opened, worker);
  try {
    await agent.start(
      { device: device.key, certificate: device.certificate },
      async () => {
        const { key, certificate } = await replaceDevice(deviceSetup);
        return { device: key, certificate };
      },
      cacheDir,
    );
    return agent;
  } catch (error) {
    await agent.abandon();
    throw error;
  }
}

type PublisherWriter = ConstructorParameters<typeof Publisher>[0]["writer"];

class RunningAgent implements Agent {
  readonly ended: Promise<UnmountReport>;
  readonly #options: AgentOptions;
  readonly #readOnly: boolean;
  readonly #opened: OpenedBucket;
  readonly #worker: Worker;
  readonly #call: Caller<WorkerMethods>;
  readonly #stopCalls: (error: Error) => void;
  readonly #schedule: FlushSchedule;
  #publisher: Publisher | undefined;
  #resources: (Disposable | AsyncDisposable)[] = [];
  #end: (report: UnmountReport) => void = () => {};
  #ending: Promise<UnmountReport> | undefined;
  #drainStartedMs = 0;

  constructor(options: AgentOptions, readOnly: boolean, opened: OpenedBucket, worker: Worker) {
    this.#options = options;
    this.#readOnly = readOnly;
    this.#opened = opened;
    this.#worker = worker;
    this.ended = new Promise((resolve) => (this.#end = resolve));
    const caller = createCaller<WorkerMethods>(worker);
    this.#call = caller.call;
    this.#stopCalls = caller.stop;
    this.#schedule = new FlushSchedule(options.clock, async () => {
      opened.cache?.trim();
      return this.#publisher === undefined ? { again: false, afterMs: 0 } : this.#publisher.flush();
    });
    answerCalls<MainMethods>(worker, { flush: () => this.flush() });
    worker.on("message", (event: WorkerEvent) => this.#heard(event));
    worker.once("error", (error) => this.#workerDied(error));
    worker.once("exit", () => this.#workerDied(new SynclineError("internal", "The filesystem's thread ended.")));
  }

  async start(writer: PublisherWriter, replaceWriter: () => Promise<PublisherWriter>, cacheDir: string): Promise<void> {
    const options = this.#options;
    const { bucket } = this.#opened;
    const setup = await this.#workerSetup(bucket, cacheDir);
    const open = await this.#call("open", setup);
    this.#publisher = new Publisher({
      bucket,
      writer,
      replaceWriter,
      overlay: {
        seal: () => this.#call("seal", undefined),
        published: (epoch) => this.#call("published", epoch),
        adopt: (base) => this.#call("adopt", base),
      },
      data: createDataReader(options.state.path),
      base: open.base,
      held: open.held,
      readOnly: this.#readOnly,
      releaseMemory,
      clock: options.clock,
      random: options.random,
      log: options.log,
    });
    this.#resources.push(this.#schedule);
    await this.#warmUp(open.base);
    await this.#call("mount", undefined);
    this.#resources.push(await serveControl(options.state.path, this.#controlAnswers()));
    if (options.at === undefined) {
      this.#resources.push(this.#opened.remote.watch(() => void this.#rootMoved()));
      this.#schedule.note("urgent");
    }
    options.log.info("Mounted.", { mount: options.mount, bucket: options.address, base: open.base.commit });
  }

  async status(): Promise<AgentStatus> {
    const { mount, address, cacheBytes } = this.#options;
    const state = this.#publisher?.state();
    const pending = await this.#pending();
    const { totals, lastError } = state ?? {};
    return {
      mount,
      bucket: address,
      pid: process.pid,
      root: state?.root ?? null,
      base: state?.base.commit ?? "",
      online: state?.online ?? false,
      lastError: lastError === undefined ? null : reportError(lastError),
      pending,
      conflicts: state === undefined ? [] : state.conflicts.map((seen) => conflictReport(seen, state.writer)),
      guard: null,
      cache: { bytes: this.#opened.cache?.bytes ?? 0, limit: cacheBytes },
      published: {
        flushes: totals?.flushes ?? 0,
        attempts: totals?.attempts ?? 0,
        uploadedBytes: totals?.uploadedBytes ?? 0,
        uploadedBlocks: totals?.uploadedBlocks ?? 0,
        requests: totals?.requests ?? 0,
        blocksRead: totals?.blocksRead ?? 0,
      },
    };
  }

  async flush(): Promise<FlushReport> {
    await this.#schedule.flushNow();
    const state = this.#publisher?.state();
    const pending = await this.#pending();
    return {
      published: pending.files === 0 && state?.lastError === undefined,
      root: state?.base.commit ?? null,
      version: state?.version ?? null,
      attempts: state?.last.attempts ?? 0,
      conflicts: state?.last.conflicts ?? 0,
      pending,
    };
  }

  async unmount(timeoutMs: number, lazy: boolean): Promise<UnmountReport> {
    await this.#drain(timeoutMs);
    try {
      await this.#call("unmount", { lazy: false });
    } catch (error) {
      // The mount was gone, and with it the agent, before the answer came.
      if (this.#ending !== undefined) return this.#ending;
      if (!lazy || !hasCode(error, "mount_busy")) throw error;
      await this.#call("unmount", { lazy: true });
    }
    return this.#finish(timeoutMs);
  }

  /** Ends what a failed start has begun. */
  async abandon(): Promise<void> {
    this.#worker.removeAllListeners("exit");
    for (const resource of this.#resources.reverse()) await disposeOf(resource);
    await this.#worker.terminate();
    await this.#opened[Symbol.asyncDispose]();
  }

  /** Waits for the first part only: the rest of a large tree comes while the mount is used already. */
  async #warmUp(base: BaseRoot): Promise<void> {
    const { clock, log } = this.#options;
    const nodes = new NodeStore(this.#opened.blocks, { capacityBytes: WARM_UP_CACHE_BYTES });
    const stop = new AbortController();
    this.#resources.push({ [Symbol.dispose]: () => stop.abort() });
    const warming = warmUp(nodes, base.tree, stop.signal).then(
      (read) => log.info("Names are in the cache.", { nodes: read }),
      (error: unknown) => log.warn(`Names are not all in the cache: ${describeError(error)}`),
    );
    await Promise.race([warming, clock.sleep(WARM_UP_WAIT_MS)]);
  }

  async #workerSetup(bucket: Bucket, cacheDir: string): Promise<WorkerSetup> {
    const { address, mount, state, at, log, readTimeoutMs, cacheBytes, publishedDurability } = this.#options;
    return {
      address,
      mount,
      stateDir: state.path,
      cacheDir,
      cacheBytes,
      readOnly: this.#readOnly,
      readTimeoutMs,
      publishedDurability,
      genesis: bucket.genesis.bytes,
      base: await firstBase(bucket, { at, stateDir: state.path, log }),
    };
  }

  #controlAnswers() {
    return {
      status: () => this.status(),
      flush: () => this.flush(),
      unmount: (timeoutMs: number) => this.unmount(timeoutMs, false),
    };
  }

  #heard(event: WorkerEvent): void {
    const { log } = this.#options;
    switch (event.event) {
      case "dirty":
        this.#schedule.note(event.reason);
        break;
      case "unmounted":
        if (this.#ending === undefined) void this.#finish(DRAIN_MS);
        break;
      case "log":
        log[event.level](event.message);
        break;
    }
  }

  async #rootMoved(): Promise<void> {
    const end = await this.#publisher?.rootMoved();
    if (end?.again === true) this.#schedule.note("close");
  }

  async #pending(): Promise<PendingReport> {
    const pending: Pending = await this.#call("pending", undefined);
    return { ...pending, etaMs: this.#publisher?.state().online === true && pending.files > 0 ? ETA_MS : null };
  }

  /** Flushes until nothing is pending, or for so long. */
  async #drain(timeoutMs: number): Promise<PendingReport> {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + timeoutMs;
    for (let waitMs = 50; ; waitMs = Math.min(waitMs * 2, 1_000)) {
      const { pending } = await this.flush();
      if (pending.files === 0 || clock.monotonicMs() + waitMs >= endMs || this.#readOnly) return pending;
      await clock.sleep(waitMs);
    }
  }

  /** After the mount is gone: publishes what came last, closes everything, says what remains. Once. */
  #finish(timeoutMs: number): Promise<UnmountReport> {
    this.#ending ??= this.#close(timeoutMs);
    return this.#ending;
  }

  async #close(timeoutMs: number): Promise<UnmountReport> {
    this.#drainStartedMs = this.#options.clock.monotonicMs();
    const pending = await this.#drain(timeoutMs);
    const report = { drained: pending.files === 0, pending };
    await this.#call("close", undefined);
    this.#stopCalls(new SynclineError("no_agent", "The agent is ending."));
    this.#worker.removeAllListeners("exit");
    await this.#worker.terminate();
    const tookMs = Math.round(this.#options.clock.monotonicMs() - this.#drainStartedMs);
    this.#options.log.info("Unmounted.", { drained: report.drained, files: pending.files, tookMs });
    this.#end(report);
    queueMicrotask(() => void this.#release());
    return report;
  }

  async #release(): Promise<void> {
    for (const resource of this.#resources.reverse()) await disposeOf(resource);
    await this.#opened[Symbol.asyncDispose]();
    this.#options.state[Symbol.dispose]();
  }

  #workerDied(error: unknown): void {
    if (this.#ending !== undefined) return;
    this.#options.log.error(`The filesystem's thread ended: ${String(error instanceof Error ? error.stack : error)}`);
    this.#stopCalls(error instanceof Error ? error : new SynclineError("internal", String(error)));
    // The journal holds everything that was answered; the next start goes on from it.
    rmSync(join(this.#options.state.path, "control.sock"), { force: true });
    process.exit(1);
  }
}

/** What `status` says until transfers are measured. */
const ETA_MS = 1_000;

async function disposeOf(resource: Disposable | AsyncDisposable): Promise<void> {
  if (Symbol.asyncDispose in resource) await resource[Symbol.asyncDispose]();
  else resource[Symbol.dispose]();
}
