/** Sorted edits, read ahead in batches so that the nodes they need are fetched together. */
import { compareBytes } from "../base/bytes.ts";
import { SynclineError } from "../base/errors.ts";
import type { Edit } from "./entry.ts";

export class EditFeed {
  /** The next edit, if read already. Undefined: call `refill`. */
  current: Edit | undefined;
  readonly #source: Iterator<Edit> | AsyncIterator<Edit>;
  readonly #prepare: ((keys: readonly Uint8Array[]) => Promise<void>) | undefined;
  readonly #size: number;
  #batch: Edit[] = [];
  #next = 0;
  #last: Uint8Array | undefined;
  #done = false;

  /** `prepare` gets the keys of each batch of up to `size` edits before the first of them is returned. */
  constructor(
    source: Iterable<Edit> | AsyncIterable<Edit>,
    prepare?: (keys: readonly Uint8Array[]) => Promise<void>,
    size: number = DEFAULT_BATCH,
  ) {
    this.#source = Symbol.iterator in source ? source[Symbol.iterator]() : source[Symbol.asyncIterator]();
    this.#prepare = prepare;
    this.#size = size;
  }

  /** Returns the current edit; the next one becomes current if read already. */
  take(): Edit {
    const edit = this.current;
    if (edit === undefined) throw new SynclineError("internal", "An edit was taken before it was read.");
    this.current = this.#batch[this.#next++];
    return edit;
  }

  /** Reads the next batch. Returns the new current edit, or undefined at the end. */
  async refill(): Promise<Edit | undefined> {
    if (this.current !== undefined) return this.current;
    this.#batch = [];
    while (!this.#done && this.#batch.length < this.#size) {
      const step = this.#source.next();
      const { done, value } = "then" in step ? await step : step;
      if (done === true) this.#done = true;
      else this.#batch.push(this.#checkOrder(value));
    }
    if (this.#batch.length > 0) await this.#prepare?.(this.#batch.map(({ key }) => key));
    this.current = this.#batch[0];
    this.#next = 1;
    return this.current;
  }

  /** Tells the source to stop. */
  async close(): Promise<void> {
    if (!this.#done) await this.#source.return?.();
  }

  #checkOrder(edit: Edit): Edit {
    if (this.#last !== undefined && compareBytes(this.#last, edit.key) >= 0) {
      throw new SynclineError("usage", "Edits of a tree must be in ascending key order.");
    }
    this.#last = edit.key;
    return edit;
  }
}

const DEFAULT_BATCH = 256;
