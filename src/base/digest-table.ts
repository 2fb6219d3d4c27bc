/**
 * A map from 32-byte digests to small records, for many millions of them: 32 bytes and the record's words each, and 5 to 11
 * bytes to find it. A Map takes two to three times that, on the JavaScript heap, and ends at 2^24 entries.
 *
 * Records are numbered as they are added. A hash table with open addressing holds the numbers. The digest's first word
 * gives the first slot, the second word the step: to slow a search down, an attacker would have to match both.
 */
import { sortByKey, tooMany, type WordMemory, WordRecords } from "./word-memory.ts";

const DIGEST_WORDS = 8;
const DIGEST_BYTES = 4 * DIGEST_WORDS;
/** The hash table then takes 2 GiB. */
const MOST_DIGESTS = 2 ** 28;

export class DigestTable {
  readonly #memory: WordMemory;
  readonly #records: WordRecords;
  /** Numbers plus one; 0 is a free slot. A power of two of them. */
  #slots: Uint32Array;
  /** The digest being searched for, as big-endian words. */
  readonly #wanted = new Uint32Array(DIGEST_WORDS);

  /** Each record has this many 32-bit words besides its digest. */
  constructor(memory: WordMemory, words: number) {
    this.#memory = memory;
    this.#records = new WordRecords(memory, DIGEST_WORDS + words);
    this.#slots = memory.take(FIRST_SLOTS);
  }

  get size(): number {
    return this.#records.size;
  }

  /** The number of the digest's record, or -1. */
  find(digest: Uint8Array): number {
    this.#want(digest);
    return (this.#slots[this.#slotOfWanted()] ?? 0) - 1;
  }

  /** As `find`, but adds a record of zeros if there is none. Throws `limit_exceeded`. */
  add(digest: Uint8Array): number {
    this.#want(digest);
    const known = this.#slots[this.#slotOfWanted()] ?? 0;
    if (known > 0) return known - 1;
    const { size } = this.#records;
    if (size === MOST_DIGESTS) throw tooMany(this.#memory.bytes);
    if (size >= this.#slots.length * MOST_FULL) this.#grow();
    const number = this.#records.add();
    this.#records.segmentOf(number).set(this.#wanted, this.#records.wordOf(number));
    this.#slots[this.#slotOfWanted()] = number + 1;
    return number;
  }

  get(number: number, word: number): number {
    return this.#records.get(number, DIGEST_WORDS + word);
  }

  /** `value` is an unsigned 32-bit integer. */
  set(number: number, word: number, value: number): void {
    this.#records.set(number, DIGEST_WORDS + word, value);
  }

  /** A copy. */
  digestOf(number: number): Uint8Array {
    const digest = new Uint8Array(DIGEST_BYTES);
    const words = this.#records.segmentOf(number);
    const from = this.#records.wordOf(number);
    for (let at = 0; at < DIGEST_BYTES; at += 4) {
      const word = words[from + at / 4] ?? 0;
      digest[at] = word >>> 24;
      digest[at + 1] = word >>> 16;
      digest[at + 2] = word >>> 8;
      digest[at + 3] = word;
    }
    return digest;
  }

  /** The numbers of all records by ascending digest. Takes 4 bytes a record. Throws `limit_exceeded`. */
  *sorted(): Generator<number> {
    const { size } = this.#records;
    const bits = Math.min(MOST_SORT_BITS, Math.max(0, Math.floor(Math.log2(size / SORTED_TOGETHER))));
    // Digests are nearly always uniform, so few share a key.
    const keyOf = (number: number) => (bits === 0 ? 0 : this.#records.get(number, 0) >>> (32 - bits));
    const { order, ends } = sortByKey(this.#memory, size, 2 ** bits, keyOf);
    try {
      let from = 0;
      for (const end of ends) {
        if (end - from > 1) order.subarray(from, end).sort((a, b) => this.#compare(a, b));
        for (; from < end; from++) yield order[from] ?? 0;
      }
    } finally {
      this.#memory.release(order);
    }
  }

  #compare(a: number, b: number): number {
    for (let word = 0; word < DIGEST_WORDS; word++) {
      const difference = this.#records.get(a, word) - this.#records.get(b, word);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  #want(digest: Uint8Array): void {
    for (let word = 0, at = 0; word < DIGEST_WORDS; word++, at += 4)
      this.#wanted[word] =
        ((digest[at] ?? 0) << 24) |
        ((digest[at + 1] ?? 0) << 16) |
        ((digest[at + 2] ?? 0) << 8) |
        (digest[at + 3] ?? 0);
  }

  /** Where the wanted digest's number is, or where it would go. */
  #slotOfWanted(): number {
    const mask = this.#slots.length - 1;
    const step = stepOf(this.#wanted[1]);
    for (let slot = (this.#wanted[0] ?? 0) & mask; ; slot = (slot + step) & mask) {
      const held = this.#slots[slot] ?? 0;
      if (held === 0 || this.#isWanted(held - 1)) return slot;
    }
  }

  #isWanted(number: number): boolean {
    const words = this.#records.segmentOf(number);
    const from = this.#records.wordOf(number);
    for (let word = 0; word < DIGEST_WORDS; word++) if (words[from + word] !== this.#wanted[word]) return false;
    return true;
  }

  /** Doubles the hash table. */
  #grow(): void {
    const slots = this.#memory.take(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let number = 0; number < this.#records.size; number++) {
      const words = this.#records.segmentOf(number);
      const from = this.#records.wordOf(number);
      const step = stepOf(words[from + 1]);
      let slot = (words[from] ?? 0) & mask;
      while (slots[slot] !== 0) slot = (slot + step) & mask;
      slots[slot] = number + 1;
    }
    this.#memory.release(this.#slots);
    this.#slots = slots;
  }
}

const FIRST_SLOTS = 1024;
const MOST_FULL = 0.75;
/** About how many records share a key of the first pass of sorting. */
const SORTED_TOGETHER = 8;
const MOST_SORT_BITS = 24;

/** Odd, so that the search meets every slot. */
function stepOf(word: number | undefined): number {
  return (word ?? 0) | 1;
}
