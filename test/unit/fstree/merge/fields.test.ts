/** Fields of a record, three-way: each side's own change stands, and the winner's on a tie. */
import { describe, expect, test } from "vitest";
import type { FileId, WriterId } from "../../../../src/base/ids.ts";
import { MAX_XATTR_BYTES } from "../../../../src/base/limits.ts";
import { mergeRecords } from "../../../../src/fstree/merge/fields.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { linkLongValues } from "../../../../src/format/blocks/linked-value.ts";
import type { FileRecord } from "../../../../src/format/files/record.ts";
import { BlockMap } from "../../../support/block-map.ts";

const blocks = new BlockMap();

const plain: FileRecord = {
  type: "file",
  mode: 0o644,
  uid: 1,
  gid: 1,
  size: 0,
  mtimeNs: 1n,
  ctimeNs: 1n,
  rdev: 0,
  xattrs: new Map(),
  content: { kind: "empty" },
  target: "",
  conflict: undefined,
  unknown: new Map(),
};

describe("fields", () => {
  test("take the value of the side that changed them, or the winner's when both did", async () => {
    const winner = { ...plain, mode: 0o600, uid: 2 };
    const loser = { ...plain, mode: 0o700, gid: 2 };
    expect(await merge(plain, winner, loser)).toEqual({ ...plain, mode: 0o600, uid: 2, gid: 2 });
  });

  test("that only the loser changed take the loser's value, each independently", async () => {
    for (const change of [{ mode: 0o600 }, { uid: 2 }, { gid: 2 }, { mtimeNs: 2n }, { ctimeNs: 2n }, { birthNs: 2n }])
      expect(await merge(plain, { ...plain }, { ...plain, ...change })).toEqual({ ...plain, ...change });
  });

  test("take the winner's values when both sides created the object", async () => {
    const winner = { ...plain, mode: 0o600 };
    expect(await merge(undefined, winner, { ...plain, gid: 2 })).toEqual(winner);
  });

  test("the ctime is the earlier one when both sides created the same object", async () => {
    const later = { ...plain, ctimeNs: 2n };
    expect(await merge(undefined, later, plain)).toEqual(plain);
    expect(await merge(undefined, plain, later)).toEqual(plain);
    expect(await merge(undefined, later, { ...plain, mode: 0o600 })).toEqual(later);
  });

  test("mtime follows the content that survives", async () => {
    const winner = { ...plain, mtimeNs: 5n };
    const loser = { ...plain, size: 1, mtimeNs: 3n };
    const merged = await mergeRecords(blocks, plain, winner, loser, { of: loser, mtimeNs: 3n, conflict: false });
    expect(merged).toMatchObject({ size: 1, mtimeNs: 3n });
    expect((await merge(plain, winner, plain)).mtimeNs).toBe(5n);
  });

  test("the origin of a conflict copy merges as one field", async () => {
    const origin = { of: "01".repeat(16) as FileId, writer: "02".repeat(16) as WriterId, epoch: 3 };
    const copy = { ...plain, conflict: origin };
    expect((await merge({ ...copy }, { ...plain }, { ...plain, conflict: { ...origin } })).conflict).toBeUndefined();
    expect((await merge(plain, { ...plain }, copy)).conflict).toEqual(origin);
  });
});

describe("extended attributes", () => {
  test("are merged one by one, including removals", async () => {
    const base = withXattrs({ a: "1", b: "1", c: "1" });
    const winner = withXattrs({ a: "2", c: "1", d: "w" });
    const loser = withXattrs({ a: "3", b: "1", d: "l", e: "1" });
    expect(await merge(base, winner, loser)).toEqual(withXattrs({ a: "2", d: "w", e: "1" }));
  });

  test("are read from their blocks when both sides changed long ones", async () => {
    const [base, winner, loser] = [{ a: "1" }, { a: "1", w: "w".repeat(600) }, { a: "1", l: "l".repeat(600) }].map(
      (xattrs) => linkLongValues(withXattrs(xattrs), link),
    );
    const merged = await merge(base, winner ?? plain, loser ?? plain);
    expect(merged).toEqual(withXattrs({ a: "1", l: "l".repeat(600), w: "w".repeat(600) }));
    expect((await merge(base, winner ?? plain, base ?? plain)).xattrs).toBe(winner?.xattrs);
  });

  test("are all the winner's when both sides' together would not fit", async () => {
    const winner = withXattrs({ w: "w".repeat(MAX_XATTR_BYTES - 100) });
    expect(await merge(plain, winner, withXattrs({ l: "l".repeat(200) }))).toEqual(winner);
  });
});

describe("mode and access list", () => {
  const MASKED = { "system.posix_acl_access": "masked" };

  test("are one field: the winner's if both sides changed either", async () => {
    const base = { ...withXattrs({ ...MASKED, a: "1" }), mode: 0o640 };
    const chmod = { ...base, mode: 0o740 };
    const removed = { ...withXattrs({ a: "1" }), mode: 0o600 };
    const relisted = { ...withXattrs({ "system.posix_acl_access": "other", a: "1" }), mode: 0o640 };
    for (const [winner, loser] of [
      [chmod, removed],
      [removed, chmod],
      [relisted, chmod],
      [chmod, relisted],
    ] as const)
      expect(await merge(base, winner, loser)).toEqual(winner);
  });

  test("of the side that changed them stand beside the other side's attributes", async () => {
    const base = { ...withXattrs(MASKED), mode: 0o640 };
    const attributed = { ...withXattrs({ ...MASKED, a: "1" }), mode: 0o640 };
    const removed = { ...plain, mode: 0o600 };
    const merged = { ...withXattrs({ a: "1" }), mode: 0o600 };
    expect(await merge(base, attributed, removed)).toEqual(merged);
    expect(await merge(base, removed, attributed)).toEqual(merged);
    expect(await merge(plain, withXattrs({ a: "1" }), { ...plain, mode: 0o600 })).toEqual(merged);
  });

  test("are the winner's if both sides made the file", async () => {
    const winner = { ...plain, mode: 0o660 };
    expect(await merge(undefined, winner, { ...withXattrs(MASKED), mode: 0o660 })).toEqual(winner);
  });

  test("both come from the winner if the merged attributes are too large, unless the lists are equal", async () => {
    const long = { w: "w".repeat(MAX_XATTR_BYTES - 100) };
    const loser = withXattrs({ l: "l".repeat(200), ...MASKED });
    expect(await merge(plain, withXattrs(long), { ...loser, mode: 0o660 })).toEqual(withXattrs(long));
    const listed = withXattrs({ ...long, ...MASKED });
    const merged = await merge(withXattrs(MASKED), listed, { ...loser, mode: 0o660 });
    expect(merged).toEqual({ ...listed, mode: 0o660 });
  });
});

describe("privileges", () => {
  const privileged = { ...withXattrs({ "security.capability": "net" }), mode: 0o6755 };
  const bare = { ...plain, mode: 0o755 };
  const written = (record: FileRecord): FileRecord => ({ ...record, size: 1 });

  test("are dropped from content of a side that had none, whichever wins", async () => {
    expect(await mergeContent(bare, privileged, written(bare), "loser")).toEqual(written(bare));
    expect(await mergeContent(bare, written(bare), privileged, "winner")).toEqual(written(bare));
  });

  test("stay on content of a side that had them", async () => {
    const merged = await mergeContent(privileged, written(privileged), { ...privileged, mode: 0o6711 }, "winner");
    expect(merged).toEqual({ ...written(privileged), mode: 0o6711 });
  });

  test("go when the other side gave the file to another owner or group", async () => {
    for (const owner of [{ uid: 2 }, { gid: 2 }])
      expect(await merge(bare, { ...bare, ...owner }, privileged)).toEqual({ ...bare, ...owner });
  });

  test("stay with an owner that a side gave them to", async () => {
    const given = { ...privileged, uid: 2 };
    expect(await merge(bare, given, bare)).toEqual(given);
  });

  test("that an older version let through stay: merging its result again changes nothing", async () => {
    const older = written(privileged);
    for (const base of [bare, privileged, written(bare)]) {
      expect(await mergeContent(base, older, base, "winner")).toEqual(older);
      expect(await mergeContent(base, base, older, "loser")).toEqual(older);
    }
  });

  test("are no set-group-id without execution, and nothing of a directory's", async () => {
    const shared = { ...plain, mode: 0o2644 };
    expect(await mergeContent(plain, shared, written(plain), "loser")).toEqual(written(shared));
    const directory = { ...plain, type: "directory", mode: 0o2755 } as const;
    const chowned = { ...directory, mode: 0o755, gid: 2 };
    expect(await merge({ ...directory, mode: 0o755 }, chowned, directory)).toEqual({ ...directory, gid: 2 });
  });

  test("in long attributes go like short ones", async () => {
    const long = linkLongValues({ ...withXattrs({ "security.capability": "net", a: "a".repeat(600) }) }, link);
    const merged = await mergeContent(plain, long, written(plain), "loser");
    expect(merged).toEqual(written(withXattrs({ a: "a".repeat(600) })));
  });
});

describe("fields from newer versions", () => {
  test("are merged by tag, as opaque bytes", async () => {
    const winner = { ...plain, unknown: new Map([[40, Uint8Array.of(1)]]) };
    const loser = { ...plain, unknown: new Map([[41, Uint8Array.of(2)]]) };
    expect((await merge(plain, winner, loser)).unknown).toEqual(new Map([...winner.unknown, ...loser.unknown]));
  });

  test("are all the winner's when both sides' together could outgrow a row", async () => {
    const winner = { ...plain, unknown: new Map([[40, new Uint8Array(400)]]) };
    const loser = { ...plain, unknown: new Map([[41, new Uint8Array(400)]]) };
    expect((await merge(plain, winner, loser)).unknown).toEqual(winner.unknown);
  });
});

function merge(base: FileRecord | undefined, winner: FileRecord, loser: FileRecord): Promise<FileRecord> {
  return mergeRecords(blocks, base, winner, loser, { of: winner, mtimeNs: undefined, conflict: false });
}

function mergeContent(base: FileRecord, winner: FileRecord, loser: FileRecord, of: "winner" | "loser") {
  const version = { of: of === "winner" ? winner : loser, mtimeNs: undefined, conflict: false };
  return mergeRecords(blocks, base, winner, loser, version);
}

function link(bytes: Uint8Array) {
  const cid = cidOf("dag-cbor", bytes);
  blocks.put({ cid, bytes });
  return cid;
}

function withXattrs(xattrs: Record<string, string>): FileRecord {
  return {
    ...plain,
    xattrs: new Map(Object.entries(xattrs).map(([name, value]) => [name, Uint8Array.from(Buffer.from(value))])),
  };
}
