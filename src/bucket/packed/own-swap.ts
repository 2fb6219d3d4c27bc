/** The roots that a remote swaps in itself, which its watch need not report. */
import type { Cid } from "../../base/ids.ts";
import type { Turn } from "../../objects/object-store.ts";

export class OwnSwap {
  #commit: Cid | undefined;
  #underWay = 0;
  #inLine = 0;
  readonly #told = new Set<() => void>();

  /** Whether a swap is under way: its result tells the root's state. */
  get isUnderWay(): boolean {
    return this.#underWay > 0;
  }

  /** Whether a turn is awaited or taken. Others swap often meanwhile; the writer reads the root when its turn comes. */
  get isInLine(): boolean {
    return this.#inLine > 0;
  }

  /** Calls `changed` whenever `isInLine` changes, until disposed. */
  onLine(changed: () => void): Disposable {
    this.#told.add(changed);
    return { [Symbol.dispose]: () => void this.#told.delete(changed) };
  }

  /** Waits for the turn of `taking`; `isInLine` holds until it ends. */
  async inLine(taking: Promise<Turn | undefined>): Promise<Turn | undefined> {
    this.#count(1);
    let turn: Turn | undefined;
    try {
      turn = await taking;
    } finally {
      if (turn === undefined) this.#count(-1);
    }
    return turn && this.#endingWith(turn);
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
   * What a look at the root finds after the last swap here: that root ("own", reported once: if it comes back, another
   * writer brought it), another root ("other"), possibly the previous one again, or nothing of note ("none").
   */
  look(root: Cid | undefined): "own" | "other" | "none" {
    const own = this.#commit;
    if (own === undefined || (root !== own && this.isUnderWay)) return "none";
    this.#commit = undefined;
    return root === own ? "own" : "other";
  }

  #endingWith(turn: Turn): Turn {
    let ended = false;
    return {
      waited: turn.waited,
      [Symbol.dispose]: () => {
        turn[Symbol.dispose]();
        if (!ended) this.#count(-1);
        ended = true;
      },
    };
  }

  #count(by: 1 | -1): void {
    const before = this.isInLine;
    this.#inLine += by;
    if (this.isInLine !== before) for (const changed of this.#told) changed();
  }
}
