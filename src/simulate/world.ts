/**
 * Several machines on one bucket in an object store, on a timeline of their own: programs write, things go wrong; then nothing goes
 * wrong any more, nobody writes, and everything must come to rest by itself. What must hold then is checked in settled.ts.
 */
import { hasCode, isDamage, SynclineError } from "../base/errors.ts";
import type { ObjectStore } from "../objects/object-store.ts";
import type { BaseRoot } from "../overlay/journal-record.ts";
import { homeOf, MACHINE_NAMES, SHARED_HOME } from "./beginning.ts";
import type { Beginning } from "./beginning.ts";
import { perform, placeDeed, Tokens } from "./deeds.ts";
import type { Deed } from "./deeds.ts";
import { FaultCounts } from "./fault-counts.ts";
import { Machine } from "./machine.ts";
import type { PlannedDeed, Plan, Trouble } from "./plan.ts";
import type { SimulatedProcess } from "./process.ts";
import { RootModel } from "./root-model.ts";
import { mergeDroppingCopies, sabotaged, withSwaps } from "./sabotage.ts";
import type { Sabotage } from "./sabotage.ts";
import { seededRandom } from "./seeded-random.ts";
import { settledFaults } from "./settled.ts";
import { CALM, SimulatedLink } from "./simulated-link.ts";
import { Timeline } from "./timeline.ts";
import { Trace } from "./trace.ts";

export interface Outcome {
  /** What does not hold; empty when all is well. */
  readonly violations: readonly string[];
  readonly trace: Trace;
  readonly counts: FaultCounts;
}

/** Plays one history. The same plan gives the same trace. */
export async function play(plan: Plan, beginning: Beginning, sabotage?: Sabotage): Promise<Outcome> {
  const timeline = new Timeline();
  const { empty, furnished } = beginning;
  const start = plan.beginsEmpty ? empty : furnished;
  const store = await start.store(() => Number(timeline.nowNs() / 1_000_000n));
  const world = new World({ plan, beginning, root: start.root, store, timeline, sabotage });
  try {
    return await timeline.run(world.play());
  } catch (error) {
    // Whatever is thrown is a fault of the code that is simulated: it has to answer everything that can happen.
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { counts: world.counts, trace: world.trace, violations: [`thrown: ${text}`] };
  }
}

interface WorldOptions {
  readonly plan: Plan;
  readonly beginning: Beginning;
  readonly root: BaseRoot;
  readonly store: ObjectStore;
  readonly timeline: Timeline;
  readonly sabotage: Sabotage | undefined;
}

class World {
  readonly counts = new FaultCounts();
  readonly trace: Trace;
  readonly #plan: Plan;
  readonly #root: BaseRoot;
  readonly #beginning: Beginning;
  readonly #timeline: Timeline;
  readonly #sabotage: Sabotage | undefined;
  readonly #store: ObjectStore;
  readonly #model: RootModel;
  readonly #tokens = new Tokens();
  readonly #machines: Machine[] = [];
  /** Machines that nothing gets to or from, until when. */
  readonly #cutUntilMs = new Map<Machine, number>();
  /** What its machine had made when an epoch was sealed. */
  readonly #sealed = new Map<string, readonly string[]>();
  #isCalm = false;
  #missingReplies = 0;
  #unknownSwaps = 0;
  #devices = 0;

  constructor({ plan, beginning, root, store, timeline, sabotage }: WorldOptions) {
    this.#plan = plan;
    this.#root = root;
    this.#beginning = beginning;
    this.#timeline = timeline;
    this.#sabotage = sabotage;
    const swapped = sabotaged(store, sabotage);
    this.#model = new RootModel({ store: swapped, clock: timeline, beginning, tokens: this.#tokens });
    this.#store = withSwaps(swapped, async (...put) => {
      const outcome = await swapped.putIfMatch(...put);
      if (outcome.kind === "stored") await this.#model.rootMoved();
      return outcome;
    });
    this.trace = new Trace(timeline);
  }

  async play(): Promise<Outcome> {
    for (let index = 0; index < this.#plan.machines; index++) this.#machines.push(this.#machine(index));
    for (const [index, machine] of this.#machines.entries()) await this.#begin(machine, this.#plan.skewsMs[index] ?? 0);
    const users = this.#machines.map((machine, index) => this.#use(machine, index));
    await Promise.all([...users, ...this.#plan.troubles.map((trouble) => this.#bring(trouble))]);
    await this.#calm();
    const violations = await this.#rest();
    violations.push(...this.#model.faults);
    if (violations.length > 0) return { violations, trace: this.trace, counts: this.counts };
    if (this.#plan.endsCollected) await this.#machines[0]?.collect();
    const fresh = this.#machine(this.#machines.length);
    await fresh.start();
    const faults = await settledFaults({
      machines: this.#machines,
      fresh,
      tokens: this.#tokens,
      store: this.#store,
      checks: this.#beginning.checks,
      rest: () => this.#rest([...this.#machines, fresh]),
    });
    faults.push(...this.#model.faults);
    // An answer that arrived is known.
    if (this.#unknownSwaps > this.#missingReplies)
      faults.push(`${this.#unknownSwaps} swaps are unknown, ${this.#missingReplies} replies are missing`);
    return { violations: faults, trace: this.trace, counts: this.counts };
  }

  #machine(index: number): Machine {
    const name = MACHINE_NAMES[index] ?? "z";
    const random = seededRandom(this.#plan.seed * 31 + index + 7);
    const link = (process: SimulatedProcess): ObjectStore => {
      return new SimulatedLink({
        store: this.#store,
        clock: this.#timeline,
        random,
        counts: this.counts,
        chances: () => (this.#isCalm ? CALM : this.#plan.chances),
        isCut: () => (this.#cutUntilMs.get(machine) ?? 0) > this.#timeline.monotonicMs(),
        isDead: () => process.isDead,
        onMissingReply: () => void this.#missingReplies++,
      });
    };
    const machine: Machine = newMachine({
      name,
      timeline: this.#timeline,
      random,
      link,
      certify: () => this.#beginning.writer(++this.#devices),
      beginning: this.#beginning,
      root: this.#root,
      merge: this.#sabotage === "a conflict copy dropped" ? mergeDroppingCopies : undefined,
      skewMs: this.#plan.skewsMs[index] ?? 0,
      forgetsSyncs: this.#sabotage === "fsync that does not sync",
      onUnknownSwap: () => void this.#unknownSwaps++,
      onEpoch: (event, epoch) => this.#noteEpoch(name, event, epoch),
    });
    return machine;
  }

  /** What is in the bucket survives the machine's power loss. */
  #noteEpoch(name: string, event: "sealed" | "published", epoch: number): void {
    this.trace.add(name, `${event} epoch ${epoch}`);
    const key = `${name} ${epoch}`;
    if (event === "sealed") {
      if (!this.#sealed.has(key)) this.#sealed.set(key, madeBy(this.#tokens, name));
      return;
    }
    const sealed = this.#sealed.get(key) ?? [];
    this.#model.published(name, sealed);
    for (const token of sealed) this.#tokens.durable.add(token);
  }

  /** Makes the machine's directories if nobody did. */
  async #begin(machine: Machine, skewMs: number): Promise<void> {
    if (skewMs !== 0) this.counts.count("clock skew");
    await machine.start();
    if (!this.#plan.beginsEmpty) return;
    for (const directory of [homeOf(machine.name), SHARED_HOME]) await this.#makeDirectory(machine, directory);
  }

  async #makeDirectory({ mount, name }: Machine, path: string): Promise<void> {
    for (;;) {
      try {
        if ((await mount?.show(path)) === undefined) await mount?.makeDirectory(path);
        return;
      } catch (error) {
        if (!isIoError(error)) throw error;
        this.trace.add(name, `makeDirectory ${path}: ${error.code}`);
        await this.#timeline.sleep(REST_STEP_MS);
      }
    }
  }

  async #use(machine: Machine, index: number): Promise<void> {
    for (const planned of this.#plan.deeds) {
      if (planned.machine !== index) continue;
      const waitMs = planned.atMs - this.#timeline.monotonicMs();
      if (waitMs > 0) await this.#timeline.sleep(waitMs);
      await this.#do(machine, planned);
    }
  }

  /** Nobody knows what became of a call in whose middle the agent died. */
  async #do(machine: Machine, { deed }: PlannedDeed): Promise<void> {
    const { mount, process } = machine;
    if (mount === undefined || process === undefined) return;
    const root = deed.own ? homeOf(machine.name) : SHARED_HOME;
    const work = async () => {
      const placed = await placeDeed(mount, root, deed, this.#tokens.next(machine.name));
      const errno = await perform(mount, placed, this.#tokens);
      const { kind, path, target, token } = placed;
      const asked = [kind, path, ...(TWO_PATHS.has(kind) ? [target] : []), token].join(" ");
      this.trace.add(machine.name, `${asked}: ${errno === 0 ? "done" : `error ${errno}`}`);
    };
    await Promise.race([work().catch((error: unknown) => this.#noteFailure(machine, deed, error)), process.death]);
  }

  #noteFailure({ name }: Machine, { kind }: Deed, error: unknown): void {
    if (!isIoError(error)) throw error;
    this.trace.add(name, `${kind}: ${error.code}`);
  }

  async #bring({ kind, atMs, forMs, machine: index }: Trouble): Promise<void> {
    await this.#timeline.sleep(Math.max(0, atMs - this.#timeline.monotonicMs()));
    const machine = this.#machines[index];
    if (machine === undefined) return;
    this.trace.add(machine.name, `${kind} for ${Math.round(forMs)} ms`);
    if (kind === "partition") {
      this.#cutUntilMs.set(machine, this.#timeline.monotonicMs() + forMs);
      await this.#timeline.sleep(forMs);
      return;
    }
    if (kind === "collection") return this.#collect(machine, forMs);
    this.counts.count(kind);
    if (kind === "days off") return this.#pause();
    if (kind === "disk full") {
      machine.fillDisk(true);
      await this.#timeline.sleep(forMs);
      machine.fillDisk(false);
      return;
    }
    if (machine.process === undefined) return;
    if (kind === "kill") machine.kill();
    else this.#cutPower(machine);
    await this.#timeline.sleep(forMs);
    await this.#startAgain(machine);
  }

  async #collect(machine: Machine, forMs: number): Promise<void> {
    const { process } = machine;
    const hasEnded = await Promise.race([
      this.#collectWhole(machine).then(() => true),
      this.#timeline.sleep(COLLECTING_TIMES * forMs).then(() => false),
      process?.death.then(() => true),
    ]);
    if (hasEnded !== false || machine.process !== process) return;
    this.trace.add(machine.name, "is killed while it collects");
    this.counts.count("collector killed");
    machine.kill();
    await this.#startAgain(machine);
  }

  async #collectWhole(machine: Machine): Promise<void> {
    try {
      const report = await machine.collect();
      if (report === undefined) return;
      this.counts.count("collection");
      this.trace.add(machine.name, `collected: ${report.dropped} packs dropped, ${report.swaps} swaps`);
    } catch (error) {
      // Damage is what a flipped bit looks like, and nothing else.
      const isExpected = isDamage(error)
        ? this.#plan.chances.flip > 0
        : isIoError(error) || hasCode(error, "root_moved") || hasCode(error, "arbiter_unreachable");
      if (!isExpected) throw error;
      this.trace.add(machine.name, `did not collect: ${error instanceof SynclineError ? error.code : ""}`);
    }
  }

  async #pause(): Promise<void> {
    for (const machine of this.#machines) machine.kill();
    this.#timeline.skip(DAYS_OFF_MS);
    for (const machine of this.#machines) await this.#startAgain(machine);
  }

  #cutPower(machine: Machine): void {
    machine.cutPower();
    for (const token of madeBy(this.#tokens, machine.name))
      if (!this.#tokens.durable.has(token)) this.#tokens.made.delete(token);
  }

  async #startAgain(machine: Machine): Promise<void> {
    while (machine.process === undefined) {
      try {
        await machine.start();
        this.trace.add(machine.name, "started");
      } catch (error) {
        // What the journal carries does not fit: somebody has to make room first.
        if (!hasCode(error, "disk_full")) throw error;
        this.trace.add(machine.name, "does not start: disk_full");
        await this.#timeline.sleep(REST_STEP_MS);
      }
    }
  }

  async #calm(): Promise<void> {
    this.#isCalm = true;
    this.#cutUntilMs.clear();
    for (const machine of this.#machines) {
      machine.fillDisk(false);
      await this.#startAgain(machine);
    }
    this.trace.add("all", "calm");
    // What was on its way long after its sender gave up has arrived then.
    await this.#timeline.sleep(STRAGGLERS_MS);
  }

  /** Everybody flushes and adopts by itself. */
  async #rest(machines: readonly Machine[] = this.#machines): Promise<string[]> {
    const endMs = this.#timeline.monotonicMs() + REST_MS;
    while (this.#timeline.monotonicMs() < endMs) {
      const [first] = machines;
      if (machines.every(({ base, isPublished }) => base === first?.base && isPublished)) {
        this.trace.add("all", `at rest on ${first?.base}`);
        return [];
      }
      await this.#timeline.sleep(REST_STEP_MS);
    }
    return machines.map(({ name, base, trouble, vfs }) => {
      return `no rest: ${name} on ${base}, ${vfs?.pending().files} pending, ${trouble?.code} ${trouble?.message}`;
    });
  }
}

function newMachine(options: ConstructorParameters<typeof Machine>[0]): Machine {
  return new Machine(options);
}

/** What a program gets as an I/O error: the bucket does not answer, or what it answers is damaged. */
function isIoError(error: unknown): error is SynclineError {
  return isDamage(error) || hasCode(error, "read_timeout") || hasCode(error, "store_unreachable");
}

function madeBy({ made }: Tokens, name: string): string[] {
  return [...made].filter((token) => token[1] === name);
}

const TWO_PATHS: ReadonlySet<string> = new Set(["rename", "exchange", "link"]);
const STRAGGLERS_MS = 12_000;
/** Some collections end before they are killed. */
const COLLECTING_TIMES = 4;
/** More than a day: the collector thins what is older. */
const DAYS_OFF_MS = 2.5 * 24 * 60 * 60 * 1000;
const REST_MS = 180_000;
const REST_STEP_MS = 500;
