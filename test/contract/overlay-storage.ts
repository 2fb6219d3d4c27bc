/**
 * What every storage under the overlay must do. `open` answers the same storage each time: what was closed is there again.
 * `asOfNow`: the storage as a process would find it that starts after a kill.
 */
import { expect, test } from "vitest";
import type { FileId, FileName, Ino } from "../../src/base/ids.ts";
import { TABLES_LOG_ROWS } from "../../src/base/limits.ts";
import { NO_CHANGE } from "../../src/overlay/disk/storage.ts";
import type { InodeRow, ObjectRow, OverlayStorage, StateTables } from "../../src/overlay/disk/storage.ts";

const row = (ino: number, id: number, name = "n"): InodeRow => ({
  ino: ino as Ino,
  id: id.toString(16).padStart(32, "0") as FileId,
  type: "file",
  parent: "ab".repeat(16) as FileId,
  name: name as FileName,
});

const bytes = (...values: number[]) => Uint8Array.from(values);

export function overlayStorageContract(create: () => (asOfNow?: boolean) => OverlayStorage): void {
  test("a file keeps what is written at any offset, with zeros in between", () => {
    const open = create();
    const file = open().openFile("data", "5.1", true);
    file?.write(10, bytes(1, 2, 3));
    file?.write(0, bytes(9));
    file?.close();
    const again = open().openFile("data", "5.1", false);
    const target = new Uint8Array(20).fill(7);
    expect([again?.size(), again?.read(0, target)]).toEqual([13, 13]);
    expect([...target]).toEqual([9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 7, 7, 7, 7, 7, 7, 7]);
    expect(again?.read(13, target)).toBe(0);
    again?.close();
  });

  test("opening creates a file only on request, and never truncates one", () => {
    const open = create();
    expect(open().openFile("journal", "1", false)).toBeUndefined();
    const file = open().openFile("journal", "1", true);
    file?.write(0, bytes(1));
    file?.close();
    const again = open().openFile("journal", "1", true);
    expect(again?.size()).toBe(1);
    again?.close();
    expect([open().list("journal"), open().list("data")]).toEqual([["1"], []]);
  });

  test("files are removed one at a time or many at once, and many may include missing ones", async () => {
    const storage = create()();
    for (const name of ["1", "2", "3"]) storage.openFile("data", name, true)?.close();
    storage.removeFile("data", "2");
    await storage.removeFiles("data", ["1", "none"]);
    expect(storage.list("data")).toEqual(["3"]);
  });

  test("a file and its folder can be synced while the file is written to", async () => {
    const storage = create()();
    const file = storage.openFile("data", "1", true);
    file?.write(0, bytes(1));
    const synced = Promise.all([file?.sync(), storage.syncFolder("data")]);
    file?.write(1, bytes(2));
    await synced;
    expect(file?.size()).toBe(2);
    file?.close();
  });

  test("tables find rows by number and by id; giving an id to another number removes the old row", () => {
    const open = create();
    const tables = open().openTables();
    tables.apply({ ...NO_CHANGE, inodes: [row(2, 0xa), row(3, 0xb, "\xff name")] });
    tables.apply({ ...NO_CHANGE, inodes: [row(7, 0xa)], removedInodes: [3 as Ino] });
    tables.close();
    const again = open().openTables();
    expect(again.inode(7 as Ino)).toEqual(row(7, 0xa));
    expect(again.inodeOf(row(0, 0xa).id)?.ino).toBe(7);
    const { id, parent, name } = row(7, 0xa);
    expect(again.numberOf(id, { parent, name })).toEqual({ ino: 7, isThere: true });
    expect(again.numberOf(id, { parent, name: "\xfe" as FileName })).toEqual({ ino: 7, isThere: false });
    expect(again.numberOf(id, { parent: row(0, 0xe).id, name })).toEqual({ ino: 7, isThere: false });
    expect(again.numberOf(row(0, 0xb).id, { parent, name })).toBeUndefined();
    expect([again.inode(2 as Ino), again.inode(3 as Ino), again.inodeOf(row(0, 0xb).id)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(again.greatestIno()).toBe(7);
    again.apply({ ...NO_CHANGE, inodes: [row(4, 0xc), row(5, 0xd), row(6, 0xe)] });
    expect(again.inosBelow(7 as Ino, 2)).toEqual([6, 5]);
    expect(again.inosBelow(5 as Ino, 2)).toEqual([4]);
    again.close();
  });

  test("tables keep objects, the sealed epoch and the head, each changed independently", async () => {
    const open = create();
    const tables = open().openTables();
    expect([tables.greatestIno(), tables.head(), [...tables.objects()]]).toEqual([0, undefined, []]);
    tables.apply({
      ...NO_CHANGE,
      objects: [
        [2 as Ino, bytes(2)],
        [3 as Ino, bytes(3)],
      ],
      sealed: [[4 as Ino, bytes(4)]],
      head: bytes(1),
    });
    tables.apply({
      ...NO_CHANGE,
      objects: [
        [2 as Ino, bytes(22)],
        [3 as Ino, undefined],
      ],
    });
    await tables.sync();
    const read = (from: Iterable<Uint8Array>) => Array.from(from, (each) => [...each]);
    expect([read(tables.objects()), read(tables.sealed()), [...(tables.head() ?? [])]]).toEqual([[[22]], [[4]], [1]]);
    tables.apply({ ...NO_CHANGE, otherFlight: true });
    expect(read(tables.sealed())).toEqual([]);
    tables.close();
  });

  test("tables take a large change in portions, all or nothing", async () => {
    const open = create();
    const tables = open().openTables();
    const read = (from: StateTables) => Array.from(from.objects(), (each) => [...each]);
    tables.apply({ ...NO_CHANGE, objects: numbered(2, 3, 4), head: bytes(1) });
    const portions: ObjectRow[][] = [
      [[2 as Ino, undefined], ...numbered(5)],
      [[3 as Ino, bytes(33)], ...numbered(6)],
    ];
    let between = 0;
    const turn = async () => void between++;
    const failing = tables.applyInPortions(
      portions,
      () => NO_CHANGE,
      () => Promise.reject(new Error("between")),
    );
    await expect(failing).rejects.toThrow("between");
    expect(read(tables)).toEqual([[2], [3], [4]]);
    const failsAtTheEnd = tables.applyInPortions(
      portions,
      () => {
        throw new Error("rest");
      },
      turn,
    );
    await expect(failsAtTheEnd).rejects.toThrow("rest");
    expect(read(tables)).toEqual([[2], [3], [4]]);
    await tables.applyInPortions(
      portions,
      () => ({ ...NO_CHANGE, objects: [[6 as Ino, bytes(66)]], head: bytes(7) }),
      turn,
    );
    await tables.applyInPortions([], () => NO_CHANGE, turn);
    expect([read(tables), [...(tables.head() ?? [])], between]).toEqual([[[33], [4], [5], [66]], [7], 2]);
    tables.close();
  });

  test("tables keep everything when changes are written again and the log of changes is shortened", async () => {
    const open = create();
    const tables = open().openTables();
    const objects = Array.from({ length: TABLES_LOG_ROWS }, (_, at) => [(at + 2) as Ino, bytes(at % 256)] as const);
    tables.apply({ ...NO_CHANGE, objects });
    tables.rewrite();
    await tables.sync();
    tables.compact();
    tables.apply({ ...NO_CHANGE, head: bytes(1) });
    tables.rewrite();
    const again = open(true).openTables();
    expect(Array.from(again.objects(), ([byte]) => byte)).toEqual(objects.map(([, [byte]]) => byte));
    expect([...(again.head() ?? [])]).toEqual([1]);
    for (const each of [tables, again]) each.close();
  });

  test("the storage reports its total and free space", () => {
    const { blockSize, blocks, freeBlocks } = create()().space();
    expect(blockSize * blocks).toBeGreaterThan(0);
    expect(freeBlocks).toBeLessThanOrEqual(blocks);
  });
}

function numbered(...numbers: number[]): ObjectRow[] {
  return numbers.map((number) => [number as Ino, bytes(number)]);
}
