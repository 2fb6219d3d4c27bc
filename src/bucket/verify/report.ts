/** What verifying a bucket tells: damage as values, and how far it has come. */
import type { Cid } from "../../base/ids.ts";

/** One thing that is wrong. */
export interface DamageItem {
  /** A path that the damage concerns; undefined when it concerns no path, or none can be told. */
  readonly path: string | undefined;
  /** The root in which that path is, when it is not the current one. */
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
  /** Roots that were walked: the current one and all that it retains. */
  readonly roots: number;
  /** Blocks that are reached, but missing or damaged: what a repair looks for in caches. */
  readonly lost: readonly Cid[];
}

export type OnProgress = (progress: VerifyProgress) => void;

export function damageItem(what: string, where: Partial<Omit<DamageItem, "what">> = {}): DamageItem {
  return { path: undefined, root: undefined, cid: undefined, object: undefined, ...where, what };
}
