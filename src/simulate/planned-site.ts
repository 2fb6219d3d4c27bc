/** Where a history's bucket is: in an object store, in S3, at a master, at several; and what befalls the masters. */
import type { Random } from "../base/random.ts";
import type { RootForm } from "../objects/s3/probe.ts";
import { seededRandom } from "./seeded-random.ts";

export interface MasterPlan {
  /** How long blocks stay that no root reaches; undefined: the usual time. */
  readonly leaseSeconds: number | undefined;
  /** Set if there are several, without state of their own. */
  readonly masters?: number | undefined;
}

export const MASTER_TROUBLES = [
  "master killed",
  "master killed",
  "master without power",
  "master's disk full",
] as const;

export interface MasterTrouble {
  readonly kind: (typeof MASTER_TROUBLES)[number];
  readonly atMs: number;
  readonly forMs: number;
  readonly machine: number;
}

export interface PlannedSite {
  readonly s3?: RootForm | undefined;
  readonly master?: MasterPlan | undefined;
  readonly troubles: readonly MasterTrouble[];
}

/** The fraction of histories at a master; of these, at several; of those in a store that is no folder, in S3. */
const AT_MASTERS = 0.3;
const IN_FLEETS = 0.4;
const IN_S3 = 0.6;
/** Leases this short expire while uploads are under way. */
const SHORT_LEASE_S = [2, 30] as const;

/** Drawn from seeds of their own, so that other histories stay unchanged. `mostTroubles`: fewer than this many. */
export function plannedSite(seed: number, isFolder: boolean, lengthMs: number, mostTroubles: number): PlannedSite {
  const random = seededRandom(seed * 53 + 11);
  if (random.fraction() >= AT_MASTERS) return { s3: isFolder ? undefined : anyForm(seed), troubles: [] };
  const [shortest, longest] = SHORT_LEASE_S;
  const isShort = random.fraction() >= 0.5;
  const leaseSeconds = isShort ? Math.round(shortest + random.fraction() * (longest - shortest)) : undefined;
  const troubles = Array.from({ length: below(random, mostTroubles) }, () => ({
    kind: MASTER_TROUBLES[below(random, MASTER_TROUBLES.length)] ?? "master killed",
    atMs: random.fraction() * lengthMs,
    forMs: random.fraction() * 5_000,
    machine: 0,
  }));
  const masters = anyFleet(seed);
  return { master: { leaseSeconds, ...(masters !== undefined && { masters }) }, troubles };
}

function anyForm(seed: number): RootForm | undefined {
  const random = seededRandom(seed * 97 + 43);
  if (random.fraction() >= IN_S3) return undefined;
  return random.fraction() < 0.5 ? "replaced" : "numbered";
}

function anyFleet(seed: number): number | undefined {
  const random = seededRandom(seed * 101 + 47);
  return random.fraction() < IN_FLEETS ? 2 + below(random, 2) : undefined;
}

function below(random: Random, limit: number): number {
  return Math.floor(random.fraction() * limit);
}
