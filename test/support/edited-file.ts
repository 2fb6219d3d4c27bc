/** A file in memory that is edited as the overlay edits one: as segments over a base. */
import type { ContentSegment } from "../../src/content/segment.ts";

export class EditedFile {
  bytes: Uint8Array;
  readonly #baseSize: number;
  /** Each byte's current origin; holes differ from data only in how they are reported. */
  #origin: Uint8Array;

  constructor(base: Uint8Array) {
    this.bytes = Uint8Array.from(base);
    this.#baseSize = base.length;
    this.#origin = new Uint8Array(base.length).fill(BASE);
  }

  write(offset: number, data: Uint8Array): this {
    this.truncate(Math.max(this.bytes.length, offset + data.length));
    this.bytes.set(data, offset);
    this.#origin.fill(DATA, offset, offset + data.length);
    return this;
  }

  punch(offset: number, length: number): this {
    this.bytes.fill(0, offset, offset + length);
    this.#origin.fill(HOLE, offset, offset + length);
    return this;
  }

  truncate(size: number): this {
    const [bytes, origin] = [new Uint8Array(size), new Uint8Array(size).fill(HOLE)];
    bytes.set(this.bytes.subarray(0, size));
    origin.set(this.#origin.subarray(0, size));
    [this.bytes, this.#origin] = [bytes, origin];
    return this;
  }

  /** Inserts as an editor does: rewrites everything after the insertion. */
  insert(offset: number, data: Uint8Array): this {
    const tail = this.bytes.slice(offset);
    return this.write(offset, data).write(offset + data.length, tail);
  }

  segments(): ContentSegment[] {
    const segments: ContentSegment[] = [];
    for (let at = 0; at < this.bytes.length;) {
      let end = at;
      while (end < this.bytes.length && this.#origin[end] === this.#origin[at]) end++;
      const from = this.#origin[at] === BASE ? "base" : this.#origin[at] === DATA ? "data" : "hole";
      segments.push({ offset: at, length: end - at, from, epoch: from === "data" ? EPOCH : 0 });
      at = end;
    }
    return segments;
  }

  readData = async (epoch: number, offset: number, length: number, target?: Uint8Array): Promise<Uint8Array> => {
    if (epoch !== EPOCH || offset + length > this.bytes.length) throw new Error("read past what was written");
    if (target === undefined) return this.bytes.slice(offset, offset + length);
    target.set(this.bytes.subarray(offset, offset + length));
    return target.subarray(0, length);
  };

  get baseSize(): number {
    return this.#baseSize;
  }
}

const EPOCH = 7;
const BASE = 1;
const DATA = 2;
const HOLE = 3;
