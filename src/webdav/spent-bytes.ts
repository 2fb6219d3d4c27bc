/**
 * Bytes of bodies that came and went. They lie outside V8's heap, and it collects all of that, at some 20 ms, for every few MiB of
 * them; what lies young is collected in one or two, and these bytes have just died.
 */
import { YOUNG_GARBAGE_BYTES } from "./limits.ts";

export class SpentBytes {
  readonly #collectYoung: (() => void) | undefined;
  #bytes = 0;

  constructor(collectYoung: (() => void) | undefined) {
    this.#collectYoung = collectYoung;
  }

  /** So many are garbage now, or will be when the next ones have come. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < YOUNG_GARBAGE_BYTES) return;
    this.#bytes = 0;
    this.#collectYoung?.();
  }
}
