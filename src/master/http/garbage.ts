/** Collects garbage that calls leave: on its own, V8 lets it grow to several times the live heap. */
import { GARBAGE_BYTES, YOUNG_GARBAGE_BYTES } from "../limits.ts";

/** Collects recent garbage in a millisecond or two, or all of it, which blocks everything for some 20. */
export type Collect = (what: "young" | "all") => void;

export class Garbage {
  readonly #collect: Collect;
  #young = 0;
  #old = 0;

  constructor(collect: Collect) {
    this.#collect = collect;
  }

  /** Reports body bytes that came and went. V8 ignores memory outside its heap up to 64 MiB, and then collects all. */
  young(bytes: number): void {
    this.#young += bytes;
    if (this.#young < YOUNG_GARBAGE_BYTES) return;
    this.#young = 0;
    this.#collect("young");
  }

  /** Reports garbage that lived for a while. */
  old(bytes: number): void {
    this.#old += bytes;
    if (this.#old < GARBAGE_BYTES) return;
    this.#old = this.#young = 0;
    this.#collect("all");
  }
}
