/** Copying a file that other programs change, remove or replace meanwhile. */
import { expect, test } from "vitest";
import type { DiskStat } from "../../../../src/sync/disk/disk.ts";
import type { Stretch } from "../../../../src/content/chunker.ts";
import { UNKNOWN } from "../../../../src/sync/disk/disk.ts";
import { SteadyFile } from "../../../../src/sync/scan/steady-file.ts";

/** A disk with one file. */
function world(text: string) {
  const now = { text, ino: 1n, ctimeNs: 1n, mtimeNs: 1n, isThere: true, type: "file" as DiskStat["type"], opened: 0 };
  const stat = (): DiskStat => {
    const { ino, ctimeNs, mtimeNs, type } = now;
    return { ...UNKNOWN, type, size: now.text.length, ino, ctimeNs, mtimeNs };
  };
  /** What others do during each read. */
  let meanwhile = () => {};
  const open = async () => {
    if (!now.isThere) throw Object.assign(new Error("ENOENT"), { code: "ENOENT" });
    now.opened++;
    const { text: ownText } = now;
    const current = () => (now.isThere ? now.text : ownText);
    const read = async (offset: number, length: number) => {
      meanwhile();
      return Buffer.from(current()).subarray(offset, offset + length);
    };
    /** Underscores lie in holes. */
    const zerosAt = (offset: number) => {
      const zeros = (/^_*/.exec(current().slice(offset))?.[0] ?? "").length;
      if (zeros > 0) meanwhile();
      return zeros;
    };
    return { stat: async () => stat(), read, zerosAt, close: async () => void now.opened-- };
  };
  const file = new SteadyFile({ name: "a.txt", open, look: async () => (now.isThere ? stat() : undefined) }, stat());
  const write = (more: string) =>
    Object.assign(now, { text: more, ctimeNs: now.ctimeNs + 1n, mtimeNs: now.mtimeNs + 1n });
  /** Reads as publishing does. */
  const copy = async () => {
    for (let size = file.size; ;) {
      const [read] = await Promise.allSettled([size === 0 ? Buffer.alloc(0) : file.read(0, size)]);
      const seen = await file.seen(size);
      if (seen?.again === true) size = seen.size;
      else if (read.status === "rejected") throw read.reason;
      else return { text: textOf(read.value), mtimeNs: seen?.mtimeNs };
    }
  };
  return { now, file, write, copy, during: (work: () => void) => void (meanwhile = work) };
}

function textOf(stretch: Stretch): string {
  return typeof stretch === "number" ? "_".repeat(stretch) : Buffer.from(stretch).toString();
}

test("a hole is told at its whole length and not read, unless data follows too soon", async () => {
  const { file } = world(`ab${"_".repeat(1_000)}cd`);
  expect(textOf(await file.read(0, 10))).toBe("ab________");
  expect(await file.read(2, 10)).toBe(1_000);
  expect(textOf(await file.read(994, 10))).toBe("________cd");
});

test("a file is read again if its hole was filled during the read", async () => {
  const { copy, now, write, during } = world("_".repeat(100));
  during(() => now.mtimeNs === 1n && write("x".repeat(100)));
  expect(await copy()).toEqual({ text: "x".repeat(100), mtimeNs: 2n });
});

test("a file that shrinks within its hole during every read is copied at one of its sizes, as one that changed", async () => {
  const { file, copy, now, write, during } = world("_".repeat(100));
  during(() => write(now.text.slice(1)));
  expect((await copy()).text).toMatch(/^_{90,99}$/);
  expect(file.isUnsteady).toBe(true);
});

test("a file that is left alone is read once", async () => {
  const { file, copy, now } = world("one");
  expect(await copy()).toEqual({ text: "one", mtimeNs: 1n });
  expect(file.isUnsteady).toBe(false);
  await file[Symbol.asyncDispose]();
  expect(now.opened).toBe(0);
});

test("a file that changes once during the read is read again, with its new attributes", async () => {
  const { file, copy, now, write, during } = world("one");
  during(() => now.mtimeNs === 1n && write("longer"));
  expect(await copy()).toEqual({ text: "longer", mtimeNs: 2n });
  expect(file.isUnsteady).toBe(false);
});

test("a file that is removed after it was read is copied", async () => {
  const { file, copy, now, during } = world("one");
  during(() => Object.assign(now, { isThere: false, ctimeNs: 2n }));
  expect(await copy()).toEqual({ text: "one", mtimeNs: 1n });
  expect(file.isUnsteady).toBe(false);
});

test("a file that is replaced by something else fails the copy", async () => {
  const { copy, now } = world("one");
  Object.assign(now, { type: "fifo" });
  await expect(copy()).rejects.toMatchObject({ code: "precondition_failed" });
  expect(now.opened).toBe(0);
});

test("a file that grows during every read is copied up to one of its sizes", async () => {
  const { file, copy, now, write, during } = world("a");
  during(() => write(`${now.text}b`));
  const { text } = await copy();
  expect(text).toMatch(/^ab+$/);
  expect(text.length).toBeLessThan(now.text.length);
  expect(file.isUnsteady).toBe(true);
});

test("a file that shrinks during every read fails the copy", async () => {
  const { copy, now, write, during } = world("a".repeat(100));
  during(() => write(now.text.slice(1)));
  await expect(copy()).rejects.toMatchObject({ code: "precondition_failed", message: expect.stringMatching(/shrank/) });
});
