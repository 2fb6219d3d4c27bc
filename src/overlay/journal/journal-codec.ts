/** The encoding of the journal's records: a kind, then fields. */
import type { Ino, Lamport } from "../../base/ids.ts";
import { type ByteReader, type ByteWriter, corruptState } from "../data/bytes.ts";
import type { KeptObject, NewObject } from "../dirty-object.ts";
import type { BaseRoot, FollowedObject, JournalRecord, PublishedRow, Renaming } from "./journal-record.ts";
import type { InodeRow } from "../disk/storage.ts";
import { readInUse, writeInUse } from "./in-use-codec.ts";
import * as stored from "./stored-record.ts";

/** Numbers of the kinds: never change them. */
export const KINDS = {
  inode: 1,
  keep: 2,
  create: 3,
  link: 4,
  unlink: 5,
  rename: 6,
  attributes: 7,
  data: 8,
  hole: 9,
  resize: 10,
  xattrs: 11,
  forget: 12,
  seal: 13,
  rows: 14,
  published: 15,
  adopt: 16,
  written: 17,
  follow: 18,
  answered: 19,
  connected: 20,
  sent: 21,
  replaced: 22,
  inUse: 23,
  removals: 24,
  untouched: 25,
} as const satisfies Record<JournalRecord["kind"], number>;

const KIND_NAMES: ReadonlyMap<number, JournalRecord["kind"]> = new Map(
  Object.entries(KINDS).map(([kind, code]) => [code, kind as JournalRecord["kind"]]),
);

export function writeJournalRecord(writer: ByteWriter, record: JournalRecord): void {
  writer.u8(KINDS[record.kind]);
  switch (record.kind) {
    case "inode":
      return writeInodeRow(writer, record.row);
    case "keep":
      return writeKept(writer, record.object);
    case "create":
      writer.int(record.parent);
      writer.text(record.name);
      return writeNew(writer, record.object);
    case "link":
    case "unlink":
      writer.int(record.ino);
      writer.int(record.parent);
      writer.text(record.name);
      return writer.ns(record.timeNs);
    case "rename":
      return writeRenaming(writer, record);
    case "attributes":
      writer.int(record.ino);
      writer.u16(record.mode);
      writer.u32(record.uid);
      writer.u32(record.gid);
      writer.ns(record.mtimeNs);
      return writer.ns(record.ctimeNs);
    case "data":
    case "hole":
      writer.int(record.ino);
      writer.int(record.offset);
      writer.int(record.length);
      return writer.ns(record.timeNs);
    case "written":
      writer.int(record.ino);
      writer.int(record.offset);
      writer.blob(record.bytes);
      return writer.ns(record.timeNs);
    case "resize":
      writer.int(record.ino);
      writer.int(record.size);
      return writer.ns(record.timeNs);
    case "xattrs":
      writer.int(record.ino);
      stored.writeXattrs(writer, record.xattrs);
      return writer.ns(record.timeNs);
    case "replaced":
      writer.int(record.ino);
      stored.writeRecord(writer, record.record);
      writer.u8(record.next === undefined ? 0 : 1);
      return record.next && writeInodeRow(writer, record.next);
    case "inUse":
      return writeInUse(writer, record.inUse);
    case "forget":
      return writer.int(record.ino);
    case "seal":
      return writer.int(record.epoch);
    case "removals":
      writer.int(record.epoch);
      writer.u32(record.inos.length);
      for (const ino of record.inos) writer.int(ino);
      return;
    case "sent":
      writer.int(record.epoch);
      return stored.writeSent(writer, record.sent);
    case "rows":
      writer.u8(record.first ? 1 : 0);
      writer.u32(record.rows.length);
      for (const row of record.rows) writePublishedRow(writer, row);
      return;
    case "follow":
      writer.u32(record.objects.length);
      for (const followed of record.objects) writeFollowed(writer, followed);
      return;
    case "published":
      writer.int(record.epoch);
      return writeBaseRoot(writer, record.base);
    case "adopt":
      return writeBaseRoot(writer, record.base);
    case "answered":
      writer.int(record.request);
      return writer.int(record.ino);
    case "untouched":
    case "connected":
      return;
  }
}

/** Throws `state_corrupt` for a record that this version does not know. */
export function readJournalRecord(reader: ByteReader): JournalRecord {
  const kind = KIND_NAMES.get(reader.u8());
  switch (kind) {
    case "inode":
      return { kind, row: readInodeRow(reader) };
    case "keep":
      return { kind, object: readKept(reader) };
    case "create":
      return { kind, parent: reader.ino(), name: reader.name(), object: readNew(reader) };
    case "link":
    case "unlink":
      return { kind, ino: reader.ino(), parent: reader.ino(), name: reader.name(), timeNs: reader.ns() };
    case "rename":
      return readRenaming(reader);
    case "attributes":
      return {
        kind,
        ino: reader.ino(),
        mode: reader.u16(),
        uid: reader.u32(),
        gid: reader.u32(),
        mtimeNs: reader.ns(),
        ctimeNs: reader.ns(),
      };
    case "data":
    case "hole":
      return { kind, ino: reader.ino(), offset: reader.int(), length: reader.int(), timeNs: reader.ns() };
    case "written":
      return { kind, ino: reader.ino(), offset: reader.int(), bytes: reader.blob(), timeNs: reader.ns() };
    case "resize":
      return { kind, ino: reader.ino(), size: reader.int(), timeNs: reader.ns() };
    case "xattrs":
      return { kind, ino: reader.ino(), xattrs: stored.readXattrs(reader), timeNs: reader.ns() };
    case "replaced": {
      const [ino, record] = [reader.ino(), stored.readRecord(reader)];
      return { kind, ino, record, next: reader.u8() === 0 ? undefined : readInodeRow(reader) };
    }
    case "inUse":
      return { kind, inUse: readInUse(reader) };
    case "forget":
      return { kind, ino: reader.ino() };
    case "seal":
      return { kind, epoch: reader.int() };
    case "removals":
      return { kind, epoch: reader.int(), inos: reader.list(() => reader.ino()) };
    case "sent":
      return { kind, epoch: reader.int(), sent: stored.readSent(reader) };
    case "rows":
      return { kind, first: reader.u8() === 1, rows: reader.list(readPublishedRow) };
    case "follow":
      return { kind, objects: reader.list(readFollowed) };
    case "published":
      return { kind, epoch: reader.int(), base: readBaseRoot(reader) };
    case "answered":
      return { kind, request: reader.int(), ino: reader.int() as Ino | 0 };
    case "untouched":
    case "connected":
      return { kind };
    case "adopt":
      return { kind, base: readBaseRoot(reader) };
    case undefined:
      throw corruptState("The overlay's journal holds a record of an unknown kind.");
  }
}

export function writeBaseRoot(writer: ByteWriter, { commit, tree, seq }: BaseRoot): void {
  stored.writeCid(writer, commit);
  stored.writeCid(writer, tree);
  writer.int(seq);
}

export function readBaseRoot(reader: ByteReader): BaseRoot {
  return { commit: stored.readCid(reader), tree: stored.readCid(reader), seq: reader.int() as Lamport };
}

function writeInodeRow(writer: ByteWriter, { ino, id, type, parent, name }: InodeRow): void {
  writer.int(ino);
  writer.id(id);
  stored.writeType(writer, type);
  writer.id(parent);
  writer.text(name);
}

function readInodeRow(reader: ByteReader): InodeRow {
  return {
    ino: reader.ino(),
    id: reader.id(),
    type: stored.readType(reader),
    parent: reader.id(),
    name: reader.name(),
  };
}

function writeKept(writer: ByteWriter, { ino, id, record, baseNames, parents }: KeptObject): void {
  writer.int(ino);
  writer.id(id);
  stored.writeRecord(writer, record);
  stored.writeBaseNames(writer, baseNames);
  for (const parent of parents) writer.int(parent);
}

function readKept(reader: ByteReader): KeptObject {
  const ino = reader.ino();
  const id = reader.id();
  const record = stored.readRecord(reader);
  const baseNames = stored.readBaseNames(reader);
  return { ino, id, record, baseNames, parents: baseNames.map(() => reader.ino()) };
}

function writeNew(writer: ByteWriter, { ino, type, mode, uid, gid, rdev, target, timeNs }: NewObject): void {
  writer.int(ino);
  stored.writeType(writer, type);
  writer.u16(mode);
  writer.u32(uid);
  writer.u32(gid);
  writer.int(rdev);
  writer.text(target);
  writer.ns(timeNs);
}

function readNew(reader: ByteReader): NewObject {
  return {
    ino: reader.ino(),
    type: stored.readType(reader),
    mode: reader.u16(),
    uid: reader.u32(),
    gid: reader.u32(),
    rdev: reader.int(),
    target: reader.text(),
    timeNs: reader.ns(),
  };
}

function writeRenaming(writer: ByteWriter, renaming: Renaming): void {
  const { ino, parent, name, newParent, newName, other, exchange, timeNs } = renaming;
  writer.int(ino);
  writer.int(parent);
  writer.text(name);
  writer.int(newParent);
  writer.text(newName);
  writer.int(other);
  writer.u8(exchange ? 1 : 0);
  writer.ns(timeNs);
}

function readRenaming(reader: ByteReader): Renaming {
  return {
    kind: "rename",
    ino: reader.ino(),
    parent: reader.ino(),
    name: reader.name(),
    newParent: reader.ino(),
    newName: reader.name(),
    other: reader.ino(),
    exchange: reader.u8() === 1,
    timeNs: reader.ns(),
  };
}

function writePublishedRow(writer: ByteWriter, { ino, id, kept, joined }: PublishedRow): void {
  writer.int(ino);
  writer.id(id);
  writer.u8((kept === undefined ? 0 : 1) | (joined === undefined ? 0 : 2) | (joined?.holds === true ? 4 : 0));
  if (joined !== undefined) writer.int(joined.other);
  if (kept === undefined) return;
  stored.writeRecord(writer, kept.record);
  stored.writeBaseNames(writer, kept.names);
}

function readPublishedRow(reader: ByteReader): PublishedRow {
  const ino = reader.ino();
  const id = reader.id();
  const flags = reader.u8();
  const joined = (flags & 2) === 0 ? undefined : { other: reader.ino(), holds: (flags & 4) !== 0 };
  if ((flags & 1) === 0) return { ino, id, kept: undefined, joined };
  return { ino, id, kept: { record: stored.readRecord(reader), names: stored.readBaseNames(reader) }, joined };
}

function writeFollowed(writer: ByteWriter, { ino, row, base, links, kept, hidden }: FollowedObject): void {
  const parts = [row !== undefined, base !== undefined, links !== undefined, kept !== undefined, hidden === true];
  writer.int(ino);
  writer.u8(parts.reduce((flags, isThere, bit) => flags | (isThere ? 1 << bit : 0), 0));
  if (row !== undefined) writeInodeRow(writer, row);
  if (base !== undefined) {
    stored.writeBaseNames(writer, base.names);
    stored.writeConflict(writer, base.conflict);
  }
  if (links !== undefined) stored.writeLinks(writer, links);
  if (kept !== undefined) writeKept(writer, kept);
}

function readFollowed(reader: ByteReader): FollowedObject {
  const ino = reader.ino();
  const flags = reader.u8();
  const part = <Part>(bit: number, read: () => Part) => ((flags & (1 << bit)) === 0 ? undefined : read());
  const row = part(0, () => readInodeRow(reader));
  const base = part(1, () => ({ names: stored.readBaseNames(reader), conflict: stored.readConflict(reader) }));
  const links = part(2, () => stored.readLinks(reader));
  const kept = part(3, () => readKept(reader));
  const hidden = part(4, () => true);
  return {
    ino,
    row,
    base,
    links,
    ...(kept === undefined ? {} : { kept }),
    ...(hidden === undefined ? {} : { hidden }),
  };
}
