/** Ascending keys, as byte strings: a buffer each would take three times as much memory. A part of them is a view. */
import type { Bounds } from "./subtree.ts";

/** A key as a byte string: these sort as the bytes do. */
export function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
}

export class SortedKeys {
  readonly #texts: readonly string[];
  readonly #from: number;
  readonly #to: number;

  /** The keys at [from, to). */
  constructor(texts: readonly string[], from = 0, to = texts.length) {
    this.#texts = texts;
    this.#from = from;
    this.#to = to;
  }

  get length(): number {
    return this.#to - this.#from;
  }

  /** Undefined after the last one. */
  at(index: number): Uint8Array | undefined {
    const text = index < this.length ? this.#texts[this.#from + index] : undefined;
    return text === undefined ? undefined : Buffer.from(text, "latin1");
  }

  /** Those within the bounds. */
  within({ from, to }: Bounds): SortedKeys {
    const start = from === undefined ? this.#from : this.#firstAbove(keyText(from));
    const end = to === undefined ? this.#to : this.#firstAbove(keyText(to));
    return new SortedKeys(this.#texts, start, Math.max(start, end));
  }

  #firstAbove(bound: string): number {
    let [low, high] = [this.#from, this.#to];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#texts[middle] ?? bound) <= bound) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export const NO_KEYS = new SortedKeys([]);
