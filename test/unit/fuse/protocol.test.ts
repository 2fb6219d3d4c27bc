/** The small decisions of the FUSE door, and that both sides of the shared memory agree. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import { SynclineError } from "../../../src/base/errors.ts";
import type { FileName, Ino } from "../../../src/base/ids.ts";
import type { Session } from "../../../src/fuse/addon.ts";
import { Exchange } from "../../../src/fuse/exchange.ts";
import { errnoOf } from "../../../src/fuse/failure.ts";
import { isOnTop, parseMountTable, placeOf } from "../../../src/fuse/mount-table.ts";
import { agree } from "../../../src/fuse/negotiation.ts";
import { OpenFiles } from "../../../src/fuse/open-files.ts";
import { OpenTable } from "../../../src/fuse/open-table.ts";
import {
  ATTRIBUTE,
  CELL,
  ENTRY,
  FOPEN,
  INIT,
  INIT2,
  LAYOUT_VERSION,
  REPLY,
  ROW_CELLS,
  ROWS,
} from "../../../src/fuse/protocol.ts";
import type { Attributes } from "../../../src/vfs/filesystem.ts";

describe("the cells that C++ and JavaScript share", () => {
  const header = readFileSync(join(import.meta.dirname, "../../../native/layout.h"), "utf8");
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
      CELL.THREAD,
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

test("times beyond a cell's range are clamped to the nearest value", () => {
  const cells = new Float64Array(CELL.ATTRIBUTES + ROW_CELLS);
  const times = new BigInt64Array(cells.buffer);
  const exchange = new Exchange({ cells, times } as unknown as Session);
  const year2500Ns = 16_725_225_600_000_000_000n;
  const attributes = { atimeNs: 7n, mtimeNs: year2500Ns, ctimeNs: -year2500Ns } as Attributes;
  exchange.writeAttributes(0, attributes);
  expect([...times.subarray(ATTRIBUTE.ATIME, ATTRIBUTE.CTIME + 1)]).toEqual([7n, 2n ** 63n - 1n, -(2n ** 63n)]);
});

describe("negotiation", () => {
  const everything = 0x7fff_ffff;
  const offer = { major: 7, minor: 45, flags: everything, flags2: everything };
  const wishes = { writebackCache: false, readAheadBytes: 1 << 20, pageBytes: 4096 };
  const flagsOf = (agreed: number[] | string) => (typeof agreed === "string" ? Number.NaN : (agreed[2] ?? 0));

  test("accepts nothing that the kernel does not offer", () => {
    const agreed = agree({ major: 7, minor: 36, flags: INIT.ASYNC_READ | INIT.WRITEBACK_CACHE, flags2: 0 }, wishes);
    expect(flagsOf(agreed)).toBe(INIT.ASYNC_READ);
    expect([agreed[0], agreed[3]]).toEqual([36, 0]);
  });

  test("leaves locks and atomic truncation to the kernel, and write-back caching off unless requested", () => {
    const POSIX_LOCKS = 1 << 1;
    const ATOMIC_O_TRUNC = 1 << 3;
    const FLOCK_LOCKS = 1 << 10;
    const agreed = agree(offer, wishes);
    expect(flagsOf(agreed) & (POSIX_LOCKS | ATOMIC_O_TRUNC | FLOCK_LOCKS | INIT.WRITEBACK_CACHE)).toBe(0);
    expect(agreed[3]).toBe(INIT2.DIRECT_IO_ALLOW_MMAP | INIT2.HAS_RESEND);
    const cached = agree(offer, { ...wishes, writebackCache: true });
    expect(flagsOf(cached) & INIT.WRITEBACK_CACHE).toBe(INIT.WRITEBACK_CACHE);
  });

  test("enables access control lists only if the kernel offers all that they need", () => {
    const needed = [INIT.POSIX_ACL, INIT.SETXATTR_EXT, INIT.DONT_MASK];
    const all = needed.reduce((flags, flag) => flags | flag, 0);
    expect(flagsOf(agree(offer, wishes)) & all).toBe(all);
    for (const flag of needed) expect(flagsOf(agree({ ...offer, flags: everything & ~flag }, wishes)) & all).toBe(0);
  });

  test("limits requests to 1 MiB, whatever the system's page size", () => {
    for (const pageBytes of [4096, 16 << 10, 64 << 10]) {
      expect(Number(agree(offer, { ...wishes, pageBytes })[7]) * pageBytes).toBe(1 << 20);
    }
  });

  test("refuses kernels that are too old, with a reason", () => {
    expect(agree({ ...offer, minor: 20 }, wishes)).toMatch(/7\.20.*or newer is needed/);
    expect(agree({ ...offer, major: 8, minor: 0 }, wishes)).toMatch(/8\.0/);
  });
});

describe("a failure", () => {
  test("maps to ENOSPC or EFBIG if any nested cause says so, otherwise to EIO", () => {
    const full = Object.assign(new Error("no space"), { code: "ENOSPC" });
    expect(errnoOf(new SynclineError("state_corrupt", "x", { cause: full }))).toBe(ERRNO.ENOSPC);
    expect(errnoOf(new SynclineError("disk_full", "x"))).toBe(ERRNO.ENOSPC);
    expect(errnoOf(new SynclineError("read_timeout", "x"))).toBe(ERRNO.EIO);
    expect(errnoOf(Object.assign(new Error("x"), { code: "EFBIG" }))).toBe(ERRNO.EFBIG);
    expect(errnoOf("nonsense")).toBe(ERRNO.EIO);
  });
});

describe("open files", () => {
  const [a, b] = [10 as Ino, 11 as Ino];

  test("keep their cached pages until everything may have changed; then each is reread once", () => {
    const files = new OpenFiles(new OpenTable());
    expect(files.open(1, a, "read").flags & FOPEN.KEEP_CACHE).not.toBe(0);
    files.open(2, a, "read");
    files.release(a, 1);
    expect(files.distrust()).toEqual([a]);
    files.release(a, 2);
    expect(files.distrust()).toEqual([]);
    expect(files.open(3, b, "read").flags & FOPEN.KEEP_CACHE).toBe(0);
    expect(files.open(4, b, "read").flags & FOPEN.KEEP_CACHE).not.toBe(0);
  });

  test("are counted once, even if the agent before also executed the request, perhaps with another inode number", () => {
    const memory = Buffer.from(new ArrayBuffer(1024));
    const before = new OpenFiles(new OpenTable(memory));
    before.open(1, a, "hold");
    before.open(2, a, "hold");
    const files = new OpenFiles(new OpenTable(memory));
    files.open(1, a, "hold");
    files.open(2, b, "hold");
    expect(files.held).toEqual([a, b]);
    expect([files.release(a, 1), files.release(a, 1), files.release(b, 2), files.held]).toEqual([
      true,
      false,
      true,
      [],
    ]);
  });

  test("are read unless a program may append to them", () => {
    const files = new OpenFiles(new OpenTable());
    const { readers } = files;
    files.open(1, a, "append");
    files.open(2, a, "read");
    files.open(3, b, "read");
    expect([readers.has(a), readers.has(b), readers.all()]).toEqual([false, true, [b]]);
    files.release(a, 1);
    files.release(b, 3);
    expect([readers.has(a), readers.has(b), readers.all()]).toEqual([true, false, [a]]);
  });

  describe("that are repeatedly created, synced and removed under one name", () => {
    const [directory, other] = [1 as Ino, 2 as Ino];
    const [name, another] = ["journal" as FileName, "text" as FileName];
    /** The inode of each file, and the handle of its first open. */
    let lastIno = 100;

    /** Whether a file that is made under the name now is opened past the page cache. */
    function make(files: OpenFiles, at: Ino = directory, as = name): { ino: Ino; isDirect: boolean } {
      const ino = ++lastIno as Ino;
      return { ino, isDirect: (files.create(ino, ino, at, as, "hold").flags & FOPEN.DIRECT_IO) !== 0 };
    }
    function end(files: OpenFiles, ino: Ino, as = name): void {
      files.release(ino, ino);
      files.passing.removed(ino, directory, as);
    }
    /** Whether each of them was opened past the page cache. */
    function pass(files: OpenFiles, times: number, as = name, syncs = 2): boolean[] {
      return Array.from({ length: times }, () => {
        const { ino, isDirect } = make(files, directory, as);
        for (let done = 0; done < syncs; done++) files.passing.synced(ino);
        end(files, ino, as);
        return isDirect;
      });
    }
    function openFiles(allowed = true): OpenFiles {
      const files = new OpenFiles(new OpenTable());
      files.passing.allowed = allowed;
      return files;
    }

    test("bypass the page cache after a few rounds, if the kernel can map such files", () => {
      const files = openFiles();
      expect(pass(files, 5)).toEqual([false, false, false, true, true]);
      expect([make(files, other).isDirect, make(files, directory, another).isDirect]).toEqual([false, false]);
      expect(pass(openFiles(false), 5)).not.toContain(true);
    });

    test("keep the page cache if they are never synced, or synced often", () => {
      expect(pass(openFiles(), 10, name, 0)).not.toContain(true);
      expect(pass(openFiles(), 10, name, 4)).not.toContain(true);
    });

    test("bypass the page cache for all concurrent openers, but not for later ones", () => {
      const files = openFiles();
      pass(files, 3);
      const { ino, isDirect } = make(files);
      expect([isDirect, (files.open(1, ino, "read").flags & FOPEN.DIRECT_IO) !== 0]).toEqual([true, true]);
      files.release(ino, 1);
      expect(files.open(2, ino, "read").flags & FOPEN.DIRECT_IO).not.toBe(0);
      files.release(ino, 2);
      files.passing.synced(ino);
      end(files, ino);
      expect(files.open(3, ino, "read").flags & FOPEN.DIRECT_IO).toBe(0);
      expect(pass(files, 10)).not.toContain(true);
    });

    test("that are not in the table stay in use while others open and close them", () => {
      const files = openFiles();
      const [ino, old, handle, later] = [100 as Ino, 1, 2, 3];
      files.open(handle, ino, "hold");
      expect([files.isUnlisted(ino, handle), files.isUnlisted(ino, old)]).toEqual([false, true]);
      expect([files.release(ino, handle), files.release(ino, old)]).toEqual([false, true]);
      files.open(later, ino, "hold");
      expect([files.release(ino, old), files.release(ino, 0), files.release(ino, later)]).toEqual([false, false, true]);
    });

    test("stop bypassing the page cache after one was read a lot", () => {
      const files = openFiles();
      pass(files, 3);
      const { ino } = make(files);
      for (let reads = 0; reads < 100; reads++) files.passing.read(ino);
      files.passing.synced(ino);
      end(files, ino);
      expect(pass(files, 10)).not.toContain(true);
    });

    test("are remembered only for the most recent names", () => {
      const files = openFiles();
      const names = Array.from({ length: 1_000 }, (_, n) => `journal-${n}` as FileName);
      for (const as of names) pass(files, 3, as);
      const direct = names.filter((as) => make(files, directory, as).isDirect);
      expect(direct.length).toBeLessThan(100);
      expect(direct.at(-1)).toBe(names.at(-1));
    });
  });
});

test("the mount table is parsed with its escapes and optional fields", () => {
  const text =
    "36 35 0:52 /a\\040b /mnt/a\\040b rw,nosuid shared:1 master:2 - fuse.syncline file:///x\\040y rw,user_id=0\n" +
    "37 35 8:1 / / rw - ext4 /dev/vda rw\n\nnonsense\n";
  expect(parseMountTable(text)).toEqual([
    {
      id: "36",
      parent: "35",
      device: "0:52",
      root: "/a b",
      mountPoint: "/mnt/a b",
      type: "fuse.syncline",
      source: "file:///x y",
      options: "rw,user_id=0",
    },
    {
      id: "37",
      parent: "35",
      device: "8:1",
      root: "/",
      mountPoint: "/",
      type: "ext4",
      source: "/dev/vda",
      options: "rw",
    },
  ]);
});

test("a mount is found by its device, at its usual place if it is there, else at the oldest one", () => {
  const at = (mountPoint: string, device = "0:52") => ({ device, mountPoint, type: "fuse.syncline", source: "" });
  const [moved, bound, usual, other] = [at("/moved"), at("/bound"), at("/usual"), at("/usual", "0:53")];
  expect(placeOf([moved, bound, usual, other], "0:52", "/usual")).toBe(usual);
  expect(placeOf([other, moved, bound], "0:52", "/usual")).toBe(moved);
  expect(placeOf([other], "0:52", "/usual")).toBeUndefined();
  expect([isOnTop([usual, other], usual), isOnTop([usual, other], other)]).toEqual([false, true]);
});
