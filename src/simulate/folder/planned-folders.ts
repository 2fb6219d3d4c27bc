/** Plans a history's synced folders: what people do in them, and what befalls their agents and disks. */
import type { Random } from "../../base/random.ts";
import { seededRandom } from "../seeded-random.ts";
import { FOLDER_KINDS, type FolderAction } from "./folder-actions.ts";

/** Fractions: of histories with one folder or more, of histories with two, and of folders that are set back. */
const WITH_FOLDERS = 0.25;
const TWO_FOLDERS = 0.1;
const SET_BACK = 0.15;

export interface FolderPlan {
  readonly actions: readonly { readonly atMs: number; readonly action: FolderAction }[];
  /** When its process is killed, and how long until it restarts. */
  readonly kills: readonly { readonly atMs: number; readonly forMs: number }[];
  /** An image made at `atMs` is put back `forMs` later: of folder and database, or of the database alone. */
  readonly setBack?: { readonly atMs: number; readonly forMs: number; readonly databaseOnly: boolean } | undefined;
}

/** Uses seeds of its own, so that what else is drawn for a history stays the same. */
export function anyFolders(seed: number, many: number, lengthMs: number): readonly FolderPlan[] {
  const random = seededRandom(seed * 79 + 31);
  const chance = random.fraction();
  const folders = chance < TWO_FOLDERS ? 2 : chance < WITH_FOLDERS ? 1 : 0;
  const setBack = anySetBack(seed, lengthMs);
  return Array.from({ length: folders }, () => ({
    ...setBack(),
    actions: byTime(
      Array.from({ length: 1 + below(random, 3 + many / 2) }, () => ({
        atMs: random.fraction() * lengthMs,
        action: {
          kind: FOLDER_KINDS[below(random, FOLDER_KINDS.length)] ?? "create",
          pick: below(random, 10),
          to: below(random, 10),
        },
      })),
    ),
    kills: byTime(
      Array.from({ length: below(random, 3) }, () => ({
        atMs: random.fraction() * lengthMs,
        forMs: random.fraction() * 5_000,
      })),
    ),
  }));
}

function anySetBack(seed: number, lengthMs: number): () => Pick<FolderPlan, "setBack"> {
  const random = seededRandom(seed * 107 + 59);
  return () => {
    if (random.fraction() >= SET_BACK) return {};
    const [atMs, forMs] = [random.fraction() * lengthMs, random.fraction() * 8_000];
    return { setBack: { atMs, forMs, databaseOnly: random.fraction() < 0.5 } };
  };
}

function below(random: Random, limit: number): number {
  return Math.floor(random.fraction() * limit);
}

function byTime<Item extends { readonly atMs: number }>(items: readonly Item[]): Item[] {
  return items.toSorted((a, b) => a.atMs - b.atMs);
}
