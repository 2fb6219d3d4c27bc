/** What happens in one simulated history, all drawn from one number: who does what when, and which faults occur. */
import type { Random } from "../base/random.ts";
import type { RootForm } from "../objects/s3/probe.ts";
import { DOCUMENT_NAMES, KINDS, LONG_PADDING, NAMES, UNIT_NAMES, USUAL_PADDING, VARIANT_NAMES } from "./actions.ts";
import type { Choice, Action } from "./actions.ts";
import { type Errand, ERRANDS } from "./errands.ts";
import { anyFolders, type FolderPlan } from "./folder/planned-folders.ts";
import type { LinkChances } from "./disks/faulty-line.ts";
import { type MasterPlan, type MasterTrouble, plannedSite } from "./planned-site.ts";
import { seededRandom } from "./seeded-random.ts";

/** Each trouble is as likely as it is often listed. */
const TROUBLES = [
  ...(["kill", "kill", "power loss", "partition", "partition", "disk full"] as const),
  ...(["collection", "collection", "days off"] as const),
];
/** The fraction of histories in which one machine is away for days. */
const AWAY = 0.1;
/** The fraction of histories in which one machine goes back to an earlier moment. */
const SET_BACK = 0.1;
/** The fraction of histories in which the bucket is full for a while, and how often machines die meanwhile at most. */
const FULL = 0.15;
const MOST_DEATHS = 3;
/** The fractions of histories with names of repositories and databases, with nearly equal names, and with JSON files. */
const UNITS = 0.3;
const VARIANTS = 0.2;
const DOCUMENTS = 0.2;
/** The fraction of histories in which commands run beside agents, and the most commands. */
const WITH_ERRANDS = 0.5;
const MOST_ERRANDS = 6;
/** The fraction of histories in which agents have several doors. */
const SEVERAL_DOORS = 0.3;
/** A JSON file exists for this long before all agents edit it, for as long again. */
const DOCUMENT_MS = 1_500;
/** The fraction of histories whose files mostly have blocks of their own. */
const LONG = 0.25;
/** The fraction of these in which most files have several chunks. */
const FINE = 0.5;
/** The fraction of histories in which much of an upload goes in separate packs, ahead of the commit. */
const WITH_PACKS = 0.5;
const MOST_INLINE_BYTES = 400;
/** Changes are published within this time. */
const FLUSH_MS = 2_000;
/** Scales clock skews to what a master tolerates in tokens: half of its limit at most. */
const MOST_MASTER_SKEW = 4 / 120;

/**
 * Most histories are short, so that many are tried: most bugs show with few operations. Some are long, to see the effects
 * of many epochs of many machines. Actions follow a Pareto distribution, and some histories have a few more: half of them
 * have at most seven, one in ten more than 20, one in forty more than 55.
 */
const FEWEST_ACTIONS = 3;
const MOST_ACTIONS = 320;
const TAIL = 1.25;
/** Histories this long may have more machines. */
const MANY_ACTIONS = 20;
/** Average time per action: the least, and the most. */
const DEED_MS = [80, 480] as const;
/** One more trouble per so many actions, besides those of every history. */
const ACTIONS_PER_TROUBLE = 12;
const MOST_DISK_FLIP = 0.2;
/** The fraction of histories in which a clock is off by years, and the most years. */
const YEARS_OFF = 0.15;
const MOST_YEARS = 5;
const YEAR_MS = 365 * 24 * 60 * 60 * 1000;
/** The greatest difference between two machines' clocks. */
const MOST_SKEW_MS = 2 * 60 * 60 * 1000;

export interface Plan {
  readonly seed: number;
  readonly machines: number;
  /** How far each machine's clock is ahead. */
  readonly skewsMs: readonly number[];
  /** Whether the store is a folder: it gives hints of changes, and has a queue for competing writers. */
  readonly isFolder: boolean;
  /** Set if the bucket is in S3, reached through its real client. */
  readonly s3?: RootForm | undefined;
  /** Set if the bucket is at a master. */
  readonly master?: MasterPlan | undefined;
  /** Whether the machines have to make their directories, and all of them the shared one. */
  readonly beginsEmpty: boolean;
  /** Whether the bucket is collected once more at the end. */
  readonly endsCollected: boolean;
  /** The most bytes of blocks in a commit object. Undefined: the real limit, which no history reaches. */
  readonly inlineBytes: number | undefined;
  /** Whether each agent has a second mount and WebDAV. */
  readonly hasDoors: boolean;
  /** The names that files may get. */
  readonly names: readonly string[];
  /** How long versions are. */
  readonly padding: number;
  /** Whether the bucket cuts files finely. */
  readonly isFine?: boolean;
  readonly chances: LinkChances;
  /** The chance that a read of a machine's own disk has a flipped bit. */
  readonly diskFlip: number;
  /** Sorted by time. */
  readonly actions: readonly PlannedAction[];
  readonly troubles: readonly Trouble[];
  readonly folders: readonly FolderPlan[];
  /** Commands that run beside the agents, sorted by time. */
  readonly errands: readonly PlannedErrand[];
}

export interface PlannedErrand {
  readonly kind: Errand;
  /** Picks from what exists. */
  readonly pick: number;
  readonly atMs: number;
  readonly machine: number;
}

/** The doors of an agent. */
export const DOORS = ["mount", "second mount", "webdav"] as const;

export interface PlannedAction {
  readonly atMs: number;
  readonly machine: number;
  readonly door: (typeof DOORS)[number];
  readonly action: Action;
}

/**
 * A fault at one machine, or at the master, for some time. Days off: no process runs anywhere while days pass. Collection:
 * the machine collects the bucket, and is killed if that takes too long. Bucket full: it refuses most uploads of all machines. Away for days: the machine works without the
 * bucket while days pass, and another machine collects. Set back: its disk is replaced by its own image, which was made so
 * long before.
 */
export interface Trouble {
  readonly kind: (typeof TROUBLES)[number] | "away for days" | "set back" | "bucket full" | MasterTrouble["kind"];
  readonly atMs: number;
  readonly forMs: number;
  readonly machine: number;
}

export function planOf(seed: number): Plan {
  const random = seededRandom(seed);
  const many = Math.min(MOST_ACTIONS, Math.floor(FEWEST_ACTIONS * (1 - random.fraction()) ** (-1 / TAIL)));
  const machines = 2 + below(random, many < MANY_ACTIONS ? 2 : 4);
  const skewsMs = listOf(machines, () => (random.fraction() < 0.5 ? 0 : (random.fraction() - 0.5) * MOST_SKEW_MS));
  const [shortest, longest] = DEED_MS;
  const lengthMs = many * (shortest + random.fraction() * (longest - shortest));
  const actions = listOf(many, () => ({
    atMs: random.fraction() * lengthMs,
    machine: below(random, machines),
    action: anyAction(random),
  }));
  const troubles = listOf(below(random, 4 + many / ACTIONS_PER_TROUBLE), () => anyTrouble(random, machines, lengthMs));
  // Drawn from a seed of its own, as all later additions: other histories stay unchanged.
  const doors = seededRandom(seed * 71 + 23);
  const hasDoors = doors.fraction() < SEVERAL_DOORS;
  const names = anyNames(seed);
  const anyDoor = () => (hasDoors ? (DOORS[below(doors, DOORS.length)] ?? "mount") : "mount");
  const [beginsEmpty, isFolder] = [random.fraction() < 0.25, random.fraction() < 0.5];
  const diskFlip = random.fraction() < 0.5 ? 0 : random.fraction() * MOST_DISK_FLIP;
  const [chances, endsCollected] = [anyChances(random), random.fraction() < 0.25];
  const plan = {
    seed,
    machines,
    skewsMs: withYears(skewsMs, seed),
    beginsEmpty,
    isFolder,
    endsCollected,
    names,
    ...anyLength(seed),
    chances,
    diskFlip,
    hasDoors,
    inlineBytes: undefined,
    actions: byTime(actions.map(({ atMs, machine, action }) => ({ atMs, machine, action, door: anyDoor() }))),
    troubles: byTime(troubles),
    errands: anyErrands(seed, machines, lengthMs),
    folders: anyFolders(seed, many, lengthMs),
  };
  const away = withFull(withSetBack(withAway(plan, lengthMs), lengthMs), lengthMs);
  return atSite(withPacks(withDocument(away), lengthMs), lengthMs);
}

function anyLength(seed: number): Pick<Plan, "padding" | "isFine"> {
  const random = seededRandom(seed * 89 + 41);
  if (random.fraction() >= LONG) return { padding: USUAL_PADDING };
  return { padding: LONG_PADDING, isFine: random.fraction() < FINE };
}

function atSite(plan: Plan, lengthMs: number): Plan {
  const mostTroubles = 4 + plan.actions.length / ACTIONS_PER_TROUBLE;
  const { master, s3, troubles } = plannedSite(plan.seed, plan.isFolder, lengthMs, mostTroubles);
  if (master === undefined) return s3 === undefined ? plan : { ...plan, s3 };
  const skewsMs = plan.skewsMs.map((skewMs) => Math.round((skewMs % MOST_SKEW_MS) * MOST_MASTER_SKEW));
  return { ...plan, skewsMs, master, troubles: byTime([...plan.troubles, ...troubles]) };
}

/** Sets the first machine's clock off by years, as an empty battery or a mistyped date does. Own seed, too. */
function withYears(skewsMs: readonly number[], seed: number): readonly number[] {
  const random = seededRandom(seed * 61 + 17);
  if (random.fraction() >= YEARS_OFF) return skewsMs;
  return skewsMs.with(0, Math.round((random.fraction() * 2 - 1) * MOST_YEARS * YEAR_MS));
}

/** Own seed, too. All other work continues meanwhile. */
function withAway(plan: Plan, lengthMs: number): Plan {
  const random = seededRandom(plan.seed * 83 + 37);
  if (random.fraction() >= AWAY) return plan;
  const [atMs, forMs] = [random.fraction() * lengthMs, 4_000 + random.fraction() * 10_000];
  const trouble = { kind: "away for days" as const, atMs, forMs, machine: below(random, plan.machines) };
  const more = actionsAround(random, plan, trouble, forMs);
  return { ...plan, actions: byTime([...plan.actions, ...more]), troubles: byTime([...plan.troubles, trouble]) };
}

/** Half of them at the machine of the trouble. */
function actionsAround(random: Random, { machines }: Plan, { atMs, machine }: Trouble, forMs: number): PlannedAction[] {
  return listOf(2 + below(random, 8), () => ({
    atMs: atMs + random.fraction() * forMs,
    machine: random.fraction() < 0.5 ? machine : below(random, machines),
    door: "mount" as const,
    action: anyAction(random),
  }));
}

/** Own seed, too. */
function withSetBack(plan: Plan, lengthMs: number): Plan {
  const random = seededRandom(plan.seed * 103 + 53);
  if (random.fraction() >= SET_BACK) return plan;
  const [atMs, forMs] = [random.fraction() * lengthMs, 500 + random.fraction() * 8_000];
  const trouble = { kind: "set back" as const, atMs, forMs, machine: below(random, plan.machines) };
  const more = actionsAround(random, plan, trouble, 2 * forMs);
  return { ...plan, actions: byTime([...plan.actions, ...more]), troubles: byTime([...plan.troubles, trouble]) };
}

/** Own seed, too. Some machines die and start again while their changes wait for room. */
function withFull(plan: Plan, lengthMs: number): Plan {
  const random = seededRandom(plan.seed * 109 + 67);
  if (random.fraction() >= FULL) return plan;
  const [atMs, forMs] = [random.fraction() * lengthMs, 2_000 + random.fraction() * 8_000];
  const full = { kind: "bucket full" as const, atMs, forMs, machine: below(random, plan.machines) };
  const deaths = listOf(below(random, MOST_DEATHS + 1), () => ({
    kind: random.fraction() < 0.7 ? ("kill" as const) : ("power loss" as const),
    atMs: atMs + random.fraction() * forMs,
    forMs: random.fraction() * 1_000,
    machine: below(random, plan.machines),
  }));
  const more = actionsAround(random, plan, full, forMs);
  return {
    ...plan,
    actions: byTime([...plan.actions, ...more]),
    troubles: byTime([...plan.troubles, full, ...deaths]),
  };
}

/** Own seed, too. In histories with JSON files, all agents edit one of them at about the same time. */
function withDocument(plan: Plan): Plan {
  if (plan.names !== DOCUMENT_NAMES) return plan;
  const random = seededRandom(plan.seed * 97 + 43);
  const at = { down: [], name: 0, existing: false };
  const action = (kind: Action["kind"]) => ({ kind, at, to: { ...at, name: below(random, 10) }, own: false });
  const edits = listOf(2 + below(random, 6), () => ({
    atMs: DOCUMENT_MS * (1 + random.fraction()),
    machine: below(random, plan.machines),
    door: "mount" as const,
    action: action(random.fraction() < 0.7 ? "patch" : "append"),
  }));
  const made = { atMs: 0, machine: 0, door: "mount" as const, action: action("create") };
  return { ...plan, actions: byTime([...plan.actions, made, ...edits]) };
}

/** Own seed, too. */
function anyErrands(seed: number, machines: number, lengthMs: number): readonly PlannedErrand[] {
  const random = seededRandom(seed * 67 + 19);
  if (random.fraction() >= WITH_ERRANDS) return [];
  return byTime(
    listOf(1 + below(random, MOST_ERRANDS), () => ({
      kind: ERRANDS[below(random, ERRANDS.length)] ?? "put",
      pick: below(random, 10),
      atMs: random.fraction() * lengthMs,
      machine: below(random, machines),
    })),
  );
}

/** Own seed, as `atMaster`. Collections meet uploads that are under way. */
function withPacks(plan: Plan, lengthMs: number): Plan {
  const random = seededRandom(plan.seed * 73 + 29);
  if (random.fraction() >= WITH_PACKS) return plan;
  const collections = listOf(below(random, 4), () => ({
    kind: "collection" as const,
    atMs: random.fraction() * (lengthMs + FLUSH_MS),
    forMs: random.fraction() * 5_000,
    machine: below(random, plan.machines),
  }));
  const inlineBytes = Math.floor(random.fraction() * MOST_INLINE_BYTES);
  return { ...plan, inlineBytes, troubles: byTime([...plan.troubles, ...collections]) };
}

/** Own seed, as `atMaster`. */
function anyNames(seed: number): readonly string[] {
  const chance = seededRandom(seed * 59 + 13).fraction();
  if (chance < UNITS) return UNIT_NAMES;
  if (chance < UNITS + VARIANTS) return VARIANT_NAMES;
  return chance < UNITS + VARIANTS + DOCUMENTS ? DOCUMENT_NAMES : NAMES;
}

function anyAction(random: Random): Action {
  const kind = KINDS[below(random, KINDS.length)] ?? "create";
  return { kind, at: anyChoice(random), to: anyChoice(random), own: random.fraction() < 0.2 };
}

function anyChoice(random: Random): Choice {
  const down = listOf(below(random, 4), () => below(random, 4));
  return { down, name: below(random, 10), existing: random.fraction() < 0.5 };
}

function anyTrouble(random: Random, machines: number, lengthMs: number): Trouble {
  return {
    kind: TROUBLES[below(random, TROUBLES.length)] ?? "kill",
    atMs: random.fraction() * lengthMs,
    forMs: random.fraction() * 5_000,
    machine: below(random, machines),
  };
}

/** A quarter of the histories have a network that loses nothing. */
function anyChances(random: Random): LinkChances {
  const level = random.fraction() < 0.25 ? 0 : random.fraction() * 0.2;
  const share = () => level * random.fraction();
  return { requestLost: share(), replyLost: share(), twice: share(), late: share(), flip: share() / 4 };
}

function below(random: Random, limit: number): number {
  return Math.floor(random.fraction() * limit);
}

function listOf<Item>(length: number, make: () => Item): Item[] {
  return Array.from({ length }, make);
}

function byTime<Item extends { readonly atMs: number }>(items: readonly Item[]): Item[] {
  return items.toSorted((a, b) => a.atMs - b.atMs);
}
