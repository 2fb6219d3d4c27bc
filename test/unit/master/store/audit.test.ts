/** What `syncline verify --data` finds in a master's data folder, and what its repair brings back. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { hasCode } from "../../../../src/base/errors.ts";
import type { Cid, Wallet } from "../../../../src/base/ids.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { silentLog } from "../../../../src/base/log.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { cidOf, digestOf } from "../../../../src/format/blocks/cid.ts";
import { encodeCbor, Link } from "../../../../src/format/blocks/dag-cbor.ts";
import { auditData } from "../../../../src/master/store/audit.ts";
import type { DataDamage } from "../../../../src/master/store/damage.ts";
import { lockDataFolder } from "../../../../src/master/store/data-folder.ts";
import { openMasterStore } from "../../../../src/master/store/master-store.ts";
import type { OwnerBlocks } from "../../../../src/master/store/owner-blocks.ts";
import { type PackDisk, systemPackDisk } from "../../../../src/master/store/pack-disk.ts";
import { repairData } from "../../../../src/master/store/repair.ts";
import { BLOCK_OVERHEAD_BYTES } from "../../../../src/master/limits.ts";
import { SqliteRootStore } from "../../../../src/roots/sqlite-root-store.ts";
import { systemError } from "../../../../src/simulate/disks/faulty-disk.ts";
import { failure, rawBlock } from "../../../contract/block-store.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const OWNER = `0x${"a".repeat(40)}` as Wallet;
const PACK_BYTES = 30_000;
const disk = systemPackDisk;

let dir: string;
/** A root over two nodes over ten chunks each; chunks fill three packs, and a fourth is open. */
let chunks: Block[];
let nodes: Block[];
let root: Block;

beforeEach(async () => {
  dir = join(await temporaryFolder(), "data");
  chunks = Array.from({ length: 20 }, (_, index) => rawBlock(5_000 + index));
  nodes = [nodeOf(chunks.slice(0, 10)), nodeOf(chunks.slice(10))];
  root = nodeOf(nodes);
  await withOwner(async (owner) => {
    for (const chunk of chunks) await owner.put([chunk]);
    await owner.put([...nodes, root]);
  });
  using roots = new SqliteRootStore(join(dir, "roots.db"));
  await roots.swap({ owner: OWNER, bucket: "photos" }, undefined, root.cid);
});

test("the total size of the packs is reported before the first byte is hashed", async () => {
  let [total, done] = [0, 0];
  const onBytes = (bytes: number) => {
    if (total > 0) done += bytes;
  };
  const { bytes } = await auditData({ dir, disk, onBytes, onTotal: (all) => (total = all) });
  expect(done).toBe(bytes);
  expect(total).toBeGreaterThanOrEqual(bytes);
  expect(total).toBeLessThan(bytes * 1.1);
});

describe("an audit of a master's data", () => {
  test("finds nothing wrong in what a master wrote, and counts it", async () => {
    expect(await audit()).toMatchObject({
      owners: 1,
      buckets: 1,
      packs: 4,
      blocks: 23,
      bytes: [...chunks, ...nodes, root].reduce((sum, { bytes }) => sum + bytes.length, 0),
      damage: [],
    });
  });

  test("finds nothing wrong without an index", async () => {
    rmSync(indexFile());
    expect((await audit()).damage).toEqual([]);
  });

  test("finds nothing wrong in a batch that was cut off", async () => {
    const open = files(".open")[0] ?? "";
    writeFileSync(open, Buffer.alloc(3_000, 1), { flag: "a" });
    writeFileSync(open.replace(/open$/, "rows"), Buffer.alloc(30, 1), { flag: "a" });
    expect((await audit()).damage).toEqual([]);
  });

  test("names a block with a flipped bit and the root that reaches it, and passes once it is sent again", async () => {
    const chunk = chunks[3] ?? root;
    flip(chunk);
    const { damage } = await audit();
    expect(damage.map(({ kind, cid }) => [kind, cid])).toEqual([
      ["block", chunk.cid],
      ["missing", chunk.cid],
    ]);
    expect(damage[1]).toMatchObject({ owner: OWNER, bucket: "photos", root: root.cid });
    await repair(damage);
    await withOwner(async (owner) => {
      expect(await owner.has([chunk.cid])).toEqual(new Set());
      expect(await owner.put([chunk])).toEqual({ stored: 1, known: 0 });
    });
    expect((await audit()).damage).toEqual([]);
  });

  test("names a block that a root reaches but that is not stored", async () => {
    const lacking = nodeOf([rawBlock(77), ...chunks]);
    await withOwner(async (owner) => void (await owner.put([lacking])));
    using roots = new SqliteRootStore(join(dir, "roots.db"));
    await roots.swap({ owner: OWNER, bucket: "photos" }, root.cid, lacking.cid);
    const { damage } = await audit();
    expect(damage).toMatchObject([
      { kind: "missing", cid: rawBlock(77).cid, root: lacking.cid, what: "is not stored" },
    ]);
  });

  test("notices a footer on a bad sector, which repair writes anew", async () => {
    const path = files("")[0] ?? "";
    const size = readFileSync(path).length;
    let isBad = true;
    const bad: PackDisk = {
      ...disk,
      open: async (where, access) => {
        const file = await disk.open(where, access);
        if (file === undefined || !where.startsWith(path)) return file;
        return {
          ...file,
          read: async (offset, length, memory) => {
            if (isBad && offset + length === size) throw systemError("EIO");
            return file.read(offset, length, memory);
          },
          write: async (offset, parts) => {
            isBad = false;
            return file.write(offset, parts);
          },
        };
      },
    };
    const { damage } = await auditData({ dir, disk: bad, onBytes: () => {} });
    expect(damage).toMatchObject([{ kind: "footer", what: expect.stringContaining("The disk cannot read") }]);
    await repairData({ dir, disk: bad, clock: systemClock, log: silentLog }, damage);
    expect(isBad).toBe(false);
    expect((await audit()).damage).toEqual([]);
  });

  test("notices a lost footer, which repair rebuilds from the index", async () => {
    const [pack = ""] = files("");
    truncateSync(pack, readFileSync(pack).length - 30);
    const { damage } = await audit();
    expect(damage.map(({ kind }) => kind)).toEqual(["footer"]);
    expect(await repair(damage)).toMatchObject([{ what: "its footer was rebuilt from the index" }]);
    expect(await audit()).toMatchObject({ damage: [], blocks: 23 });
    rmSync(indexFile());
    await everythingIsThere();
  });

  test("notices a lost pack with all that a root reached in it, and nothing else", async () => {
    const [pack = ""] = files("");
    const held = chunks.filter(({ bytes }) => readFileSync(pack).includes(Buffer.from(bytes))).map(({ cid }) => cid);
    renameSync(pack, join(dir, "elsewhere"));
    const { damage } = await audit();
    const of = (kind: DataDamage["kind"]) => damage.filter((item) => item.kind === kind).map(({ cid }) => cid);
    expect(of("pack")).toHaveLength(1);
    expect(of("index").toSorted()).toEqual(held.toSorted());
    expect(of("missing").toSorted()).toEqual(held.toSorted());
    await repair(damage);
    expect((await audit()).damage.map(({ kind }) => kind)).toEqual(held.map(() => "missing"));
    renameSync(join(dir, "elsewhere"), pack);
    await everythingIsThere();
    expect((await audit()).damage).toEqual([]);
  });

  test.each([
    ["has a wrong offset for a block", "UPDATE blocks SET offset = offset + 1 WHERE digest = ?", "wrong location"],
    ["lacks a block", "DELETE FROM blocks WHERE digest = ?", "index lacks"],
    ["has a wrong total", "UPDATE totals SET bytes = bytes + length(?)", "counts"],
  ])("notices an index that %s, which repair rebuilds", async (_, sql, what) => {
    const db = new Database(indexFile());
    db.prepare(sql).run(digestOf(chunks[0]?.cid ?? root.cid));
    db.close();
    const { damage } = await audit();
    expect(damage[0]).toMatchObject({ kind: "index", what: expect.stringContaining(what) });
    expect(await repair(damage)).toMatchObject([{ what: "the index was rebuilt from the packs" }]);
    expect((await audit()).damage).toEqual([]);
    await everythingIsThere();
  });

  test("notices an index that is not a database, which repair rebuilds", async () => {
    writeFileSync(indexFile(), "nothing of the kind");
    const { damage } = await audit();
    expect(damage.map(({ kind }) => kind)).toEqual(["index"]);
    await repair(damage);
    expect((await audit()).damage).toEqual([]);
  });

  test("notices a journal that lost its beginning, which repair restores from the index", async () => {
    const [rows = ""] = files(".rows");
    const bytes = readFileSync(rows);
    bytes.fill(0, 0, 30);
    writeFileSync(rows, bytes);
    const { damage } = await audit();
    expect(damage.map(({ kind }) => kind)).toEqual(["footer"]);
    await repair(damage);
    expect((await audit()).damage).toEqual([]);
    await everythingIsThere();
  });
});

test("a data folder in use is refused, with advice to stop the master", async () => {
  const store = await openMasterStore(storeOptions());
  const error = await failure(lockDataFolder(dir, disk));
  expect(hasCode(error, "state_in_use") && error.hint).toContain("Stop the master");
  await store[Symbol.asyncDispose]();
  (await lockDataFolder(dir, disk))[Symbol.dispose]();
});

test.each([
  ['{"format":2}', "feature_unknown"],
  ["nothing of the kind", "state_corrupt"],
] as const)("a data folder whose master.json says %s is refused and left unchanged", async (text, code) => {
  writeFileSync(join(dir, "master.json"), text);
  expect(hasCode(await failure(lockDataFolder(dir, disk)), code)).toBe(true);
  expect(hasCode(await failure(openMasterStore(storeOptions())), code)).toBe(true);
  expect(readFileSync(join(dir, "master.json"), "utf8")).toBe(text);
});

test("the folder of a file:// bucket is refused", async () => {
  const bucket = join(dir, "bucket");
  mkdirSync(bucket);
  writeFileSync(join(bucket, "genesis"), "");
  expect(hasCode(await failure(lockDataFolder(bucket, disk)), "path_exists")).toBe(true);
  expect(existsSync(join(bucket, "master.json"))).toBe(false);
  writeFileSync(join(bucket, "master.json"), '{"format":1}');
  (await lockDataFolder(bucket, disk))[Symbol.dispose]();
});

async function everythingIsThere(): Promise<void> {
  const all = [...chunks, ...nodes, root];
  await withOwner(async (owner) => {
    const found = await owner.getMany(all.map(({ cid }) => cid));
    expect(all.every(({ cid, bytes }) => Buffer.compare(found.get(cid) ?? Buffer.alloc(0), bytes) === 0)).toBe(true);
    expect(owner.usedBytes).toBe(all.reduce((sum, { bytes }) => sum + bytes.length + BLOCK_OVERHEAD_BYTES, 0));
  });
}

function storeOptions() {
  return { dir, clock: systemClock, random: systemRandom, log: silentLog, packBytes: PACK_BYTES };
}

async function withOwner(work: (owner: OwnerBlocks) => Promise<void>): Promise<void> {
  await using store = await openMasterStore(storeOptions());
  await work(await store.of(OWNER));
}

function audit() {
  return auditData({ dir, disk, onBytes: () => {} });
}

function repair(damage: readonly DataDamage[]) {
  return repairData({ dir, disk, clock: systemClock, log: silentLog }, damage);
}

function indexFile(): string {
  return join(dir, "owners", OWNER, "index.db");
}

function files(ending: string): string[] {
  const folder = join(dir, "owners", OWNER, "pack");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => (ending === "" ? !name.includes(".") : name.endsWith(ending)))
    .toSorted()
    .map((name) => join(folder, name));
}

/** Flips a bit of the block wherever it lies. */
function flip({ bytes }: Block): void {
  for (const file of [...files(""), ...files(".open")]) {
    const held = readFileSync(file);
    const at = held.indexOf(Buffer.from(bytes));
    if (at < 0) continue;
    held[at + 9] = (held[at + 9] ?? 0) ^ 4;
    writeFileSync(file, held);
  }
}

function nodeOf(children: readonly { readonly cid: Cid }[]): Block {
  const bytes = encodeCbor(children.map(({ cid }) => new Link(cid)));
  return { cid: cidOf("dag-cbor", bytes), bytes };
}
