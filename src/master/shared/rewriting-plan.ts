/** Which packs a collection writes anew or condemns. */
import type { PackRow } from "../../format/blocks/pack.ts";
import { isWorthRewriting } from "../../packs/rewriting.ts";

/** A live pack, and which of its blocks must stay. */
export interface PackUse {
  readonly pack: string;
  /** Of the object. */
  readonly bytes: number;
  readonly blocks: number;
  /** Bytes of all its blocks. */
  readonly total: number;
  readonly needed: readonly PackRow[];
  readonly isOld: boolean;
}

/** Packs below this are joined once there are so many: each costs a request to every master that starts. */
const SMALL_BYTES = 1024 * 1024;
const SMALL_PACKS = 16;
/** The most that one collection copies. */
const MAX_COPIED_BYTES = 1024 * 1024 * 1024;

export function planRewriting(uses: readonly PackUse[]): { readonly packs: PackUse[]; readonly bytes: number } {
  const small = uses.filter(({ bytes }) => bytes < SMALL_BYTES);
  const joined = new Set(small.length >= SMALL_PACKS ? small : []);
  const packs: PackUse[] = [];
  let bytes = 0;
  for (const use of uses) {
    const live = use.needed.reduce((sum, { length }) => sum + length, 0);
    const isGarbage = use.isOld && (use.needed.length === 0 || isWorthRewriting({ bytes: use.total, live }));
    if (!isGarbage && !joined.has(use)) continue;
    if (live > 0 && bytes + live > MAX_COPIED_BYTES) continue;
    packs.push(use);
    bytes += live;
  }
  return { packs, bytes };
}
