/**
 * Collects garbage that calls leave. V8 lets it grow to several times the live heap. Bodies' bytes lie outside that heap: V8
 * ignores up to 64 MiB of them, and then collects all, in some 20 ms. Young garbage takes 1 or 2 ms.
 */

/** Collects recent garbage, or all of it. */
export type Collect = (what: "young" | "all") => void;

/** How many bytes of garbage are worth a collection. */
export interface GarbageLimits {
  readonly young: number;
  readonly all: number;
}

export class Garbage {
  readonly #limits: GarbageLimits;
  readonly #collect: Collect;
  #young = 0;
  #old = 0;

  constructor(limits: GarbageLimits, collect: Collect) {
    this.#limits = limits;
    this.#collect = collect;
  }

  /** Bytes that came and went, or will be garbage once the next ones arrive. */
  young(bytes: number): void {
    this.#young += bytes;
    if (this.#young < this.#limits.young) return;
    this.#young = 0;
    this.#collect("young");
  }

  /** Garbage that lived for a while. */
  old(bytes: number): void {
    this.#old += bytes;
    if (this.#old < this.#limits.all) return;
    this.#old = this.#young = 0;
    this.#collect("all");
  }
}
