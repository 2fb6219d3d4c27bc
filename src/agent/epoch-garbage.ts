/** What published epochs leave as garbage, and when that is worth being collected: much of it soon, a little when nothing else is to do. */

/** How soon: "on the way" in the middle of an epoch, "when idle" and "when quiet" as IdleRelease has them. */
export type ReleaseTime = "now" | "on the way" | "when idle" | "when quiet";

/** What was uploaded, or read to find that the bucket has it. */
const MUCH_BYTES = 16 * 1024 * 1024;
const MANY_OBJECTS = 1_000;
/** This part of it is worth it when nothing else comes for long. */
const LITTLE = 1 / 4;

export class EpochGarbage {
  readonly #release: (when: ReleaseTime) => void;
  /** Since it was last much. */
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
