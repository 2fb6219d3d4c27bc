/** What calls leave behind: V8 lets garbage become several times what is alive before it looks for it, unless it is told. */
import { GARBAGE_BYTES, YOUNG_GARBAGE_BYTES } from "../limits.ts";

/** Collects what became garbage soon after it was made, in a millisecond or two, or all, which holds everything up for some 20. */
export type Collect = (what: "young" | "all") => void;

export class Garbage {
  readonly #collect: Collect;
  #young = 0;
  #old = 0;

  constructor(collect: Collect) {
    this.#collect = collect;
  }

  /** So many bytes of a body came and went: V8 does not see what lies outside its heap before it is 64 MiB, and then collects all. */
  young(bytes: number): void {
    this.#young += bytes;
    if (this.#young < YOUNG_GARBAGE_BYTES) return;
    this.#young = 0;
    this.#collect("young");
  }

  /** So much became garbage that lived for a while. */
  old(bytes: number): void {
    this.#old += bytes;
    if (this.#old < GARBAGE_BYTES) return;
    this.#old = this.#young = 0;
    this.#collect("all");
  }
}
