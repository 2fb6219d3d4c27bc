/** The small decisions of the FUSE door, and that both sides of the shared memory agree. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ERRNO } from "../../src/base/errno.ts";
import { SynclineError } from "../../src/base/errors.ts";
import type { Ino } from "../../src/base/ids.ts";
import { errnoOf, untilAborted } from "../../src/fuse/failure.ts";
import { parseMountTable } from "../../src/fuse/mount-table.ts";
import { agree } from "../../src/fuse/negotiation.ts";
import { OpenFiles } from "../../src/fuse/open-files.ts";
import {
  ATTRIBUTE,
  CELL,
  ENTRY,
  FOPEN,
  INIT,
  LAYOUT_VERSION,
  REPLY,
  ROW_CELLS,
  ROWS,
} from "../../src/fuse/protocol.ts";

describe("the cells that C++ and JavaScript share", () => {
  const header = readFileSync(join(import.meta.dirname, "../../native/layout.h"), "utf8");
  const constant = (name: string) => Number(new RegExp(`${name} = (\\d+);`).exec(header)?.[1]);

  /** The values of an enum, by its members' names without their prefix, in capitals. */
  function enumeration(name: string): Map<string, number> {
    const body = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(header)?.[1] ?? "";
    const values = new Map<string, number>();
    let next = 0;
    for (const [, member = "", value] of body.replace(/\/\/.*/g, "").matchAll(/k(\w+)(?: = (\d+))?/g)) {
      next = value === undefined ? next : Number(value);
      values.set(member.toUpperCase(), next++);
    }
    return values;
  }

  test("have the same numbers on both sides", () => {
    expect(constant("kLayoutVersion")).toBe(LAYOUT_VERSION);
    expect([constant("kRows"), constant("kRowCells")]).toEqual([ROWS, ROW_CELLS]);
    expect([constant("kMaxEntries"), constant("kEntryCells")]).toEqual([ENTRY.MOST, ENTRY.CELLS]);
    const request = enumeration("RequestCell");
    expect([...request.values()]).toEqual([
      CELL.OPCODE,
      CELL.TICKET,
      CELL.NODE,
      CELL.UID,
      CELL.GID,
      CELL.FIRST_NAME,
      CELL.ARGUMENT,
    ]);
    const reply = enumeration("ReplyCell");
    expect([...reply.values()]).toEqual([CELL.KIND, CELL.VALUE, CELL.ATTRIBUTES, CELL.FLAGS, CELL.LENGTH]);
    expect([...enumeration("AttributeCell").values()]).toEqual(Object.values(ATTRIBUTE));
    expect([...enumeration("EntryCell").values()]).toEqual([ENTRY.NEXT, ENTRY.NAME_LENGTH]);
    expect([...enumeration("ReplyKind").values()]).toEqual(Object.values(REPLY));
  });
});

describe("negotiation", () => {
  const everything = 0x7fff_ffff;
  const wishes = { writebackCache: false, readAheadBytes: 1 << 20 };
  const flagsOf = (agreed: number[] | string) => (typeof agreed === "string" ? Number.NaN : (agreed[2] ?? 0));

  test("takes nothing that the kernel does not offer", () => {
    const agreed = agree({ major: 7, minor: 36, flags: INIT.ASYNC_READ | INIT.WRITEBACK_CACHE }, wishes);
    expect(flagsOf(agreed)).toBe(INIT.ASYNC_READ);
    expect(agreed[0]).toBe(36);
  });

  test("leaves locks, atomic truncation, ACLs and what no supervisor guards to the kernel", () => {
    const POSIX_LOCKS = 1 << 1;
    const ATOMIC_O_TRUNC = 1 << 3;
    const FLOCK_LOCKS = 1 << 10;
    const POSIX_ACL = 1 << 20;
    const agreed = agree({ major: 7, minor: 45, flags: everything }, wishes);
    expect(flagsOf(agreed) & (POSIX_LOCKS | ATOMIC_O_TRUNC | FLOCK_LOCKS | POSIX_ACL | INIT.WRITEBACK_CACHE)).toBe(0);
    expect(agreed[3]).toBe(0);
    const cached = agree({ major: 7, minor: 45, flags: everything }, { ...wishes, writebackCache: true });
    expect(flagsOf(cached) & INIT.WRITEBACK_CACHE).toBe(INIT.WRITEBACK_CACHE);
  });

  test("refuses kernels that are too old, with a reason", () => {
    expect(agree({ major: 7, minor: 20, flags: everything }, wishes)).toMatch(/7\.20.*is the least/);
    expect(agree({ major: 8, minor: 0, flags: everything }, wishes)).toMatch(/8\.0/);
  });
});

describe("a failure", () => {
  test("is ENOSPC or EFBIG when a disk says so, however deep that lies, else EIO", () => {
    const full = Object.assign(new Error("no space"), { code: "ENOSPC" });
    expect(errnoOf(new SynclineError("state_corrupt", "x", { cause: full }))).toBe(ERRNO.ENOSPC);
    expect(errnoOf(new SynclineError("disk_full", "x"))).toBe(ERRNO.ENOSPC);
    expect(errnoOf(new SynclineError("read_timeout", "x"))).toBe(ERRNO.EIO);
    expect(errnoOf(Object.assign(new Error("x"), { code: "EFBIG" }))).toBe(ERRNO.EFBIG);
    expect(errnoOf("nonsense")).toBe(ERRNO.EIO);
  });

  test("by interruption comes at once, and what was waited for may fail unseen", async () => {
    const abort = new AbortController();
    let fail: (error: Error) => void = () => {};
    const waiting = untilAborted(new Promise<void>((_, reject) => (fail = reject)), abort.signal);
    abort.abort(new Error("interrupted"));
    await expect(waiting).rejects.toThrow("interrupted");
    fail(new Error("too late"));
    await expect(untilAborted(Promise.resolve(7), new AbortController().signal)).resolves.toBe(7);
    await expect(untilAborted(Promise.resolve(7), abort.signal)).rejects.toThrow("interrupted");
  });
});

describe("open files", () => {
  const [a, b] = [10 as Ino, 11 as Ino];

  test("keep their cached pages, until everything may have changed: then each is read anew once", () => {
    const files = new OpenFiles();
    expect(files.open(a) & FOPEN.KEEP_CACHE).not.toBe(0);
    files.open(a);
    files.release(a);
    expect(files.distrust()).toEqual([a]);
    files.release(a);
    expect(files.distrust()).toEqual([]);
    expect(files.open(b) & FOPEN.KEEP_CACHE).toBe(0);
    expect(files.open(b) & FOPEN.KEEP_CACHE).not.toBe(0);
  });
});

test("the mount table is read with its escapes and its optional fields", () => {
  const text =
    "36 35 0:52 / /mnt/a\\040b rw,nosuid shared:1 master:2 - fuse.syncline file:///x rw,user_id=0\n" +
    "37 35 8:1 / / rw - ext4 /dev/vda rw\n\nnonsense\n";
  expect(parseMountTable(text)).toEqual([
    { device: "0:52", mountPoint: "/mnt/a b", type: "fuse.syncline" },
    { device: "8:1", mountPoint: "/", type: "ext4" },
  ]);
});
