/** What happens in one simulated history, all of it drawn from one number: who does what when, and what goes wrong. */
import type { Random } from "../base/random.ts";
import { KINDS } from "./deeds.ts";
import type { Choice, Deed } from "./deeds.ts";
import type { LinkChances } from "./simulated-link.ts";
import { seededRandom } from "./seeded-random.ts";

/** As often as they stand here. */
const TROUBLES = [
  ...(["kill", "kill", "power loss", "partition", "partition", "disk full"] as const),
  ...(["collection", "collection", "days off"] as const),
];
const LONG_PART = 0.1;
const LONG_TIMES = 4;
/** Between two machines. */
const MOST_SKEW_MS = 2 * 60 * 60 * 1000;

export interface Plan {
  readonly seed: number;
  readonly machines: number;
  /** How far each machine's clock is ahead. */
  readonly skewsMs: readonly number[];
  /** Whether the bucket is collected once more when all is quiet. */
  readonly endsCollected: boolean;
  readonly chances: LinkChances;
  /** By time. */
  readonly deeds: readonly PlannedDeed[];
  readonly troubles: readonly Trouble[];
}

export interface PlannedDeed {
  readonly atMs: number;
  readonly machine: number;
  readonly deed: Deed;
}

/**
 * Something goes wrong at one machine, for some time. Days off: at all of them; nothing runs anywhere, and days go by. Collection: the
 * machine collects the bucket, and is killed if that has not ended after the time.
 */
export interface Trouble {
  readonly kind: (typeof TROUBLES)[number];
  readonly atMs: number;
  readonly forMs: number;
  readonly machine: number;
}

export function planOf(seed: number): Plan {
  const random = seededRandom(seed);
  // A few are long: what many epochs of many machines come to is not seen in short ones.
  const isLong = random.fraction() < LONG_PART;
  const times = isLong ? LONG_TIMES : 1;
  const machines = (isLong ? 3 : 2) + below(random, 3);
  const skewsMs = listOf(machines, () => (random.fraction() < 0.5 ? 0 : (random.fraction() - 0.5) * MOST_SKEW_MS));
  const lengthMs = (2_000 + random.fraction() * 30_000) * times;
  const deeds = listOf((20 + below(random, 60)) * times, () => ({
    atMs: random.fraction() * lengthMs,
    machine: below(random, machines),
    deed: anyDeed(random),
  }));
  const troubles = listOf(below(random, 7 * times), () => anyTrouble(random, machines, lengthMs));
  const [chances, endsCollected] = [anyChances(random), random.fraction() < 0.25];
  return { seed, machines, skewsMs, endsCollected, chances, deeds: byTime(deeds), troubles: byTime(troubles) };
}

function anyDeed(random: Random): Deed {
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

/** One history in four has a network that loses nothing. */
function anyChances(random: Random): LinkChances {
  const level = random.fraction() < 0.25 ? 0 : random.fraction() * 0.1;
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
