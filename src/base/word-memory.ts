/**
 * Memory outside the JavaScript heap for tables of many small records. The heap has a limit of its own, and passing it ends
 * the process; here the limit is ours, and passing it is an error.
 */
import { SynclineError } from "./errors.ts";

const MIB = 1024 * 1024;

/** The memory that several tables share. */
export class WordMemory {
  readonly #mostBytes: number;
  #bytes = 0;

  constructor(mostBytes = Infinity) {
    this.#mostBytes = mostBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Throws `limit_exceeded` if so much is not left. */
  require(bytes: number): void {
    if (this.#bytes + bytes > this.#mostBytes) throw tooMany(this.#mostBytes);
  }

  /** Zeros. Throws `limit_exceeded`. */
  take(words: number): Uint32Array {
    const bytes = words * Uint32Array.BYTES_PER_ELEMENT;
    this.require(bytes);
    const taken = allocated(words, this.#bytes);
    this.#bytes += bytes;
    return taken;
  }

  /** Counts it as free. The caller drops it. */
  release(taken: Uint32Array): void {
    this.#bytes -= taken.byteLength;
  }
}

function allocated(words: number, inUse: number): Uint32Array {
  try {
    return new Uint32Array(words);
  } catch (cause) {
    if (cause instanceof RangeError) throw tooMany(inUse, cause);
    throw cause;
  }
}

export function tooMany(bytes: number, cause?: unknown): SynclineError {
  return new SynclineError("limit_exceeded", `The list of blocks needs more than ${Math.ceil(bytes / MIB)} MiB.`, {
    hint: "Use a machine with more memory.",
    cause,
  });
}

/** Records of a fixed number of 32-bit words, numbered from 0. Growing copies nothing. */
export class WordRecords {
  readonly #memory: WordMemory;
  readonly #width: number;
  #segments: Uint32Array[] = [];
  #size = 0;

  constructor(memory: WordMemory, width: number) {
    this.#memory = memory;
    this.#width = width;
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a record of zeros and returns its number. Throws `limit_exceeded`. */
  add(): number {
    if (this.#size === this.#segments.length * SEGMENT) this.#segments.push(this.#memory.take(SEGMENT * this.#width));
    return this.#size++;
  }

  get(record: number, word: number): number {
    return this.segmentOf(record)[this.wordOf(record) + word] ?? 0;
  }

  set(record: number, word: number, value: number): void {
    this.segmentOf(record)[this.wordOf(record) + word] = value;
  }

  /** The words among which a record's are, from `wordOf` on. */
  segmentOf(record: number): Uint32Array {
    return this.#segments[record >>> SEGMENT_BITS] ?? NONE;
  }

  wordOf(record: number): number {
    return (record & (SEGMENT - 1)) * this.#width;
  }

  clear(): void {
    for (const segment of this.#segments) this.#memory.release(segment);
    this.#segments = [];
    this.#size = 0;
  }
}

const SEGMENT_BITS = 13;
const SEGMENT = 2 ** SEGMENT_BITS;
const NONE = new Uint32Array();

/** Sorts the numbers from 0 to `count` by keys below `keys`; equal keys stay in order. Release `order` when done. */
export function sortByKey(
  memory: WordMemory,
  count: number,
  keys: number,
  keyOf: (number: number) => number,
): { readonly order: Uint32Array; readonly ends: Uint32Array } {
  const order = memory.take(count);
  // First how many have each key, then where the next one of each goes.
  const ends = new Uint32Array(keys);
  const add = (key: number, more: number) => (ends[key] = (ends[key] ?? 0) + more);
  for (let number = 0; number < count; number++) add(keyOf(number), 1);
  for (let key = 0, before = 0; key < keys; key++) {
    const own = ends[key] ?? 0;
    ends[key] = before;
    before += own;
  }
  for (let number = 0; number < count; number++) order[add(keyOf(number), 1) - 1] = number;
  return { order, ends };
}
