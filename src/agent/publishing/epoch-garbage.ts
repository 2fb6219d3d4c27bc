/**
 * Decides when to collect garbage of published epochs: soon if there is much, when the agent is quiet if there is little.
 */

/** How soon: "on the way" in the middle of an epoch, "when idle" and "when quiet" as IdleRelease has them. */
export type ReleaseTime = "now" | "on the way" | "when idle" | "when quiet";

/** Bytes uploaded, or read to find that the bucket already has them. */
const MUCH_BYTES = 16 * 1024 * 1024;
const MANY_OBJECTS = 1_000;
/** From this fraction of "much" on, garbage is collected once the agent is quiet. */
const LITTLE = 1 / 4;

export class EpochGarbage {
  readonly #release: (when: ReleaseTime) => void;
  /** Both restart at zero once they reach "much". */
  #bytes = 0;
  #objects = 0;

  constructor(release: (when: ReleaseTime) => void) {
    this.#release = release;
  }

  /** An epoch is over. Many small ones leave as much as a large one. */
  left(bytes: number, objects: number): void {
    this.#bytes += bytes;
    this.#objects += objects;
    const much = Math.max(this.#bytes / MUCH_BYTES, this.#objects / MANY_OBJECTS);
    if (much > 1) this.#bytes = this.#objects = 0;
    if (bytes > MUCH_BYTES) this.#release("now");
    else if (much > 1) this.#release("when idle");
    else if (much > LITTLE) this.#release("when quiet");
  }
}
