/** Brings a plan's troubles to machines: death, power loss, cut networks, full disks, collections, days without work. */
import { hasCode, isDamage, SynclineError } from "../base/errors.ts";
import { FsError } from "../vfs/filesystem.ts";
import type { Room } from "./altered-remote.ts";
import { homeOf } from "./beginning.ts";
import type { Tokens } from "./judges/tokens.ts";
import type { FaultCounts } from "./fault-counts.ts";
import type { Machine } from "./machine.ts";
import type { Plan, Trouble } from "./plan.ts";
import type { Site } from "./site.ts";
import type { Timeline } from "./timeline.ts";
import type { Trace } from "./trace.ts";

export interface Stage {
  readonly plan: Plan;
  readonly timeline: Timeline;
  readonly machines: readonly Machine[];
  readonly site: Site;
  /** Until when each machine is cut off from the bucket. */
  readonly cutUntilMs: Map<Machine, number>;
  /** The room in the bucket. */
  readonly room: Room;
  readonly tokens: Tokens;
  readonly trace: Trace;
  readonly counts: FaultCounts;
  /** Call when an image of a machine is made. Call the result when the image is put back. */
  readonly mark: (machine: string) => () => void;
}

export class Troubles {
  readonly #stage: Stage;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Resolves when the trouble is over. */
  async bring({ kind, atMs, forMs, machine: index }: Trouble): Promise<void> {
    await this.#stage.timeline.sleep(Math.max(0, atMs - this.#stage.timeline.monotonicMs()));
    if (isMasters(kind)) return this.#bringToMaster(kind, forMs);
    const machine = this.#stage.machines[index];
    if (machine === undefined) return;
    this.#stage.trace.add(machine.name, `${kind} for ${Math.round(forMs)} ms`);
    if (kind === "partition") {
      this.#stage.cutUntilMs.set(machine, this.#stage.timeline.monotonicMs() + forMs);
      await this.#stage.timeline.sleep(forMs);
      return;
    }
    if (kind === "collection") return this.#collect(machine, forMs);
    this.#stage.counts.count(kind);
    if (kind === "set back") return this.#setBack(machine, forMs);
    if (kind === "days off") return this.#pause();
    if (kind === "bucket full") {
      this.#stage.room.isFull = true;
      await this.#stage.timeline.sleep(forMs);
      this.#stage.room.isFull = false;
      return;
    }
    if (kind === "away for days") return this.#leaveAlone(machine, forMs);
    if (kind === "disk full") {
      machine.fillDisk(true);
      await this.#stage.timeline.sleep(forMs);
      machine.fillDisk(false);
      return;
    }
    if (machine.process === undefined) return;
    if (kind === "kill") machine.kill();
    else this.#cutPower(machine);
    await this.#stage.timeline.sleep(forMs);
    await this.startAgain(machine);
  }

  async #bringToMaster(kind: MasterTrouble, forMs: number): Promise<void> {
    const { site, trace, counts, timeline } = this.#stage;
    const { server } = site;
    if (server === undefined) return;
    trace.add("master", `${kind} for ${Math.round(forMs)} ms`);
    counts.count(kind);
    if (kind === "master's disk full") {
      server.fillDisk(true);
      await timeline.sleep(forMs);
      server.fillDisk(false);
      return;
    }
    if (kind === "master killed") server.kill();
    else server.cutPower();
    await timeline.sleep(forMs);
    await this.startMaster();
  }

  /** Starts the master as soon as its disk permits. */
  async startMaster(): Promise<void> {
    const { site, trace, timeline } = this.#stage;
    while (site.server?.isRunning === false) {
      const hasStarted = await site.server.start();
      trace.add("master", hasStarted ? "started" : "does not start");
      if (!hasStarted) await timeline.sleep(RETRY_MS);
    }
  }

  async calmMaster(): Promise<void> {
    this.#stage.site.server?.fillDisk(false);
    await this.startMaster();
  }

  /** A collection that began before may still be under way at another master. */
  async collectAtRest(): Promise<void> {
    const { machines, timeline } = this.#stage;
    for (;;) {
      try {
        return void (await machines[0]?.collect());
      } catch (error) {
        if (!hasCode(error, "bucket_locked")) throw error;
        await timeline.sleep(RETRY_MS);
      }
    }
  }

  async #collect(machine: Machine, forMs: number): Promise<void> {
    const { process } = machine;
    const hasEnded = await Promise.race([
      this.#collectWhole(machine).then(() => true),
      this.#stage.timeline.sleep(COLLECTING_TIMES * forMs).then(() => false),
      process?.death.then(() => true),
    ]);
    if (hasEnded !== false || machine.process !== process) return;
    this.#stage.trace.add(machine.name, "is killed while it collects");
    this.#stage.counts.count("collector killed");
    machine.kill();
    await this.startAgain(machine);
  }

  async #collectWhole(machine: Machine): Promise<void> {
    try {
      const report = await machine.collect();
      if (report === undefined) return;
      this.#stage.counts.count("collection");
      this.#stage.trace.add(machine.name, `collected: ${report.dropped} packs dropped, ${report.swaps} swaps`);
    } catch (error) {
      // Only a flipped bit explains damage.
      const isExpected = isDamage(error) ? this.#stage.plan.chances.flip > 0 : isIoError(error) || isRefused(error);
      if (!isExpected) throw error;
      this.#stage.trace.add(machine.name, `did not collect: ${error instanceof SynclineError ? error.code : ""}`);
    }
  }

  async #pause(): Promise<void> {
    for (const machine of this.#stage.machines) machine.kill();
    this.#stage.timeline.skip(DAYS_OFF_MS);
    for (const machine of this.#stage.machines) await this.startAgain(machine);
  }

  /** Each day the next machine writes something, so that all roots agree on the time; then it collects. */
  async #leaveAlone(machine: Machine, forMs: number): Promise<void> {
    const { machines, timeline, cutUntilMs, plan } = this.#stage;
    const other = machines[(machines.indexOf(machine) + 1) % machines.length];
    if (other === undefined) return;
    cutUntilMs.set(machine, timeline.monotonicMs() + forMs);
    await timeline.sleep(forMs / 4);
    for (let day = 1; day <= DAYS_AWAY; day++) {
      timeline.skip(ALMOST_DAY_MS);
      await Promise.race([keepDiary(other, `${plan.seed} ${day}`), timeline.sleep(forMs)]);
      await timeline.sleep(forMs / (2 * DAYS_AWAY));
    }
    await this.#collect(other, forMs);
    await timeline.sleep(forMs / 4);
  }

  async #setBack(machine: Machine, forMs: number): Promise<void> {
    const { timeline, trace, mark } = this.#stage;
    const [putBack, went] = [machine.snapshot(), mark(machine.name)];
    await timeline.sleep(forMs);
    // While it is down, another trouble is about to start it.
    while (machine.process === undefined) await timeline.sleep(RETRY_MS);
    putBack();
    went();
    trace.add(machine.name, "went back");
    await this.startAgain(machine);
  }

  #cutPower(machine: Machine): void {
    machine.cutPower();
    this.#stage.tokens.losePower(machine.name);
  }

  /** Starts the machine's agent as soon as its disk permits. */
  async startAgain(machine: Machine): Promise<void> {
    while (machine.process === undefined) {
      try {
        await machine.start();
        this.#stage.trace.add(machine.name, "started");
      } catch (error) {
        // The journal does not fit on the disk until space is freed.
        if (!hasCode(error, "disk_full")) throw error;
        this.#stage.trace.add(machine.name, "does not start: disk_full");
        await this.#stage.timeline.sleep(RETRY_MS);
      }
    }
  }
}

/** Writes a directory that holds no version. */
async function keepDiary({ mount, name }: Machine, day: string): Promise<void> {
  try {
    await mount?.makeDirectory(`${homeOf(name)}/day ${day}`);
  } catch (error) {
    if (!(error instanceof FsError) && !isIoError(error)) throw error;
  }
}

/** Whether other writers were faster, or the master was stopped or is full. */
export function isRefused(error: unknown): error is SynclineError {
  return REFUSALS.some((code) => hasCode(error, code));
}

const REFUSALS = ["root_moved", "bucket_locked", "arbiter_unreachable", "store_failed", "disk_full"] as const;

/** What a program sees as an I/O error: the bucket does not answer, or its answer is damaged. */
export function isIoError(error: unknown): error is SynclineError {
  return isDamage(error) || hasCode(error, "read_timeout", "store_unreachable");
}

type MasterTrouble = Extract<Trouble["kind"], `master${string}`>;

function isMasters(kind: Trouble["kind"]): kind is MasterTrouble {
  return kind.startsWith("master");
}

/** Times the planned duration: lets some collections end before they are killed. */
const COLLECTING_TIMES = 2;
/** More than a day: the collector thins what is older. */
const DAYS_OFF_MS = 2.5 * 24 * 60 * 60 * 1000;
/** A root whose time leaps further is not trusted. */
const ALMOST_DAY_MS = 20 * 60 * 60 * 1000;
const DAYS_AWAY = 3;
const RETRY_MS = 500;
