/** A running agent: connects the thread that serves, the publisher and its schedule, and ends them in order. */
import { SynclineError } from "../base/errors.ts";
import { describeError } from "../base/log.ts";
import { closeAll } from "../base/resources.ts";
import type { Beginning } from "../overlay/beginnings.ts";
import { createDataReader } from "../overlay/data/data-reader.ts";
import type { Agent, AgentOptions } from "./agent.ts";
import type { BackgroundCollection } from "./threads/background-collection.ts";
import { startCollecting } from "./threads/start-collecting.ts";
import { serveControl } from "./control.ts";
import { mountOf, type DoorReport } from "./doors/doors.ts";
import { drain, type Drained } from "./publishing/drain.ts";
import { type EarlyCutting, openEarlyCutting } from "./publishing/early-cutting.ts";
import type { FilesystemThread } from "./threads/filesystem-thread.ts";
import { type FlushEnd, FlushSchedule } from "./publishing/flush-schedule.ts";
import { collectGarbage, IdleRelease, releaseMemory } from "../runtime/memory.ts";
import { answersOf, endProcess } from "./threads/hand-over.ts";
import { HeldBase } from "./state/held-base.ts";
import type { AgentBucket } from "./writing-bucket.ts";
import { overlayProxy } from "./threads/overlay-proxy.ts";
import { NewsOfPublishing } from "./publishing/publishing-news.ts";
import { InUseBlocks } from "./pins/in-use-blocks.ts";
import { Pins } from "./pins/pins.ts";
import { Pause } from "./state/pause.ts";
import { Publisher, type PublisherOptions } from "./publishing/publisher.ts";
import { flushReport, statusReport, type AgentStatus, type FlushReport } from "./reports.ts";
import type { PendingReport, UnmountReport } from "./reports.ts";
import { noteEnded } from "./state/state-dir.ts";
import { WarmUp } from "./threads/warm-up.ts";
import { workerSetup } from "./threads/worker-setup.ts";

/** Writes between the last flush and the unmount get this long, even when the time is up. */
const LAST_FLUSH_MS = 2_000;
/** Time to end in order after a defect. Programs may wait in the mount for the next agent. */
const DYING_MS = 1_000;
/** For an epoch under way, a new device key, and what was written before the request. */
const FLUSH_ROUNDS = 3;

export class RunningAgent implements Agent {
  readonly #options: AgentOptions;
  readonly #opened: AgentBucket["opened"];
  readonly #writer: AgentBucket["writer"];
  readonly #thread: FilesystemThread;
  readonly #schedule: FlushSchedule;
  readonly #news: NewsOfPublishing;
  readonly #idleRelease: IdleRelease;
  readonly #pause: Pause;
  readonly #warmUp: WarmUp;
  readonly #resources: (Disposable | AsyncDisposable)[] = [];
  readonly #ended = Promise.withResolvers<UnmountReport>();
  readonly #hurry = new AbortController();
  #publisher: Publisher | undefined;
  #early: EarlyCutting | undefined;
  #collection: BackgroundCollection | undefined;
  #ending: Promise<UnmountReport> | undefined;
  /** Watches for others' roots; undefined while paused. */
  #watch: Disposable | undefined;
  #pins: Pins | undefined;
  #inUse: InUseBlocks | undefined;
  #doors: readonly DoorReport[] = [];
  /** When the current unmount stops waiting. */
  #unmountEndMs: number | undefined;

  constructor(options: AgentOptions, { opened, writer }: AgentBucket, thread: FilesystemThread) {
    this.#options = options;
    this.#opened = opened;
    this.#writer = writer;
    this.#idleRelease = new IdleRelease(options.clock);
    this.#warmUp = new WarmUp({ ...options, blocks: opened.blocks, done: () => this.#idleRelease.note() });
    this.#pause = new Pause({ ...options, changed: (isPaused) => this.#pauseChanged(isPaused) });
    this.#thread = thread;
    thread.listen({
      dirty: (reason) => this.#schedule.note(this.#early?.reason(reason) ?? reason),
      begun: (file) => this.#early?.note(file),
      doubted: (pack) => opened.remote.doubtPack?.(pack),
      unmounted: () => void this.#finish(this.#unmountEndMs ?? this.#now() + options.drainMs),
      flush: () => this.flush(),
      died: (error) => this.#died(error),
    });
    this.#schedule = new FlushSchedule(options.clock, async () => {
      opened.cache?.trim();
      return this.#publisher === undefined ? { again: false, afterMs: 0 } : this.#told(this.#publisher.flush());
    });
    this.#news = new NewsOfPublishing(options.clock, (news) => this.#thread.call("publishing", news));
    // Callers await `ended` if they need it; after a failed start there are none.
    this.#ended.promise.catch(() => {});
  }

  get doors(): readonly DoorReport[] {
    return this.#doors;
  }

  get ended(): Promise<UnmountReport> {
    return this.#ended.promise;
  }

  async start(prepared: Promise<void>): Promise<void> {
    const { stateDir, doors, address, clock, log, onStep, answers = (own) => own } = this.#options;
    onStep?.("reading the newest root");
    const setup = await workerSetup(this.#options, this.#opened.bucket, this.#writer === undefined);
    onStep?.("reading local changes");
    const found = await this.#thread.call("open", setup);
    // The thread may end meanwhile.
    this.#opened.cache?.onWritten((blocks) => this.#thread.call("cached", blocks).catch(() => {}));
    const { base, older, held } = found;
    this.#publisher = this.#openPublisher({ base, older, held });
    this.#resources.push(this.#schedule, this.#idleRelease, this.#pause, { [Symbol.dispose]: () => this.#rest() });
    if (this.#pause.report === null) await this.#warmUp.run(base.tree);
    else await this.#thread.call("fetchAhead", false);
    this.#openPins();
    this.#openInUse();
    onStep?.("opening the doors");
    await prepared;
    this.#doors = await this.#thread.call("openDoors", doors);
    // Someone may unmount a mount while it is being taken over.
    if (this.#ending !== undefined) return;
    const own = answersOf(this, this.#thread, { ...this.#options, pause: this.#pause, pins: this.#pins });
    this.#resources.push(await serveControl(stateDir, answers(own), clock));
    if (this.#pause.report === null) this.#follow();
    if (this.#writer !== undefined && this.#options.collects) this.#resources.push(this.#startCollecting());
    log.info("Mounted.", { mount: mountOf(doors), bucket: address, base: base.commit });
  }

  async status(): Promise<AgentStatus> {
    const { address, cacheBytes } = this.#options;
    const cache = { bytes: this.#opened.cache?.bytes ?? 0, limit: cacheBytes };
    const [requests, masters] = [this.#opened.remote.requests?.() ?? null, this.#opened.remote.masters?.() ?? null];
    const [paused, collection, pins] = [this.#pause.report, this.#collection?.state(), this.#pins?.report ?? null];
    const lost = await this.#thread.call("lost", undefined);
    const facts = { doors: this.#doors, address, paused, lost, cache, pins, requests, masters, collection };
    return statusReport(facts, this.#open().state(), await this.#pending());
  }

  async flush(): Promise<FlushReport> {
    const sinceMs = this.#now();
    if (this.#pause.report !== null) return this.#report(sinceMs);
    for (let round = 1; ; round++) {
      await this.#schedule.flushNow();
      const report = await this.#report(sinceMs);
      // An epoch under way goes first; later writes go with the next one.
      if (report.published || report.error !== null || round === FLUSH_ROUNDS) return report;
    }
  }

  async unmount(drainMs: number, lazy: boolean): Promise<UnmountReport> {
    this.#unmountEndMs = this.#now() + drainMs;
    try {
      await this.#drain(this.#unmountEndMs);
      await this.#thread.call("leaveDoors", { lazy });
    } catch (error) {
      // The mount, and so the agent, was gone before the answer came.
      if (this.#ending !== undefined) return this.#ending;
      this.#unmountEndMs = undefined;
      throw error;
    }
    return this.#finish(this.#unmountEndMs);
  }

  hurry(): void {
    this.#hurry.abort();
  }

  /** Cleans up after a failed start. */
  async abandon(): Promise<void> {
    await this.#thread.end();
    await this.#release();
  }

  #openPublisher(found: Pick<PublisherOptions, "base" | "older" | "held">): Publisher {
    const { stateDir, at, accept, clock, random, log } = this.#options;
    const overlay = overlayProxy(this.#thread.call);
    const isSteady = (beginning: Beginning) => this.#thread.call("isSteady", beginning);
    const early = (this.#early = openEarlyCutting(this.#opened.bucket, { stateDir, isSteady, clock, log }));
    const heldBase = new HeldBase({ remote: this.#opened.remote, clock, log });
    this.#resources.push(early, heldBase);
    return new Publisher({
      bucket: this.#opened.bucket,
      writer: this.#writer,
      fixed: at !== undefined,
      accepted: accept,
      overlay: {
        ...overlay,
        published: async (epoch) => {
          await overlay.published(epoch);
          early.forget(epoch.epoch);
        },
      },
      data: early.over(this.#news.over(createDataReader(stateDir))),
      ...found,
      heldBase,
      paused: () => this.#pause.error,
      releaseMemory: (when) => {
        if (when === "now") releaseMemory();
        else if (when === "on the way") collectGarbage();
        else if (when === "when quiet") this.#idleRelease.noteLittle();
        else this.#idleRelease.note();
      },
      clock,
      random,
      log,
    });
  }

  #openPins(): void {
    const { pinning } = this.#opened;
    if (pinning === undefined) return;
    const tree = () => this.#open().state().base.tree;
    this.#pins = new Pins({ ...this.#options, ...pinning, tree, paused: () => this.#pause.error });
    this.#resources.push(this.#pins);
  }

  #openInUse(): void {
    const { inUse: kept, pinning } = this.#opened;
    if (kept === undefined || pinning === undefined) return;
    const tree = () => this.#open().state().base.tree;
    const contents = () => this.#thread.call("inUse", undefined);
    const isPaused = () => this.#pause.error !== undefined;
    const reading = { blocks: pinning.blocks, held: this.#opened.held, isPaused };
    this.#inUse = new InUseBlocks({ ...this.#options, ...reading, kept, tree, contents });
    this.#resources.push(this.#inUse);
    this.#inUse.moved();
  }

  #startCollecting(): BackgroundCollection {
    const seq = () => {
      const { online, base } = this.#open().state();
      return online && this.#pause.report === null ? base.seq : undefined;
    };
    // The process has freed the collection's memory, but not yet returned it to the system.
    return (this.#collection = startCollecting(this.#options, this.#opened.bucket.genesis, seq, () =>
      this.#idleRelease.note(),
    ));
  }

  #pauseChanged(isPaused: boolean): void {
    if (this.#ending !== undefined || this.#publisher === undefined) return;
    this.#news.ended(this.#pause.error);
    // The thread may end meanwhile.
    this.#thread.call("fetchAhead", !isPaused).catch(() => {});
    if (isPaused) return this.#rest();
    this.#follow();
    void this.#warmUp.run(this.#publisher.state().base.tree);
  }

  #rest(): void {
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    this.#warmUp.stop();
  }

  /** Publishes what is pending, and watches for others' changes from now on. */
  #follow(): void {
    if (this.#options.at !== undefined) return;
    this.#watch = this.#opened.remote.watch(() => void this.#rootMoved());
    this.#schedule.note("urgent");
  }

  async #rootMoved(): Promise<void> {
    const end = this.#publisher && (await this.#told(this.#publisher.rootMoved()));
    if (end?.again === true) this.#schedule.note("close");
  }

  /** Tells the filesystem's thread how an attempt ended. */
  async #told(attempt: Promise<FlushEnd>): Promise<FlushEnd> {
    const end = await attempt;
    this.#inUse?.moved();
    this.#news.ended(this.#pause.error ?? this.#open().state().lastError);
    return end;
  }

  async #pending(): Promise<PendingReport> {
    const pending = await this.#thread.call("pending", undefined);
    return { ...pending, etaMs: pending.files === 0 ? null : (this.#publisher?.etaMs(pending.bytes) ?? null) };
  }

  async #report(sinceMs: number): Promise<FlushReport> {
    const askedMs = this.#now() - sinceMs;
    const pending = await this.#pending();
    return flushReport(this.#open().state(), pending, askedMs, this.#pause.error);
  }

  async #drain(endMs: number): Promise<Drained> {
    const report = () => this.#report(this.#now());
    if (this.#writer === undefined) return report();
    const { clock } = this.#options;
    return drain({ flush: () => this.flush(), report, clock, endMs, signal: this.#hurry.signal });
  }

  /** Publishes the latest changes, closes everything, and reports what remains. Runs once. */
  #finish(endMs: number): Promise<UnmountReport> {
    if (this.#ending === undefined) {
      this.#ending = this.#close(endMs);
      // There may be no caller: `ended` reports it, too.
      this.#ending.catch(() => {});
    }
    return this.#ending;
  }

  async #close(endMs: number): Promise<UnmountReport> {
    const { log, stateDir } = this.#options;
    const startMs = this.#now();
    this.#collection?.stop();
    try {
      // After an unmount from outside, work under way in other doors is published, too.
      await this.#thread.call("leaveDoors", { lazy: true });
      const { pending, error } = await this.#drain(Math.max(endMs, startMs + LAST_FLUSH_MS));
      const drained = pending.files === 0;
      const report = { drained, pending, error: drained ? null : error };
      await this.#thread.close({ isPublished: drained });
      noteEnded(stateDir, report, log);
      const tookMs = Math.round(this.#now() - startMs);
      log[drained ? "info" : "warn"]("Unmounted.", { drained, files: pending.files, bytes: pending.bytes, tookMs });
      // Not awaited: a call of the control socket may wait for this report.
      void this.#release().then(() => this.#ended.resolve(report), this.#ended.reject);
      return report;
    } catch (error) {
      log.error(`Shutdown failed: ${describeError(error)}`);
      await this.#thread.end();
      void this.#release().then(() => this.#ended.reject(error), this.#ended.reject);
      throw error;
    }
  }

  async #release(): Promise<void> {
    await closeAll(this.#resources);
    await this.#opened[Symbol.asyncDispose]();
  }

  #died(cause: SynclineError): void {
    if (this.#ending !== undefined) return;
    endProcess(this.#options.clock, DYING_MS);
    this.#ending = Promise.reject(cause);
    this.#ending.catch(() => {});
    void this.#release().then(() => this.#ended.reject(cause), this.#ended.reject);
  }

  #open(): Publisher {
    if (this.#publisher !== undefined) return this.#publisher;
    throw new SynclineError("no_agent", "The agent is still starting.");
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }
}
