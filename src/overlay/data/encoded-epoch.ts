/**
 * An epoch's objects as bytes, for passing between threads and for waiting in memory. Plain objects take five to ten times
 * as much on both sides, and leave as much garbage when cloned.
 */
import type { FileId, Ino } from "../../base/ids.ts";
import type { ChangedObject, PublishedObject, PublishedObjects } from "../../fstree/change-set.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { readSealed, writeSealed } from "../journal/checkpoint.ts";
import * as stored from "../journal/stored-record.ts";

/** Enough for most objects. */
const OBJECT_BYTES = 256;

/** Encodes a sealed epoch's changed objects into a new buffer. */
export function encodeChanged(objects: readonly ChangedObject[]): Uint8Array {
  return encode(objects, writeSealed);
}

export function decodeChanged(bytes: Uint8Array): ChangedObject[] {
  return [...decode(bytes, readSealed)];
}

/** The published objects of an epoch, in pieces of this many. Iterating creates each object anew. */
export class EncodedObjects implements PublishedObjects {
  readonly pieces: readonly Uint8Array[];
  readonly size: number;

  constructor(pieces: readonly Uint8Array[]) {
    this.pieces = pieces;
    this.size = pieces.reduce((sum, piece) => sum + new ByteReader(piece).count(), 0);
  }

  static of(objects: PublishedObjects, pieceObjects: number): EncodedObjects {
    if (objects instanceof EncodedObjects) return objects;
    const pieces: Uint8Array[] = [];
    let some: PublishedEntry[] = [];
    for (const entry of objects) {
      some.push(entry);
      if (some.length === pieceObjects) pieces.push(encode(some.splice(0), writePublished));
    }
    if (some.length > 0) pieces.push(encode(some, writePublished));
    return new EncodedObjects(pieces);
  }

  *[Symbol.iterator](): Generator<PublishedEntry> {
    for (const piece of this.pieces) yield* decode(piece, readPublished);
  }
}

type PublishedEntry = readonly [Ino, PublishedObject];

function encode<Item>(items: readonly Item[], write: (writer: ByteWriter, item: Item) => void): Uint8Array {
  const writer = new ByteWriter(OBJECT_BYTES * (items.length + 1));
  writer.u32(items.length);
  for (const item of items) write(writer, item);
  return writer.bytes.slice();
}

function* decode<Item>(bytes: Uint8Array, read: (reader: ByteReader) => Item): Generator<Item> {
  const reader = new ByteReader(bytes);
  for (let left = reader.count(); left > 0; left--) yield read(reader);
}

function writePublished(writer: ByteWriter, [ino, { id, record, names }]: PublishedEntry): void {
  writer.int(ino);
  writer.id(id);
  const rest = new ByteWriter(OBJECT_BYTES);
  stored.writeRecord(rest, record);
  stored.writeBaseNames(rest, names);
  writer.blob(rest.bytes);
}

function readPublished(reader: ByteReader): PublishedEntry {
  return [reader.ino(), new PackedObject(reader.id(), reader.view())];
}

/** Most objects are only asked for their ids: the rest is decoded on demand. */
class PackedObject implements PublishedObject {
  readonly id: FileId;
  readonly #rest: Uint8Array;
  #decoded: Pick<PublishedObject, "record" | "names"> | undefined;

  constructor(id: FileId, rest: Uint8Array) {
    this.id = id;
    this.#rest = rest;
  }

  get record(): PublishedObject["record"] {
    return this.#decode().record;
  }

  get names(): PublishedObject["names"] {
    return this.#decode().names;
  }

  #decode(): Pick<PublishedObject, "record" | "names"> {
    if (this.#decoded === undefined) {
      const reader = new ByteReader(this.#rest);
      this.#decoded = { record: stored.readRecord(reader), names: stored.readBaseNames(reader) };
    }
    return this.#decoded;
  }
}
