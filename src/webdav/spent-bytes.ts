/**
 * Counts the bytes of finished bodies. They lie outside V8's heap, and V8 collects the whole heap, in some 20 ms, for every
 * few MiB of them. Collecting young garbage takes 1 or 2 ms, and these bytes are young.
 */
import { YOUNG_GARBAGE_BYTES } from "./limits.ts";

export class SpentBytes {
  readonly #collectYoung: (() => void) | undefined;
  #bytes = 0;

  constructor(collectYoung: (() => void) | undefined) {
    this.#collectYoung = collectYoung;
  }

  /** This many bytes are garbage now, or will be once the next ones arrive. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < YOUNG_GARBAGE_BYTES) return;
    this.#bytes = 0;
    this.#collectYoung?.();
  }
}
