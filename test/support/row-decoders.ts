/**
 * Rows of SQLite tables for fuzzing: concatenated columns, which are put into a table as they are and read back by the real
 * readers. SQLite checks its pages, but not the values in them.
 */
import { DEFAULT_POLICY } from "../../src/format/commits/policy.ts";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { type ErrorCode, hasCode } from "../../src/base/errors.ts";
import type { FileId, Ino } from "../../src/base/ids.ts";
import { MAX_BLOCK_ACCEPTED } from "../../src/base/limits.ts";
import { silentLog } from "../../src/base/log.ts";
import { removeIndex, SqliteCacheIndex } from "../../src/blocks/cache-index.ts";
import type { CacheStorage } from "../../src/blocks/cache-storage.ts";
import { DiskBlockCache } from "../../src/blocks/disk-block-cache.ts";
import { cidOf, digestOf } from "../../src/format/blocks/cid.ts";
import { systemDatabases } from "../../src/objects/databases.ts";
import { BlockIndex } from "../../src/master/store/block-index.ts";
import { readBlocks } from "../../src/master/store/block-reader.ts";
import { systemPackDisk } from "../../src/master/store/pack-disk.ts";
import { PackHandles } from "../../src/master/store/pack-handles.ts";
import { SqliteTables } from "../../src/overlay/disk/sqlite-tables.ts";
import { SqliteRootStore } from "../../src/roots/sqlite-root-store.ts";
import { noteExchanged } from "../../src/sync/apply/redo.ts";
import { textsOf } from "../../src/sync/apply/redo-lines.ts";
import { countFilesBefore } from "../../src/sync/deletion-limit.ts";
import { SyncDatabase } from "../../src/sync/known/database.ts";
import { rowOf, type Entry } from "../../src/sync/known/entry.ts";
import { nextEpoch } from "../../src/sync/publish/epoch.ts";
import { sentEpochs } from "../../src/sync/publish/sent-epochs.ts";
import type { Decoder } from "./fuzz.ts";

const code =
  (...codes: ErrorCode[]) =>
  (error: unknown) =>
    codes.some((each) => hasCode(error, each));
const never = () => false;

const block = Buffer.from("a block of which an index tells where it is");
const cid = cidOf("raw", block);
const PACK = "5a".repeat(16);
const id = "0f1e2d3c4b5a69788796a5b4c3d2e1f0" as FileId;
const parent = "112233445566778899aabbccddeeff00" as FileId;
const ino = 9 as Ino;

export function rowDecoders(entries: readonly Entry[]): Decoder[] {
  const folder = mkdtempSync(join(tmpdir(), "syncline-rows-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  return [cacheRows(folder), indexRows(folder), rootRows(), inodeRows(folder), ...syncRows(folder, entries)];
}

/** A column: a letter for its type, and the value. */
type Column = string | number | bigint | Uint8Array | null;

function encodeRow(columns: readonly Column[]): Buffer {
  return Buffer.concat(
    columns.flatMap((column) => {
      const [letter, bytes] = encodeColumn(column);
      return [Buffer.of(letter.charCodeAt(0), bytes.length >> 8, bytes.length & 255), bytes];
    }),
  );
}

function encodeColumn(column: Column): [letter: string, bytes: Buffer] {
  if (column === null) return ["n", Buffer.alloc(0)];
  if (typeof column === "string") return ["t", Buffer.from(column)];
  if (typeof column === "object") return ["b", Buffer.from(column)];
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(column));
  return ["i", bytes];
}

/** Exactly `count` columns; missing ones are NULL. */
function columnsOf(bytes: Uint8Array, count: number): Column[] {
  const columns: Column[] = [];
  let at = 0;
  while (columns.length < count) {
    const [letter = 0, high = 0, low = 0] = bytes.subarray(at, at + 3);
    const value = Buffer.from(bytes.subarray(at + 3, at + 3 + ((high << 8) | low)));
    columns.push(decodeColumn(String.fromCharCode(letter), value));
    at += 3 + value.length;
  }
  return columns;
}

function decodeColumn(letter: string, value: Buffer): Column {
  if (letter === "t") return value.toString("utf8");
  if (letter === "b") return value;
  if (letter !== "i") return null;
  return Buffer.concat([value, Buffer.alloc(8)]).readBigInt64LE(0);
}

/** Makes this row the table's only one. False if the table refuses it, so that it cannot occur. */
function put(db: Database.Database, table: string, row: readonly Column[]): boolean {
  try {
    db.exec(`DELETE FROM ${table}`);
    db.prepare(`INSERT INTO ${table} VALUES (${row.map(() => "?").join()})`).run(...row);
    return true;
  } catch (error) {
    if (error instanceof Database.SqliteError) return false;
    throw error;
  }
}

/** The block cache's index: if its row describes a block wrongly, the block is not cached, without other effects. */
function cacheRows(folder: string): Decoder {
  const none = () => {};
  const read = async (_: string, offset: number, target: Uint8Array) => {
    const there = block.subarray(Math.min(offset, block.length), offset + target.length);
    target.set(there);
    return there.length;
  };
  const storage: CacheStorage = {
    openIndex: () => new SqliteCacheIndex(folder),
    removeIndex: () => removeIndex(folder),
    create: async () => ({ write: async () => {}, close: async () => {} }),
    read,
    forget: none,
    remove(name) {
      if (!/^[0-9a-f]{16}\.blocks$/.test(name)) throw new Error(`The cache removes ${name}.`);
    },
    taken: () => 0,
    freeRanges: async () => false,
    spare: () => 1 << 20,
    close: async () => {},
  };
  const path = join(folder, "index.sqlite");
  const name = "00112233445566ab.blocks";
  return {
    name: "cache-index-row",
    samples: [encodeRow([1, name, 100, 1, 1, 0, block.length]), encodeRow([3, name, 1 << 20, 2, 3, 5, block.length])],
    refuses: never,
    fixedBytes: 2 * MAX_BLOCK_ACCEPTED,
    async decode(bytes) {
      // A damaged index was removed.
      if (!existsSync(path)) storage.openIndex().close();
      const raw = new Database(path);
      const columns = columnsOf(bytes, 7);
      const isThere =
        put(raw, "sqlite_sequence", ["segments", 0]) &&
        put(raw, "segments", columns.slice(0, 4)) &&
        put(raw, "blocks", [digestOf(cid), ...columns.slice(4)]);
      raw.close();
      if (!isThere) return;
      const cache = new DiskBlockCache({ dir: folder, bytes: 1 << 20, log: silentLog, storage });
      for (const [each, found] of await cache.held([cid])) expectBlock(each, found);
      await cache.readInto([{ cid, length: block.length }], Buffer.alloc(block.length));
      // The first attempt evicts if the row claims that the cache is too large.
      for (let times = 0; times < 2; times++) {
        cache.keep([{ cid, bytes: block }]);
        await cache.settled();
      }
      const kept = await cache.held([cid]);
      await cache.close();
      if (!kept.has(cid)) throw new Error("The row keeps the block out of the cache.");
    },
  };
}

function expectBlock(each: string, found: Uint8Array): void {
  if (!block.equals(found)) throw new Error(`Other bytes are shown as ${each}.`);
}

/** A master's index: if its row is wrong, the block is found by the pack's footer, or reported as damaged. */
function indexRows(folder: string): Decoder {
  const packs = join(folder, "packs");
  mkdirSync(packs);
  writeFileSync(join(packs, PACK), block);
  const db = new Database(":memory:");
  const index = new BlockIndex("", { ...systemDatabases, open: () => db });
  const options = { handles: new PackHandles(systemPackDisk), folder: packs, onDamage: () => {} };
  return {
    name: "master-index-row",
    samples: [
      encodeRow([1, PACK, 1, 100, 1, 0, block.length, 0, 0, 0, 5]),
      encodeRow([2, PACK, 0, 9, 2, 0, block.length, 1, 2, 3, 5]),
    ],
    refuses: code("block_corrupt"),
    // A block is read before its hash is checked.
    fixedBytes: 2 * MAX_BLOCK_ACCEPTED,
    async decode(bytes) {
      const columns = columnsOf(bytes, 11);
      const rest = columns.slice(4);
      if (!put(db, "packs", columns.slice(0, 4)) || !put(db, "blocks", [digestOf(cid), ...rest])) return;
      for (const { name } of index.packs()) if (name !== PACK) expectPackName(name);
      index.rowsOf(PACK);
      const place = index.find(digestOf(cid));
      if (place === undefined) return;
      for (const [each, found] of await readBlocks(options, new Map([[cid, place]]))) expectBlock(each, found);
    },
  };
}

function expectPackName(name: string): void {
  if (!/^[0-9a-f]{32}$/.test(name)) throw new Error(`${JSON.stringify(name)} is taken for the name of a pack.`);
}

/** A master's table of roots. */
function rootRows(): Decoder {
  const db = new Database(":memory:");
  const roots = new SqliteRootStore("", { ...systemDatabases, open: () => db });
  return {
    name: "root-table-row",
    samples: [encodeRow(["", "demo", cid, 7, "2026-01-31 12:00:00"])],
    refuses: code("store_corrupt"),
    async decode(bytes) {
      const [owner, bucket] = columnsOf(bytes, 5);
      if (!put(db, "bucket_roots", columnsOf(bytes, 5))) return;
      const name = { owner: String(owner), bucket: String(bucket) };
      await roots.list(name.owner, "", 10);
      await roots.row(name);
      roots.all();
    },
  };
}

/** The overlay's table of inodes. */
function inodeRows(folder: string): Decoder {
  const path = join(folder, "overlay.db");
  const raw = new Database(path);
  const tables = new SqliteTables(path, raw);
  raw.pragma("synchronous = OFF");
  const hex = (text: string) => Buffer.from(text, "hex");
  return {
    name: "overlay-inode-row",
    samples: [1, 2].map((type) => encodeRow([ino, hex(id), type, hex(parent), Buffer.from("name")])),
    refuses: code("state_corrupt"),
    decode(bytes) {
      const row = columnsOf(bytes, 5);
      if (!put(raw, "inodes", row)) return undefined;
      for (const found of [tables.inode(ino), tables.inodeOf(id)]) {
        if (found === undefined) continue;
        const ids = [found.id, found.parent];
        if (!ids.every((each) => /^[0-9a-f]{32}$/.test(each))) throw new Error("An id of another length.");
      }
      return undefined;
    },
  };
}

/** The database of a synced folder. */
function syncRows(folder: string, entries: readonly Entry[]): Decoder[] {
  const path = join(folder, "sync.db");
  const db = new SyncDatabase(path);
  const raw = new Database(path);
  raw.pragma("synchronous = OFF");
  const rowOfEntry = (entry: Entry): Column[] => {
    const { record, links, seen, ...place } = rowOf(entry);
    return [place.parent, place.name, place.id, 1, String(entry.seen.ino), record, links, seen];
  };
  const facts = (key: string, ...values: unknown[]) => values.map((value) => Buffer.from(`${key}\n${String(value)}`));
  const sealed = { epoch: 4, base: cid, there: [{ path: ["a"], type: "file", seen: "AAAA" }], gone: ["b"] };
  const sent = [{ commit: cid, seq: 3 }];
  const [first] = entries;
  return [
    {
      name: "sync-entry-row",
      samples: entries.map((entry) => encodeRow(rowOfEntry(entry))),
      refuses: code("state_corrupt"),
      decode(bytes) {
        if (!put(raw, "entries", columnsOf(bytes, 8))) return undefined;
        for (const each of db.parents()) db.looks(each);
        for (const entry of db.entries()) db.byInode(entry.seen.ino);
        return undefined;
      },
    },
    {
      name: "sync-unsettled-row",
      samples: [encodeRow([parent, Buffer.from("name"), "waiting"])],
      refuses: code("state_corrupt"),
      decode(bytes) {
        if (put(raw, "unsettled", columnsOf(bytes, 3))) db.unsettled();
        return undefined;
      },
    },
    {
      name: "sync-parked-row",
      samples: [encodeRow([id, parent, Buffer.from("name")])],
      refuses: code("state_corrupt"),
      decode(bytes) {
        if (put(raw, "parked", columnsOf(bytes, 3))) db.parkedFrom(id);
        return undefined;
      },
    },
    {
      name: "sync-fact",
      // A fact's name and its value, on two lines.
      samples: [
        ...facts("base", JSON.stringify({ commit: cid, tree: cid, seq: 7 })),
        ...facts("epoch", 7),
        ...facts("shown", 7),
        ...facts("files before", 7000),
        ...facts("under way", JSON.stringify(sealed)),
        ...facts("sent", JSON.stringify({ epoch: 4, sent })),
        ...facts("late", JSON.stringify({ root: cid, epochs: [sealed, { ...sealed, sent }] })),
        ...facts("exchanged", ...(first === undefined ? [] : [JSON.stringify([cid, textsOf(rowOf(first))])])),
      ],
      refuses: code("state_corrupt"),
      async decode(bytes) {
        const [key = "", ...value] = Buffer.from(bytes).toString("utf8").split("\n");
        if (!put(raw, "facts", [key, value.join("\n")])) return;
        const base = db.base();
        if (base !== undefined && !Number.isSafeInteger(base.seq)) throw new Error("A sequence that is no number.");
        sentEpochs(db);
        await noteExchanged(db);
        for (const number of [nextEpoch(db, 0), countFilesBefore(db, DEFAULT_POLICY.guard)])
          if (!Number.isSafeInteger(number)) throw new Error("An epoch that is no number.");
      },
    },
  ];
}
