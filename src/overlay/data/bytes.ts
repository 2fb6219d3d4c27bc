/**
 * Writes and reads the overlay's own binary fields: little endian, numbers up to 2^53 as doubles, byte strings with a
 * length. Hand-written and into one buffer, since every mutation goes through here.
 */
import { keepShape } from "../../base/shapes.ts";
import { SynclineError } from "../../base/errors.ts";
import type { FileId, FileName, Ino } from "../../base/ids.ts";

export const ID_BYTES = 16;
/** Most bytes of one field other than a byte string. */
const FIXED_BYTES = 8;
/** Marks a time that does not fit. */
const LONG_NS = -(2n ** 63n);
const MAX_NS = 2n ** 63n - 1n;

export class ByteWriter {
  #bytes: Buffer;
  #view: DataView;
  #length = 0;

  /** Starts with room for `capacity` bytes, and grows. */
  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafe(capacity);
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
  }

  get length(): number {
    return this.#length;
  }

  /** What was written, up to the next write. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  /** Drops what was written after this length. */
  truncate(length: number): void {
    this.#length = Math.min(this.#length, length);
  }

  u8(value: number): void {
    this.#room(FIXED_BYTES);
    this.#bytes[this.#length++] = value;
  }

  u16(value: number): void {
    this.#room(FIXED_BYTES);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
  }

  u32(value: number): void {
    this.#room(FIXED_BYTES);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  /** An integer from 0 to 2^53 - 1, or a negative one: exact as a double. */
  int(value: number): void {
    this.#room(FIXED_BYTES);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** 64 bits. Times that other writers gave a file may be longer: they follow as digits. */
  ns(value: bigint): void {
    this.#room(FIXED_BYTES);
    const isLong = value <= LONG_NS || value > MAX_NS;
    this.#view.setBigInt64(this.#length, isLong ? LONG_NS : value, true);
    this.#length += 8;
    if (isLong) this.text(value.toString());
  }

  id(id: FileId): void {
    this.#room(ID_BYTES);
    this.#bytes.write(id, this.#length, "hex");
    this.#length += ID_BYTES;
  }

  /** A byte string of at most 65,535 bytes, one char a byte. */
  text(text: string): void {
    this.#room(FIXED_BYTES + text.length);
    this.#view.setUint16(this.#length, text.length, true);
    this.#bytes.write(text, this.#length + 2, "latin1");
    this.#length += 2 + text.length;
  }

  blob(bytes: Uint8Array): void {
    this.#room(FIXED_BYTES + bytes.length);
    this.#view.setUint32(this.#length, bytes.length, true);
    this.#bytes.set(bytes, this.#length + 4);
    this.#length += 4 + bytes.length;
  }

  /** Bytes without their length; a number means that many zeros. */
  raw(bytes: Uint8Array | number): void {
    const length = typeof bytes === "number" ? bytes : bytes.length;
    this.#room(length);
    if (typeof bytes === "number") this.#bytes.fill(0, this.#length, this.#length + length);
    else this.#bytes.set(bytes, this.#length);
    this.#length += length;
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#length + bytes));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer, larger.byteOffset, larger.byteLength);
  }
}

/** Reads what ByteWriter wrote. Every method throws `state_corrupt` if the bytes do not fit. */
export class ByteReader {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  int(): number {
    const value = this.#view.getFloat64(this.#take(8), true);
    if (!Number.isSafeInteger(value)) throw corruptState("A number in the overlay is not an integer.");
    return value;
  }

  ino(): Ino {
    return this.int() as Ino;
  }

  ns(): bigint {
    const value = this.#view.getBigInt64(this.#take(8), true);
    return value === LONG_NS ? this.#longNs() : value;
  }

  id(): FileId {
    const at = this.#take(ID_BYTES);
    return this.#bytes.toString("hex", at, at + ID_BYTES) as FileId;
  }

  text(): string {
    const length = this.u16();
    const at = this.#take(length);
    return this.#bytes.toString("latin1", at, at + length);
  }

  name(): FileName {
    return this.text() as FileName;
  }

  /** A copy of the bytes. */
  blob(): Uint8Array {
    const length = this.u32();
    const at = this.#take(length);
    return new Uint8Array(this.#bytes.subarray(at, at + length));
  }

  /** As `blob` without copying: a view of the input. */
  view(): Uint8Array {
    const length = this.u32();
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** How many items follow. Each takes at least a byte, so a count larger than the remaining bytes is refused. */
  count(): number {
    const count = this.u32();
    if (count > this.#bytes.length - this.#at) throw corruptState("A list in the overlay is truncated.");
    return count;
  }

  /** A counted list. It grows as items are read, so damage never makes it larger than the input. */
  list<Item>(read: (reader: ByteReader) => Item): Item[] {
    const count = this.count();
    // An array that grows has room for 17, and most lists have one item.
    if (count === 1) return [read(this)];
    const items: Item[] = [];
    for (let left = count; left > 0; left--) items.push(read(this));
    return items;
  }

  #longNs(): bigint {
    try {
      return BigInt(this.text());
    } catch (cause) {
      throw corruptState("A time in the overlay is not a number.", cause);
    }
  }

  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) throw corruptState("A record in the overlay is truncated.");
    this.#at = at + length;
    return at;
  }
}

/** The overlay's own files are damaged: nothing after that point is guessed. */
export function corruptState(message: string, cause?: unknown): SynclineError {
  return new SynclineError("state_corrupt", message, {
    hint: "Keep the state folder: it holds unpublished changes. To start over from the bucket, move it away.",
    cause,
  });
}

keepShape(new ByteReader(new Uint8Array()));
