/** A queue of places to look at, smallest key first, without duplicates. */
import { placeText } from "../object-rows.ts";
import type { Place } from "../object-rows.ts";

/** A binary heap. */
export class PlaceQueue {
  readonly #heap: { readonly key: string; readonly place: Place }[] = [];
  readonly #waiting = new Set<string>();

  add(place: Place): void {
    const key = placeText(place);
    if (this.#waiting.has(key)) return;
    this.#waiting.add(key);
    const item = { key, place };
    let at = this.#heap.push(item) - 1;
    for (let up = (at - 1) >> 1; at > 0 && this.#key(up) > key; up = (at - 1) >> 1) {
      this.#heap[at] = this.#heap[up] ?? item;
      at = up;
    }
    this.#heap[at] = item;
  }

  /** The smallest place, or undefined when the queue is empty. */
  take(): Place | undefined {
    const [first] = this.#heap;
    const last = this.#heap.pop();
    if (first === undefined || last === undefined) return undefined;
    this.#waiting.delete(first.key);
    if (this.#heap.length > 0) this.#sink(last);
    return first.place;
  }

  /** Puts `item` where it belongs, from the top down. */
  #sink(item: { readonly key: string; readonly place: Place }): void {
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const small = left + 1 < this.#heap.length && this.#key(left + 1) < this.#key(left) ? left + 1 : left;
      const below = this.#heap[small];
      if (below === undefined || below.key >= item.key) break;
      this.#heap[at] = below;
      at = small;
    }
    this.#heap[at] = item;
  }

  #key(index: number): string {
    return this.#heap[index]?.key ?? "";
  }
}
