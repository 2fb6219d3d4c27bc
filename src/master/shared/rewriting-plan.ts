/** Which packs a collection writes anew or condemns. */
import type { PackRow } from "../../format/blocks/pack.ts";
import { isWorthRewriting } from "../../packs/rewriting.ts";

/** A live pack, and how much of it must stay. */
export interface PackUse {
  readonly pack: string;
  /** Of the object. */
  readonly bytes: number;
  readonly blocks: number;
  /** Bytes of all its blocks. */
  readonly total: number;
  readonly liveBlocks: number;
  readonly liveBytes: number;
  readonly isOld: boolean;
}

/** A pack that may be written anew, and the blocks that must stay, as they were counted. */
export interface PackChoice extends PackUse {
  readonly needed: readonly PackRow[];
}

/** Packs below this are joined once there are so many: each costs a request to every master that starts. */
const SMALL_BYTES = 1024 * 1024;
const SMALL_PACKS = 16;
/** The most that one collection copies. */
const MAX_COPIED_BYTES = 1024 * 1024 * 1024;

/** Takes the uses of all packs. Keeps only the rows of those that may be written anew. */
export class RewritingPlan {
  readonly uses: PackUse[] = [];
  readonly #choices: PackChoice[] = [];
  #small = 0;
  #bytes = 0;

  add(use: Omit<PackUse, "liveBlocks" | "liveBytes">, needed: readonly PackRow[]): void {
    const liveBytes = needed.reduce((sum, { length }) => sum + length, 0);
    const counted = { ...use, liveBlocks: needed.length, liveBytes };
    this.uses.push(counted);
    if (isSmall(use)) this.#small++;
    if (!isGarbage(counted) && !isSmall(use)) return;
    if (liveBytes > 0 && this.#bytes + liveBytes > MAX_COPIED_BYTES) return;
    this.#choices.push({ ...counted, needed });
    this.#bytes += liveBytes;
  }

  /** The packs to write anew, and how many bytes that copies. */
  get chosen(): { readonly packs: readonly PackChoice[]; readonly bytes: number } {
    const packs = this.#choices.filter((use) => isGarbage(use) || this.#small >= SMALL_PACKS);
    return { packs, bytes: packs.reduce((sum, { liveBytes }) => sum + liveBytes, 0) };
  }
}

function isSmall({ bytes }: Pick<PackUse, "bytes">): boolean {
  return bytes < SMALL_BYTES;
}

function isGarbage({ isOld, total, liveBlocks, liveBytes }: PackUse): boolean {
  return isOld && (liveBlocks === 0 || isWorthRewriting({ bytes: total, live: liveBytes }));
}
