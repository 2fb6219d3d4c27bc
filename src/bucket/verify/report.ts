/** The report of verifying a bucket: damage as values, and progress. */
import type { Cid } from "../../base/ids.ts";

/** One thing that is wrong. */
export interface DamageItem {
  /** A path that the damage affects; undefined when there is none or it is unknown. */
  readonly path: string | undefined;
  /** The root that contains the path, unless it is the current one. */
  readonly root: Cid | undefined;
  readonly cid: Cid | undefined;
  /** The object of the store that holds the damage. */
  readonly object: string | undefined;
  readonly what: string;
}

export interface VerifyProgress {
  readonly blocks: number;
  readonly bytes: number;
  readonly roots: number;
}

export interface VerifyReport extends VerifyProgress {
  /** Empty: nothing is wrong. */
  readonly damage: readonly DamageItem[];
  /** Number of roots walked: the current one and all that it retains. */
  readonly roots: number;
  /** Reachable blocks that are missing or damaged: a repair looks for them in caches. */
  readonly lost: readonly Cid[];
}

export type OnProgress = (progress: VerifyProgress) => void;

export function damageItem(what: string, where: Partial<Omit<DamageItem, "what">> = {}): DamageItem {
  return { path: undefined, root: undefined, cid: undefined, object: undefined, ...where, what };
}
