/** What a remote swaps in itself, which its watch need not tell whoever swapped it. */
import type { Cid } from "../../base/ids.ts";

export class OwnSwap {
  #commit: Cid | undefined;
  #underWay = 0;

  /** Whether one is on its way: its end tells how the root is. */
  get isUnderWay(): boolean {
    return this.#underWay > 0;
  }

  /** Runs `swap`, which puts `commit` in. */
  async run<Outcome>(commit: Cid, swap: () => Promise<Outcome>): Promise<Outcome> {
    this.#commit = commit;
    this.#underWay++;
    try {
      return await swap();
    } finally {
      this.#underWay--;
    }
  }

  /**
   * What a look at the root finds after what was swapped in last: that ("own", once: if it comes back, somebody else brought it),
   * another root ("other"), which may be the one before again, or nothing of note ("none").
   */
  look(root: Cid | undefined): "own" | "other" | "none" {
    const own = this.#commit;
    if (own === undefined || (root !== own && this.isUnderWay)) return "none";
    this.#commit = undefined;
    return root === own ? "own" : "other";
  }
}
