/**
 * Several machines on one bucket, in an object store or at a master, on a simulated timeline. First programs write and
 * faults happen; then both stop, and everything must come to rest by itself. settled.ts checks the final state.
 */
import { ERRNO } from "../base/errno.ts";
import type { WriterId } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import type { Writer } from "../bucket/publish/next-commit.ts";
import type { BaseRoot } from "../overlay/journal/journal-record.ts";
import { FsError } from "../vfs/filesystem.ts";
import { type Beginning, homeOf, MACHINE_NAMES, SHARED_HOME } from "./beginning.ts";
import { Tokens, tokensIn } from "./judges/tokens.ts";
import { FaultCounts } from "./fault-counts.ts";
import { FolderMachine } from "./folder/folder-machine.ts";
import { Folders } from "./folder/folders.ts";
import { overlooking } from "./folder/overlooking-disk.ts";
import { Machine } from "./machine.ts";
import { People } from "./people.ts";
import type { Plan } from "./plan.ts";
import type { SimulatedProcess } from "./process.ts";
import type { EpochEvent } from "./simulated-publisher.ts";
import { RootModel } from "./judges/root-model.ts";
import { SealedEpochs } from "./judges/sealed-epochs.ts";
import { MergeJudge } from "./judges/merge-judge.ts";
import { type Sabotage, sabotagedMerge } from "./sabotage.ts";
import { seededRandom } from "./seeded-random.ts";
import type { Reach, Site } from "./site.ts";
import { siteOf } from "./site-of.ts";
import { settledFaults } from "./judges/settled.ts";
import { Room } from "./altered-remote.ts";
import { CALM, type LinkChances, withFlippedBit } from "./disks/faulty-line.ts";
import { Timeline } from "./timeline.ts";
import { Trace } from "./trace.ts";
import { isIoError, Troubles } from "./troubles.ts";

export interface Outcome {
  /** The violated rules; empty if all is well. */
  readonly violations: readonly string[];
  readonly trace: Trace;
  readonly counts: FaultCounts;
}

/** Plays one history. The same plan gives the same trace. */
export async function play(plan: Plan, beginnings: Beginning, sabotage?: Sabotage): Promise<Outcome> {
  const timeline = new Timeline();
  const beginning = plan.isFine === true ? beginnings.fine : beginnings;
  const { empty, furnished } = beginning;
  const start = plan.beginsEmpty ? empty : furnished;
  const moved = () => world.moved();
  const onFault = (fault: string) => world.faults.push(fault);
  const counts = new FaultCounts();
  const options = { beginning, start, timeline, sabotage, moved, onFault, inlineBytes: plan.inlineBytes };
  const onLate = (atMs: number) => world.arrivesLate(atMs);
  const line = { clock: timeline, counts, chances: () => world.chances(), onLate };
  using site = await siteOf(plan, { ...options, line });
  const world: World = new World({ plan, beginning, root: start.root, site, timeline, sabotage, counts });
  using _folders = world.folders;
  try {
    return await timeline.run(world.play());
  } catch (error) {
    // Any error thrown here is a fault of the simulated code, which has to handle everything that can happen.
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { counts: world.counts, trace: world.trace, violations: [`thrown: ${text}`] };
  }
}

interface WorldOptions {
  readonly plan: Plan;
  readonly beginning: Beginning;
  readonly root: BaseRoot;
  readonly site: Site;
  readonly timeline: Timeline;
  readonly sabotage: Sabotage | undefined;
  readonly counts: FaultCounts;
}

class World {
  readonly counts: FaultCounts;
  readonly trace: Trace;
  readonly faults: string[] = [];
  readonly folders: Folders;
  readonly #plan: Plan;
  readonly #root: BaseRoot;
  readonly #beginning: Beginning;
  readonly #timeline: Timeline;
  readonly #sabotage: Sabotage | undefined;
  readonly #site: Site;
  readonly #model: RootModel;
  readonly #judge: MergeJudge;
  readonly #tokens = new Tokens();
  readonly #troubles: Troubles;
  readonly #people: People;
  readonly #machines: Machine[] = [];
  /** Until when each machine is cut off from the bucket. */
  readonly #cutUntilMs = new Map<Machine, number>();
  readonly #epochs = new SealedEpochs();
  /** The machine that each device belongs to. */
  readonly #owners = new Map<WriterId, string>();
  #isCalm = false;
  readonly #room = new Room();
  /** When the last late or repeated request arrives. */
  #lateUntilMs = 0;
  #missingReplies = 0;
  #unknownSwaps = 0;
  /** The first one made the beginning. */
  #devices = 1;

  constructor({ plan, beginning, root, site, timeline, sabotage, counts }: WorldOptions) {
    this.counts = counts;
    this.#plan = plan;
    this.#root = root;
    this.#beginning = beginning;
    this.#timeline = timeline;
    this.#sabotage = sabotage;
    this.#site = site;
    const machineOf = (writer: WriterId) => this.#owners.get(writer);
    this.#model = new RootModel({ remote: site.checked, beginning, tokens: this.#tokens, clock: timeline, machineOf });
    this.#judge = new MergeJudge(site.checked.blocks);
    this.trace = new Trace(timeline);
    const make = (name: string) => this.#folder(name);
    const mark = (name: string) => this.#mark(name);
    const folders = { plan, timeline, tokens: this.#tokens, trace: this.trace, counts, make, mark };
    this.folders = new Folders(folders);
    this.#people = new People({
      plan,
      timeline,
      machines: this.#machines,
      tokens: this.#tokens,
      trace: this.trace,
      judge: this.#judge,
      sabotage,
      faults: this.faults,
    });
    this.#troubles = new Troubles({
      plan,
      timeline,
      machines: this.#machines,
      site,
      cutUntilMs: this.#cutUntilMs,
      room: this.#room,
      tokens: this.#tokens,
      trace: this.trace,
      counts: this.counts,
      mark,
    });
  }

  /** Called when there is a new root. */
  moved(): Promise<void> {
    return this.#model.rootMoved();
  }

  /** Of each request now. */
  chances(): LinkChances {
    return this.#isCalm ? CALM : this.#plan.chances;
  }

  /** A request whose sender gave up arrives then. */
  arrivesLate(atMs: number): void {
    this.#lateUntilMs = Math.max(this.#lateUntilMs, atMs);
  }

  async play(): Promise<Outcome> {
    await this.#troubles.startMaster();
    for (let index = 0; index < this.#plan.machines; index++) this.#machines.push(this.#machine(index));
    for (const [index, machine] of this.#machines.entries()) await this.#begin(machine, this.#plan.skewsMs[index] ?? 0);
    const troubles = this.#plan.troubles.map((trouble) => this.#troubles.bring(trouble));
    await Promise.all([this.#people.play(), this.folders.play(), ...troubles]);
    await this.#calm();
    const violations = await this.#rest();
    violations.push(...this.faults, ...this.#model.faults, ...this.#judge.faults);
    if (violations.length > 0) return { violations, trace: this.trace, counts: this.counts };
    if (this.#plan.endsCollected) await this.#troubles.collectAtRest();
    const fresh = this.#machine(this.#machines.length);
    await fresh.start();
    const faults = await settledFaults({
      machines: this.#machines,
      fresh,
      tokens: this.#tokens,
      isDropped: (version) => this.#model.isDropped(version),
      site: this.#site,
      folders: this.folders,
      checks: this.#beginning.checks,
      ports: { clock: this.#timeline, random: seededRandom(1) },
      wasAway: this.#plan.troubles.some(({ kind }) => kind === "away for days"),
      rest: () => this.#rest([...this.#machines, fresh]),
    });
    faults.push(...this.faults, ...this.#model.faults, ...this.#judge.faults);
    // A swap may be unknown only if its reply is missing.
    if (this.#unknownSwaps > this.#missingReplies)
      faults.push(`${this.#unknownSwaps} swaps are unknown, but only ${this.#missingReplies} replies are missing`);
    return { violations: faults, trace: this.trace, counts: this.counts };
  }

  #reach(process: SimulatedProcess, random: Random, isCut: () => boolean): Reach {
    return this.#site.reach({
      process,
      random,
      counts: this.counts,
      chances: () => this.chances(),
      isCut,
      onLate: (atMs) => this.arrivesLate(atMs),
      onMissingReply: () => void this.#missingReplies++,
    });
  }

  #folder(name: string): FolderMachine {
    const random = seededRandom(this.#plan.seed * 37 + name.charCodeAt(0));
    return newFolder({
      name,
      timeline: this.#timeline,
      random,
      reach: (process) => this.#reach(process, random, () => false),
      certify: () => this.#certify(name),
      beginning: this.#beginning,
      seen: this.#sabotage === "a folder whose scan overlooks files" ? overlooking(random) : undefined,
    });
  }

  #machine(index: number): Machine {
    const name = MACHINE_NAMES[index] ?? "z";
    const random = seededRandom(this.#plan.seed * 31 + index + 7);
    const isCut = () => (this.#cutUntilMs.get(machine) ?? 0) > this.#timeline.monotonicMs();
    const reach = (process: SimulatedProcess) => this.#reach(process, random, isCut);
    const machine: Machine = newMachine({
      name,
      timeline: this.#timeline,
      random,
      reach,
      certify: () => this.#certify(name),
      beginning: this.#beginning,
      root: this.#root,
      merge: this.#judge.judging(sabotagedMerge(this.#sabotage)),
      skewMs: this.#plan.skewsMs[index] ?? 0,
      hasDoors: this.#plan.hasDoors,
      hasDeafDoors: this.#sabotage === "doors that hear nothing of each other",
      forgetsConditions: this.#sabotage === "a WebDAV door that forgets conditions",
      onRemoved: (contents) => {
        for (const token of tokensIn(contents)) this.#tokens.remove(token, name);
      },
      getsNoDevice: this.#sabotage === "an agent that gets no new device when another epoch has its number",
      forgetsSyncs: this.#sabotage === "fsync that does not sync",
      flipped: (bytes) => this.#flipped(bytes, random),
      isIntact: this.#sabotage === "cached blocks that are not checked" ? () => true : undefined,
      onUnknownSwap: () => void this.#unknownSwaps++,
      refusesUploads: () => this.#room.refuses(random),
      onEpoch: (event, epoch) => this.#noteEpoch(name, event, epoch),
    });
    return machine;
  }

  async #certify(name: string): Promise<Writer> {
    const writer = await this.#beginning.writer(++this.#devices);
    this.#owners.set(writer.device.writer, name);
    return writer;
  }

  #flipped(bytes: Uint8Array, random: Random): Uint8Array {
    if (this.#isCalm || bytes.length === 0 || random.fraction() >= this.#plan.diskFlip) return bytes;
    this.counts.count("flipped bit on own disk");
    return withFlippedBit(bytes, random);
  }

  /** Published versions survive the machine's power loss. */
  #noteEpoch(name: string, event: EpochEvent, epoch: number): void {
    this.trace.add(name, `${event} epoch ${epoch}`);
    if (event === "removals sealed") return this.#epochs.seal(name, epoch, []);
    if (event === "sealed") return this.#epochs.seal(name, epoch, this.#tokens.madeBy(name));
    const sealed = this.#epochs.in(name, epoch);
    this.#model.published(name, sealed);
    for (const token of sealed) this.#tokens.durable.add(token);
  }

  #mark(name: string): () => void {
    const [tokens, epochs] = [this.#tokens.mark(name), this.#epochs.mark(name)];
    return () => {
      tokens((version) => this.#model.wasPublished(version));
      epochs();
    };
  }

  /** Makes the machine's directories where they are missing. */
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
        // Another machine made the directory after this one looked.
        if (error instanceof FsError && error.errno === ERRNO.EEXIST) return;
        if (!isIoError(error)) throw error;
        this.trace.add(name, `makeDirectory ${path}: ${error.code}`);
        await this.#timeline.sleep(REST_STEP_MS);
      }
    }
  }

  async #calm(): Promise<void> {
    this.#isCalm = true;
    this.#cutUntilMs.clear();
    await this.#troubles.calmMaster();
    for (const machine of this.#machines) {
      machine.fillDisk(false);
      await this.#troubles.startAgain(machine);
    }
    await this.folders.startAll();
    this.trace.add("all", "calm");
    // By then all requests have arrived, late ones included.
    await this.#timeline.sleep(Math.max(ARRIVAL_MS, this.#lateUntilMs - this.#timeline.monotonicMs()));
  }

  /** Waits until all machines and folders have flushed and adopted by themselves. */
  async #rest(machines: readonly Machine[] = this.#machines): Promise<string[]> {
    const endMs = this.#timeline.monotonicMs() + REST_MS;
    while (this.#timeline.monotonicMs() < endMs) {
      const root = await this.#site.checked.readRoot();
      const areAtRest = machines.every(({ base, isPublished }) => base === root?.commit && isPublished);
      if (areAtRest && this.folders.unrest(root?.commit).length === 0) {
        this.trace.add("all", `at rest on ${root?.commit}`);
        return [];
      }
      await this.#timeline.sleep(REST_STEP_MS);
    }
    const unstable = machines.map(({ name, base, trouble, vfs }) => {
      return `no rest: ${name} on ${base}, ${vfs?.pending().files} pending, ${trouble?.code} ${trouble?.message}`;
    });
    return [...unstable, ...this.folders.unrest(machines[0]?.base)];
  }
}

function newFolder(options: ConstructorParameters<typeof FolderMachine>[0]): FolderMachine {
  return new FolderMachine(options);
}

function newMachine(options: ConstructorParameters<typeof Machine>[0]): Machine {
  return new Machine(options);
}

/** Longer than any request travels, late ones excepted. */
const ARRIVAL_MS = 1_000;
const REST_MS = 180_000;
const REST_STEP_MS = 500;
