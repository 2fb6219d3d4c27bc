/**
 * Rows of a checkpoint, encoded, until they are written. They share buffers: hundreds of thousands of small ones would keep
 * the garbage collector busy.
 */
import type { Ino } from "../../base/ids.ts";
import { ByteWriter } from "../data/bytes.ts";
import type { DirtyObject } from "../dirty-object.ts";
import type { ObjectRow } from "../disk/storage.ts";
import { writeObject } from "./checkpoint.ts";

const FIRST_BYTES = 4096;
/** What a row costs besides its bytes: one that only removes an object has none. */
const ROW_COST = 32;

export class EncodedObjects {
  readonly #portionBytes: number;
  readonly #portions: Portion[] = [];

  /** `portionBytes`: a portion takes rows until it has this size. */
  constructor(portionBytes: number) {
    this.#portionBytes = portionBytes;
  }

  /** Undefined: the object is no longer dirty. */
  add(ino: Ino, object: DirtyObject | undefined): void {
    const last = this.#portions.at(-1);
    const portion = last !== undefined && last.size < this.#portionBytes ? last : new Portion();
    if (portion !== last) this.#portions.push(portion);
    portion.add(ino, object);
  }

  get bytes(): number {
    return this.#portions.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** In the order of `add`. */
  get portions(): readonly Iterable<ObjectRow>[] {
    return this.#portions;
  }
}

class Portion {
  readonly #writer = new ByteWriter(FIRST_BYTES);
  readonly #inos: Ino[] = [];
  /** Where each row ends; one that is empty says that the object is no longer dirty. */
  readonly #ends: number[] = [];

  add(ino: Ino, object: DirtyObject | undefined): void {
    if (object !== undefined) writeObject(this.#writer, object);
    this.#inos.push(ino);
    this.#ends.push(this.bytes);
  }

  get bytes(): number {
    return this.#writer.length;
  }

  get size(): number {
    return this.bytes + ROW_COST * this.#inos.length;
  }

  *[Symbol.iterator](): Generator<ObjectRow> {
    const { bytes } = this.#writer;
    let start = 0;
    for (const [index, ino] of this.#inos.entries()) {
      const end = this.#ends[index] ?? start;
      yield [ino, end === start ? undefined : bytes.subarray(start, end)];
      start = end;
    }
  }
}
