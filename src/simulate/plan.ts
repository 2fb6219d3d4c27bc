/** What happens in one simulated history, all of it drawn from one number: who does what when, and what goes wrong. */
import type { Random } from "../base/random.ts";
import { KINDS } from "./deeds.ts";
import type { Choice, Deed } from "./deeds.ts";
import type { LinkChances } from "./simulated-link.ts";
import { seededRandom } from "./seeded-random.ts";

export interface Plan {
  readonly seed: number;
  readonly machines: number;
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

/** Something goes wrong at one machine, for some time. */
export interface Trouble {
  readonly kind: "kill" | "power loss" | "partition" | "disk full";
  readonly atMs: number;
  readonly forMs: number;
  readonly machine: number;
}

export function planOf(seed: number): Plan {
  const random = seededRandom(seed);
  const machines = 2 + below(random, 3);
  const lengthMs = 2_000 + random.fraction() * 30_000;
  const deeds = listOf(20 + below(random, 60), () => ({
    atMs: random.fraction() * lengthMs,
    machine: below(random, machines),
    deed: anyDeed(random),
  }));
  const troubles = listOf(below(random, 6), () => anyTrouble(random, machines, lengthMs));
  return { seed, machines, chances: anyChances(random), deeds: byTime(deeds), troubles: byTime(troubles) };
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
  const kinds = ["kill", "kill", "power loss", "partition", "partition", "disk full"] as const;
  return {
    kind: kinds[below(random, kinds.length)] ?? "kill",
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
