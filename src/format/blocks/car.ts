/**
 * CAR, version 1: blocks one after another in a stream. Source: https://ipld.io/specs/transport/car/carv1/
 *
 * ```
 * varint length ‖ dag-cbor {"roots":[…],"version":1}
 * then for each block: varint length ‖ CID ‖ bytes          (length counts CID and bytes)
 * ```
 * Varints are unsigned LEB128 in their shortest form. The decoder takes pieces as they arrive from a network and holds at
 * most one block; oversized blocks are skipped without being held.
 */
import { decode } from "@ipld/dag-cbor";
import { CID } from "multiformats/cid";
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { MAX_BLOCK_ACCEPTED, MAX_CAR_HEADER_BYTES } from "../../base/limits.ts";
import { orElse } from "../../base/unless.ts";
import { CID_BYTES, cidFromBytes, cidToBytes } from "./cid.ts";
import { encodeCbor, Link } from "./dag-cbor.ts";

export const CAR_TYPE = "application/vnd.ipld.car";

export type CarSection =
  /** Its bytes are not verified against the CID. */
  | { readonly kind: "block"; readonly cid: Cid; readonly digest: Uint8Array; readonly bytes: Uint8Array }
  /** Longer than MAX_BLOCK_ACCEPTED: its bytes are dropped. */
  | { readonly kind: "oversized"; readonly cid: Cid }
  /** With a kind of CID that we do not use; `cid` is its text if it is a valid CID. */
  | { readonly kind: "foreign"; readonly cid: string | undefined };

export function encodeCarHeader(roots: readonly Cid[] = []): Uint8Array {
  const header = encodeCbor({ roots: roots.map((cid) => new Link(cid)), version: 1 });
  return Buffer.concat([encodeVarint(header.length), header]);
}

/** The bytes before a block's own. */
export function encodeCarBlockHead(cid: Cid, length: number): Uint8Array {
  return Buffer.concat([encodeVarint(CID_BYTES + length), cidToBytes(cid)]);
}

/** The size of a block in a CAR, with its head. */
export function carSectionBytes(length: number): number {
  return encodeVarint(CID_BYTES + length).length + CID_BYTES + length;
}

/** A block comes next. Its bytes are read when the consumer continues, so that it can make room first. */
interface Coming {
  readonly kind: "coming";
  readonly length: number;
}

/**
 * Decodes the blocks of a CAR that arrives in pieces. `room` allocates each block's memory before its bytes are read;
 * without it, a block is a view of its piece, or has new memory. Throws `format_invalid` for broken framing, and the errors
 * of the source and `room`.
 */
export async function* decodeCar(
  source: AsyncIterable<Uint8Array>,
  room?: (length: number) => Uint8Array | Promise<Uint8Array>,
): AsyncGenerator<CarSection> {
  const decoder = new CarDecoder();
  for await (const piece of source) {
    for (const section of decoder.push(piece)) {
      if (section.kind !== "coming") yield section;
      else if (room !== undefined) {
        const memory = room(section.length);
        decoder.readInto(memory instanceof Uint8Array ? memory : await memory);
      }
    }
  }
  decoder.end();
}

/** The decoder without a stream: the caller feeds it and decides when to wait. */
export class CarDecoder {
  /** The part being read now. */
  #phase: "header length" | "header" | "length" | "cid" | "foreign cid" | "bytes" | "passed over" = "header length";
  /** The bytes of it so far. */
  readonly #part = Buffer.alloc(Math.max(MAX_FOREIGN_CID_BYTES, MAX_VARINT_BYTES));
  #partLength = 0;
  /** Bytes left of the section. */
  #left = 0;
  /** The header, or a block that spans several pieces. */
  #held: Uint8Array | undefined;
  #heldLength = 0;
  #cid: Cid | undefined;
  #digest: Uint8Array = new Uint8Array();

  /** The sections that end in `piece`; their bytes may be views of it. Throws `format_invalid`. */
  *push(piece: Uint8Array): Generator<CarSection | Coming> {
    let at = 0;
    while (at < piece.length || this.#isDue) {
      const used = this.#step(piece, at);
      at += used.bytes;
      if (used.section !== undefined) yield used.section;
    }
  }

  /** Sets the memory for the coming block, of exactly its length. */
  readInto(memory: Uint8Array): void {
    this.#held = memory;
  }

  /** Call it at the end of the stream. Throws `format_invalid` in the middle of a section. */
  end(): void {
    if (this.#phase !== "length" || this.#partLength > 0) throw invalid("is truncated");
  }

  /** Whether the next step needs no more bytes. */
  get #isDue(): boolean {
    return this.#left === 0 && DUE_WITHOUT_BYTES.has(this.#phase);
  }

  #step(piece: Uint8Array, at: number): { bytes: number; section?: CarSection | Coming } {
    switch (this.#phase) {
      case "header length":
      case "length":
        return { bytes: this.#readLength(piece, at) };
      case "header":
        return { bytes: this.#readHeader(piece, at) };
      case "cid":
        return this.#readCid(piece, at);
      case "foreign cid":
        return this.#readForeignCid(piece, at);
      case "bytes":
        return this.#readBytes(piece, at);
      case "passed over":
        return this.#passOver(piece, at);
    }
  }

  #readLength(piece: Uint8Array, at: number): number {
    for (let index = at; index < piece.length; index++) {
      const byte = piece[index] ?? 0;
      this.#part[this.#partLength++] = byte;
      if (byte < 0x80) {
        this.#begin(decodeVarint(this.#part.subarray(0, this.#partLength)));
        return index + 1 - at;
      }
      if (this.#partLength === MAX_VARINT_BYTES) throw invalid("has a length that is too large");
    }
    return piece.length - at;
  }

  #begin(length: number): void {
    this.#partLength = 0;
    this.#left = length;
    if (length === 0) throw invalid("has an empty section");
    if (this.#phase === "length") this.#phase = "cid";
    else if (length > MAX_CAR_HEADER_BYTES) throw invalid(`has a header of more than ${MAX_CAR_HEADER_BYTES} bytes`);
    else this.#phase = "header";
  }

  #readHeader(piece: Uint8Array, at: number): number {
    const { bytes, whole } = this.#collect(piece, at);
    if (whole !== undefined) {
      checkHeader(whole);
      this.#phase = "length";
    }
    return bytes;
  }

  #readCid(piece: Uint8Array, at: number): { bytes: number; section?: Coming } {
    const bytes = this.#fillPart(piece, at, CID_BYTES);
    if (this.#partLength < CID_BYTES && this.#left > 0) return { bytes };
    try {
      this.#cid = cidFromBytes(this.#part.subarray(0, this.#partLength));
    } catch {
      // It may be a CID of another kind; only its text matters.
      this.#phase = "foreign cid";
      return { bytes };
    }
    this.#digest = Uint8Array.from(this.#part.subarray(CID_BYTES - DIGEST_BYTES, CID_BYTES));
    this.#partLength = 0;
    this.#phase = this.#left > MAX_BLOCK_ACCEPTED ? "passed over" : "bytes";
    return this.#phase === "bytes" ? { bytes, section: { kind: "coming", length: this.#left } } : { bytes };
  }

  #readForeignCid(piece: Uint8Array, at: number): { bytes: number } {
    const bytes = this.#fillPart(piece, at, MAX_FOREIGN_CID_BYTES);
    if (this.#partLength < MAX_FOREIGN_CID_BYTES && this.#left > 0) return { bytes };
    this.#cid = undefined;
    this.#phase = "passed over";
    return { bytes };
  }

  #readBytes(piece: Uint8Array, at: number): { bytes: number; section?: CarSection } {
    const { bytes, whole } = this.#collect(piece, at);
    if (whole === undefined || this.#cid === undefined) return { bytes };
    this.#phase = "length";
    return { bytes, section: { kind: "block", cid: this.#cid, digest: this.#digest, bytes: whole } };
  }

  #passOver(piece: Uint8Array, at: number): { bytes: number; section?: CarSection } {
    const bytes = Math.min(this.#left, piece.length - at);
    this.#left -= bytes;
    if (this.#left > 0) return { bytes };
    this.#phase = "length";
    const foreign = this.#part.subarray(0, this.#partLength);
    this.#partLength = 0;
    if (this.#cid !== undefined) return { bytes, section: { kind: "oversized", cid: this.#cid } };
    return { bytes, section: { kind: "foreign", cid: foreignCid(foreign) } };
  }

  /** Moves bytes of the section into #part until it has `wanted`, or the section ends. */
  #fillPart(piece: Uint8Array, at: number, wanted: number): number {
    const bytes = Math.min(wanted - this.#partLength, this.#left, piece.length - at);
    this.#part.set(piece.subarray(at, at + bytes), this.#partLength);
    this.#partLength += bytes;
    this.#left -= bytes;
    return bytes;
  }

  /** The rest of the section, once complete: a view of the piece if that holds all of it. */
  #collect(piece: Uint8Array, at: number): { bytes: number; whole?: Uint8Array } {
    const bytes = Math.min(this.#left, piece.length - at);
    const part = piece.subarray(at, at + bytes);
    if (this.#held === undefined && bytes === this.#left) {
      this.#left = 0;
      return { bytes, whole: part };
    }
    this.#held ??= Buffer.allocUnsafe(this.#left);
    this.#held.set(part, this.#heldLength);
    this.#heldLength += bytes;
    this.#left -= bytes;
    if (this.#left > 0) return { bytes };
    const whole = this.#held;
    this.#held = undefined;
    this.#heldLength = 0;
    return { bytes, whole };
  }
}

const DUE_WITHOUT_BYTES: ReadonlySet<string> = new Set(["bytes", "foreign cid", "passed over"]);
const DIGEST_BYTES = 32;
/** Up to 2^53. */
const MAX_VARINT_BYTES = 8;
const MAX_FOREIGN_CID_BYTES = 128;

function encodeVarint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

function decodeVarint(bytes: Uint8Array): number {
  if (bytes.length > 1 && bytes.at(-1) === 0) throw invalid("has a length that is not in its shortest form");
  const value = bytes.reduceRight((high, byte) => high * 0x80 + (byte & 0x7f), 0);
  if (!Number.isSafeInteger(value)) throw invalid("has a length that is too large");
  return value;
}

function checkHeader(bytes: Uint8Array): void {
  let header: unknown;
  try {
    header = decode(bytes);
  } catch (cause) {
    throw invalid("has a header that does not decode", cause);
  }
  const { version, roots } = (typeof header === "object" && header !== null ? header : {}) as Record<string, unknown>;
  if (version !== 1) throw invalid("is not version 1");
  if (!Array.isArray(roots) || !roots.every((root) => CID.asCID(root) !== null)) throw invalid("has no list of roots");
}

/** The text of the CID at the start of these bytes. */
function foreignCid(bytes: Uint8Array): string | undefined {
  return orElse(undefined, () => CID.decodeFirst(bytes)[0].toString());
}

function invalid(what: string, cause?: unknown): SynclineError {
  return new SynclineError("format_invalid", `The CAR ${what}.`, { cause });
}
