/**
 * Checkpoints: the overlay's state in the tables as of one journal frame. Frames up to it are no longer needed.
 *
 * A checkpoint writes only what changed since the last one. Its rows are the dirty objects, inodes, and one head with the
 * checkpoint's position. Of the epoch in flight it writes what changed since the seal: the rest is as in the dirty objects.
 */
import type { ChangedObject, ChangeSet, ContentChange } from "../../fstree/change-set.ts";
import type { FileId, Lamport } from "../../base/ids.ts";
import { SynclineError } from "../../base/errors.ts";
import { ByteReader, ByteWriter } from "../data/bytes.ts";
import { type DirtyObject, keptObject, recordOf } from "../dirty-object.ts";
import type { Content } from "../../format/files/record.ts";
import { Extents } from "../data/extents.ts";
import { type InUse, isNothing, NOTHING_IN_USE } from "../in-use.ts";
import { Links } from "../links.ts";
import { contentOf, withValuesOf } from "../long-values.ts";
import { readBaseRoot, writeBaseRoot } from "./journal-codec.ts";
import { readInUse, writeInUse } from "./in-use-codec.ts";
import type { OlderBase } from "../older-bases.ts";
import type { BaseRoot } from "./journal-record.ts";
import * as stored from "./stored-record.ts";

/** Only what changed since the seal of the epoch in flight has rows. Otherwise `WHOLE_VERSION`, which earlier programs read. */
const FLIGHT_VERSION = 4;
const WHOLE_VERSION = 3;
/** Those that are read. */
export const CHECKPOINT_VERSIONS: readonly number[] = [WHOLE_VERSION, FLIGHT_VERSION];
/** Enough for most rows. */
const ROW_BYTES = 512;

export interface CheckpointHead {
  /** The journal frame that the tables include. */
  readonly frame: number;
  readonly epoch: number;
  /** Numbers from here on are free. Those below may be in use without being recorded. */
  readonly nextIno: number;
  readonly base: BaseRoot;
  /** Whether each object in flight has a row, as version 3 expects. */
  readonly isWhole: boolean;
  /** The epoch in flight without its objects. */
  readonly flight: Omit<ChangeSet, "objects"> | undefined;
  readonly inUse: InUse;
  readonly olderBases: readonly OlderBase[];
}

export function encodeHead(head: CheckpointHead): Uint8Array {
  const writer = new ByteWriter(ROW_BYTES);
  writer.u32(head.isWhole ? WHOLE_VERSION : FLIGHT_VERSION);
  writer.int(head.frame);
  writer.int(head.epoch);
  writer.int(head.nextIno);
  writeBaseRoot(writer, head.base);
  writer.u8(head.flight === undefined ? 0 : 1);
  if (head.flight !== undefined) {
    writer.int(head.flight.epoch);
    stored.writeCid(writer, head.flight.reference);
    writer.int(head.flight.lamport);
    writer.u32(head.flight.directories.size);
    for (const [ino, id] of head.flight.directories) {
      writer.int(ino);
      writer.id(id);
    }
  }
  // Earlier versions ignore what they do not know at the end.
  const { sent = [] } = head.flight ?? {};
  if (sent.length === 0 && isNothing(head.inUse) && head.olderBases.length === 0) return writer.bytes.slice();
  writer.u32(sent.length);
  for (const each of sent) stored.writeSent(writer, each);
  writeInUse(writer, head.inUse);
  for (const { base, epoch } of head.olderBases) {
    writeBaseRoot(writer, base);
    writer.int(epoch);
  }
  return writer.bytes.slice();
}

/** Throws `state_corrupt`. */
export function decodeHead(bytes: Uint8Array): CheckpointHead {
  const reader = new ByteReader(bytes);
  const version = reader.u32();
  if (!CHECKPOINT_VERSIONS.includes(version)) throw otherVersion(version);
  const [frame, epoch, nextIno, base] = [reader.int(), reader.int(), reader.int(), readBaseRoot(reader)];
  const flight = reader.u8() === 0 ? undefined : readFlight(reader);
  const sent = reader.atEnd ? [] : reader.list(() => stored.readSent(reader));
  const inUse = reader.atEnd ? NOTHING_IN_USE : readInUse(reader);
  const olderBases: OlderBase[] = [];
  while (!reader.atEnd) olderBases.push({ base: readBaseRoot(reader), epoch: reader.int() });
  return {
    frame,
    epoch,
    nextIno,
    base,
    isWhole: version === WHOLE_VERSION,
    flight: flight && sent.length > 0 ? { ...flight, sent } : flight,
    inUse,
    olderBases,
  };
}

function otherVersion(version: number): SynclineError {
  return new SynclineError("state_corrupt", `The overlay was written by another version of Syncline (${version}).`, {
    hint: "Mount and unmount it with that version to publish its changes. The state folder is unchanged.",
  });
}

export function writeObject(writer: ByteWriter, object: DirtyObject): void {
  writer.int(object.ino);
  writer.u8(object.id === undefined ? 0 : 1);
  if (object.id !== undefined) writer.id(object.id);
  stored.writeRecord(writer, recordOf(object));
  writer.int(object.contentSize);
  writer.u8(object.extents === undefined ? 0 : 1);
  object.extents?.write(writer);
  stored.writeLinks(writer, [...object.links]);
  writer.u8(object.base === undefined ? 0 : 1);
  if (object.base !== undefined) stored.writeRecord(writer, object.base);
  stored.writeBaseNames(writer, object.baseNames);
  writer.int(object.epoch);
  writer.u8((object.unnamed ? 1 : 0) | (object.forgotten ? 2 : 0) | (object.replaces === undefined ? 0 : 4));
  if (object.replaces !== undefined) writer.int(object.replaces);
}

/** Throws `state_corrupt`. */
export function decodeObject(bytes: Uint8Array): DirtyObject {
  const reader = new ByteReader(bytes);
  const ino = reader.ino();
  const id = reader.u8() === 0 ? undefined : reader.id();
  const record = stored.readRecord(reader);
  const kept = { ino, id: id ?? ("" as FileId), record, baseNames: [], parents: [] };
  const object = keptObject(kept, 0);
  object.id = id;
  object.contentSize = reader.int();
  object.extents = reader.u8() === 0 ? undefined : Extents.read(reader);
  object.links = new Links(stored.readLinks(reader));
  object.base = reader.u8() === 0 ? undefined : withValuesOf(stored.readRecord(reader), object);
  object.baseNames = stored.readBaseNames(reader);
  object.epoch = reader.int();
  const flags = reader.u8();
  object.unnamed = (flags & 1) !== 0;
  object.forgotten = (flags & 2) !== 0;
  object.replaces = (flags & 4) === 0 ? undefined : reader.ino();
  return object;
}

export function encodeSealed(changed: ChangedObject): Uint8Array {
  const writer = new ByteWriter(ROW_BYTES);
  writeSealed(writer, changed);
  return writer.bytes.slice();
}

/** Throws `state_corrupt`. */
export function decodeSealed(bytes: Uint8Array): ChangedObject {
  return readSealed(new ByteReader(bytes));
}

export function writeSealed(writer: ByteWriter, changed: ChangedObject): void {
  writer.int(changed.ino);
  writer.u8(changed.id === undefined ? 0 : 1);
  if (changed.id !== undefined) writer.id(changed.id);
  stored.writeBaseNames(writer, changed.baseNames);
  writeOptionalRecord(writer, changed.base);
  stored.writeLinks(writer, changed.names);
  writeOptionalRecord(writer, changed.record);
  writer.u8((changed.content.kind === "same" ? 0 : 1) | (changed.replaces === undefined ? 0 : 2));
  if (changed.content.kind === "edited") {
    stored.writeContent(writer, changed.content.base);
    writer.int(changed.content.baseSize);
    Extents.ofSegments(changed.content.segments).write(writer);
  }
  if (changed.replaces !== undefined) writer.int(changed.replaces);
}

/** Throws `state_corrupt`. */
export function readSealed(reader: ByteReader): ChangedObject {
  const ino = reader.ino();
  const id = reader.u8() === 0 ? undefined : reader.id();
  const baseNames = stored.readBaseNames(reader);
  const base = readOptionalRecord(reader);
  const names = stored.readLinks(reader);
  const own = readOptionalRecord(reader);
  const record = own !== undefined && base !== undefined ? withValuesOf(own, base) : own;
  const flags = reader.u8();
  const content = readContentChange(reader, (flags & 1) !== 0, base?.content);
  // Made at once: fields that are added later take memory of their own.
  const object = { ino, id, baseNames, base, names, record, content };
  return (flags & 2) === 0 ? object : { ...object, replaces: reader.ino() };
}

function readContentChange(reader: ByteReader, isEdited: boolean, kept: Content | undefined): ContentChange {
  if (!isEdited) return { kind: "same" };
  return {
    kind: "edited",
    base: contentOf(stored.readContent(reader), kept),
    baseSize: reader.int(),
    segments: Extents.read(reader).segments(),
  };
}

function readFlight(reader: ByteReader): Omit<ChangeSet, "objects"> {
  const epoch = reader.int();
  const reference = stored.readCid(reader);
  const lamport = reader.int() as Lamport;
  const directories = new Map(reader.list(() => [reader.ino(), reader.id()] as const));
  return { epoch, reference, lamport, directories };
}

function writeOptionalRecord(writer: ByteWriter, record: ChangedObject["record"]): void {
  writer.u8(record === undefined ? 0 : 1);
  if (record !== undefined) stored.writeRecord(writer, record);
}

function readOptionalRecord(reader: ByteReader): ChangedObject["record"] {
  return reader.u8() === 0 ? undefined : stored.readRecord(reader);
}
