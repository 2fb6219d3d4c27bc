/** The encoding of what programs have in use, in the journal and in checkpoints. */
import { type ByteReader, ByteWriter } from "../data/bytes.ts";
import { type AddedFile, type HeldFamily, type HeldFile, type InUse, isNothing, type LostFamily } from "../in-use.ts";
import type { Link } from "../links.ts";
import * as stored from "./stored-record.ts";

/** Before the base. Earlier versions take both for the same. */
const WHOLE = 1;
const PARTIAL = 2;

export function writeInUse(writer: ByteWriter, { base, isPartial, files, families, lost }: InUse): void {
  writer.u8(base === undefined ? 0 : isPartial ? PARTIAL : WHOLE);
  if (base !== undefined) stored.writeCid(writer, base);
  writeList(writer, files, writeFile);
  writeList(writer, families, writeFamily);
  writeList(writer, lost, writeLost);
}

/** Throws `state_corrupt`. */
export function readInUse(reader: ByteReader): InUse {
  const kind = reader.u8();
  const base = kind === 0 ? undefined : stored.readCid(reader);
  const [files, families, lost] = [reader.list(readFile), reader.list(readFamily), reader.list(readLost)];
  return { base, isPartial: kind === PARTIAL, files, families, lost };
}

export function isSameUse(one: InUse, other: InUse): boolean {
  if (isNothing(one) || isNothing(other)) return isNothing(one) && isNothing(other);
  return Buffer.compare(encoded(one), encoded(other)) === 0;
}

/** Enough for most. */
const USUAL_BYTES = 4096;

function encoded(inUse: InUse): Uint8Array {
  const writer = new ByteWriter(USUAL_BYTES);
  writeInUse(writer, inUse);
  return writer.bytes;
}

function writeFile(writer: ByteWriter, { ino, id, record, names }: HeldFile): void {
  writer.int(ino);
  writer.id(id);
  stored.writeRecord(writer, record);
  stored.writeBaseNames(writer, names);
}

function readFile(reader: ByteReader): HeldFile {
  return { ino: reader.ino(), id: reader.id(), record: stored.readRecord(reader), names: stored.readBaseNames(reader) };
}

function writeFamily(writer: ByteWriter, { parent, parentId, main, files, free, added }: HeldFamily): void {
  writer.int(parent);
  writer.id(parentId);
  writer.text(main);
  writeList(writer, files, writeFile);
  writeList(writer, free, (to, name) => to.text(name));
  writeList(writer, added, writeAdded);
}

function readFamily(reader: ByteReader): HeldFamily {
  return {
    parent: reader.ino(),
    parentId: reader.id(),
    main: reader.name(),
    files: reader.list(readFile),
    free: reader.list(() => reader.name()),
    added: reader.list(readAdded),
  };
}

function writeAdded(writer: ByteWriter, { name, id, record, ino }: AddedFile): void {
  writer.text(name);
  writer.id(id);
  stored.writeRecord(writer, record);
  writer.u8(ino === undefined ? 0 : 1);
  if (ino !== undefined) writer.int(ino);
}

function readAdded(reader: ByteReader): AddedFile {
  const [name, id, record] = [reader.name(), reader.id(), stored.readRecord(reader)];
  return { name, id, record, ino: reader.u8() === 0 ? undefined : reader.ino() };
}

function writeLost(writer: ByteWriter, { main, names }: LostFamily): void {
  writeLink(writer, main);
  writeList(writer, names, (to, name) => {
    writeLink(to, name.from);
    writeLink(to, name.to);
  });
}

function readLost(reader: ByteReader): LostFamily {
  return { main: readLink(reader), names: reader.list(() => ({ from: readLink(reader), to: readLink(reader) })) };
}

function writeLink(writer: ByteWriter, { parent, name }: Link): void {
  writer.int(parent);
  writer.text(name);
}

function readLink(reader: ByteReader): Link {
  return { parent: reader.ino(), name: reader.name() };
}

function writeList<Item>(writer: ByteWriter, items: readonly Item[], write: (writer: ByteWriter, item: Item) => void) {
  writer.u32(items.length);
  for (const item of items) write(writer, item);
}
