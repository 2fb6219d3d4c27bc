/** Calls of the addon with arguments of a wrong type or out of range: they throw before anything is done. */
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { whyNoAddon } from "../../support/fuse-process.ts";

const isThere = whyNoAddon() === undefined;
const addon = isThere
  ? (createRequire(import.meta.url)("#fuse-addon") as Record<string, (...values: unknown[]) => unknown>)
  : {};
const folder = mkdtempSync(join(tmpdir(), "syncline-addon-"));
writeFileSync(join(folder, "file"), "content");
const directory = isThere ? openSync(folder, "r") : -1;
afterAll(() => {
  if (isThere) closeSync(directory);
  rmSync(folder, { recursive: true });
});

const NOT_NUMBERS = [undefined, null, "0", {}, [], true, 0n, () => 0, Symbol("0")];
const NOT_WHOLE = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.5, 2 ** 53 + 2, 1e300, -1e300];
const NOT_TEXTS = [undefined, null, 7, {}, ["a"], Buffer.from("a")];
const NOT_BYTES = ["a\0b", "\0", "\u0100", "😀"];
const NOT_NAMES = [".", "..", "a/b", "/", "../file"];

type Wrong = readonly [values: readonly unknown[], error: typeof TypeError | typeof RangeError];
const descriptor: Wrong[] = [
  [NOT_NUMBERS, TypeError],
  [[-1, 2 ** 31, ...NOT_WHOLE], RangeError],
];
/** A number with its smallest and largest value. */
const whole = (least: number, most: number): Wrong[] => [
  [NOT_NUMBERS, TypeError],
  [NOT_WHOLE, RangeError],
  [[least - 1, most + 1].filter((each) => Math.abs(each) < 2 ** 53), RangeError],
];
const text: Wrong[] = [
  [NOT_TEXTS, TypeError],
  [NOT_BYTES, RangeError],
];
const name: Wrong[] = [...text, [NOT_NAMES, RangeError]];
const u32 = whole(0, 2 ** 32 - 1);
const exact = whole(0, 2 ** 53);
const flag = whole(0, 1);
const nanoseconds = whole(0, 999_999_999);
const seconds: Wrong[] = [
  [NOT_NUMBERS, TypeError],
  [NOT_WHOLE, RangeError],
];
const buffer: Wrong[] = [[[undefined, null, 5, "text", {}, [1], new ArrayBuffer(8)], TypeError]];
const texts: Wrong[] = [
  [[undefined, "a", { length: 1 }, [7], [undefined], Array.from({ length: 2 })], TypeError],
  [[["\0"], ["file", "\u0100"]], RangeError],
];
const doubles: Wrong[] = [[[undefined, [1], new Float32Array(1), new Uint8Array(8), new BigInt64Array(1)], TypeError]];

/** A call that is right, and what is wrong in the place of each of its arguments. */
const CALLS: Readonly<Record<string, readonly (readonly [right: unknown, wrong: readonly Wrong[]])[]>> = {
  openBeneath: [
    [directory, descriptor],
    ["nothing", text],
    [0, exact],
    [0, exact],
  ],
  statAt: [
    [directory, descriptor],
    ["nothing", name],
  ],
  listAt: [[directory, descriptor]],
  readLinkAt: [
    [directory, descriptor],
    ["nothing", name],
  ],
  makeDirectoryAt: [
    [directory, descriptor],
    ["made", name],
    [0o700, u32],
  ],
  symlinkAt: [
    [directory, descriptor],
    ["link", name],
    ["target", text],
  ],
  linkAt: [
    [directory, descriptor],
    ["file", name],
    [directory, descriptor],
    ["other", name],
  ],
  renameAt: [
    [directory, descriptor],
    ["file", name],
    [directory, descriptor],
    ["other", name],
    [0, u32],
  ],
  unlinkAt: [
    [directory, descriptor],
    ["file", name],
    [0, flag],
  ],
  setModeOf: [
    [directory, descriptor],
    [0o700, u32],
  ],
  setOwnerAt: [
    [directory, descriptor],
    ["file", name],
    [0, u32],
    [0, u32],
  ],
  setModifiedAt: [
    [directory, descriptor],
    ["file", name],
    [0, seconds],
    [0, nanoseconds],
  ],
  listXattrs: [[directory, descriptor]],
  getXattr: [
    [directory, descriptor],
    ["user.a", text],
  ],
  setXattr: [
    [directory, descriptor],
    ["user.a", text],
    [Buffer.from("value"), buffer],
  ],
  removeXattr: [
    [directory, descriptor],
    ["user.a", text],
  ],
  readFiles: [
    [directory, descriptor],
    [["file"], texts],
    [Float64Array.of(7), doubles],
    [Buffer.alloc(7), buffer],
  ],
  bareFiles: [
    [directory, descriptor],
    [["file"], texts],
    [0, flag],
  ],
  createFiles: [
    [directory, descriptor],
    [["new"], [...texts, [[["../new"], ["a/b"], ["."]], RangeError]]],
    [[Buffer.from("x")], [[[undefined, Buffer.from("x"), ["x"], [7], [undefined]], TypeError]]],
    [Float64Array.of(0o600, 0, 0, 0, 0, 0), doubles],
    [0, whole(0, 2)],
  ],
  placeFiles: [
    [directory, descriptor],
    [directory, descriptor],
    [["file"], [...texts, [[["../file"], [".."]], RangeError]]],
    [["placed"], [...texts, [[["below/.."], [".."], ["."]], RangeError]]],
    [
      -1,
      [
        [NOT_NUMBERS, TypeError],
        [[-2, ...NOT_WHOLE], RangeError],
      ],
    ],
  ],
  syncFilesystem: [[directory, descriptor]],
  setModified: [
    [join(folder, "file"), text],
    [0, seconds],
    [0, nanoseconds],
  ],
  freeRange: [
    [directory, descriptor],
    [0, whole(0, 2 ** 53)],
    [1, whole(1, 2 ** 53)],
  ],
  dataFrom: [
    [directory, descriptor],
    [0, whole(0, 2 ** 53)],
  ],
  readCached: [
    [directory, descriptor],
    [0, whole(0, 2 ** 53)],
    [Buffer.alloc(16), buffer],
  ],
  mount: [
    ["none", text],
    [folder, text],
    ["none", text],
    [0, exact],
    ["", text],
  ],
  openAbort: [[folder, text]],
  unmount: [
    [folder, text],
    [0, whole(-(2 ** 31), 2 ** 31 - 1)],
  ],
  writeBack: [[folder, text]],
  close: [[2 ** 20, descriptor]],
  findCut: [
    [Buffer.alloc(64), []],
    [new Int32Array(256), []],
    [0, seconds],
    [0, seconds],
    [64, seconds],
    [1, seconds],
  ],
};

describe.skipIf(!isThere)("the addon", () => {
  test.each(Object.keys(CALLS))("%s throws for every invalid argument, and does nothing", (call) => {
    const right = CALLS[call] ?? [];
    for (const [index, [, wrong]] of right.entries()) {
      for (const [values, error] of wrong) {
        for (const value of values) {
          const given = right.map(([each], at) => (at === index ? value : each));
          const what = `argument ${index + 1}: ${inspect(value)}`;
          expect(() => addon[call]?.(...given), what).toThrow(error);
        }
      }
    }
    expect(() => addon[call]?.()).toThrow(call === "findCut" ? Error : TypeError);
    expect(readdirSync(folder)).toEqual(["file"]);
  });

  test("says which argument of which call is wrong, and why", () => {
    expect(() => addon["statAt"]?.("0", "file")).toThrow("statAt: argument 1 must be a number");
    expect(() => addon["statAt"]?.(-1, "file")).toThrow("statAt: argument 1 is not an integer in its range");
    expect(() => addon["statAt"]?.(0, "../file")).toThrow("statAt: argument 2 is not the name of a directory's entry");
  });

  test.each([
    ["more sizes than paths", [7, 0], 7],
    ["fewer sizes than paths", [], 7],
    ["a size larger than the buffer", [8], 7],
    ["a negative size", [-1], 7],
    ["a NaN size", [Number.NaN], 7],
    ["a size of 2^63", [2 ** 63], 7],
  ])("readFiles refuses %s", (_, sizes, bytes) => {
    const call = () => addon["readFiles"]?.(directory, ["file"], Float64Array.from(sizes), Buffer.alloc(bytes));
    expect(call).toThrow(RangeError);
  });

  test("readFiles refuses sizes that exceed the buffer only together", () => {
    const sizes = Float64Array.of(7, 2 ** 53, 7);
    expect(() => addon["readFiles"]?.(directory, ["file", "file", "file"], sizes, Buffer.alloc(14))).toThrow(
      RangeError,
    );
  });

  test("createFiles refuses fewer contents or attributes than names, and attributes out of range", () => {
    const create = (contents: unknown, attributes: number[]) => () =>
      addon["createFiles"]?.(directory, ["one", "two"], contents, Float64Array.from(attributes), 0);
    const contents = [Buffer.from("1"), Buffer.from("2")];
    const right = [0o600, 0, 0, 0, 0, 0, 0o600, 0, 0, 0, 0, 0];
    expect(create([Buffer.from("1")], right)).toThrow(RangeError);
    expect(create(contents, right.slice(1))).toThrow(RangeError);
    for (const at of right.keys()) {
      for (const value of [...NOT_WHOLE, ...(at % 6 === 4 ? [] : [-1])]) {
        expect(create(contents, right.with(at, value)), `number ${at} is ${value}`).toThrow(RangeError);
      }
    }
    // 2^30 - 1 is UTIME_NOW.
    expect(create(contents, right.with(5, 2 ** 30 - 1))).toThrow(RangeError);
    expect(readdirSync(folder)).toEqual(["file"]);
  });

  test("placeFiles refuses fewer paths than names", () => {
    expect(() => addon["placeFiles"]?.(directory, directory, ["file", "file"], ["placed"], -1)).toThrow(RangeError);
    expect(readdirSync(folder)).toEqual(["file"]);
  });
});

describe.skipIf(!isThere)("serve", () => {
  const settings = { attributeTimeoutS: 1, entryTimeoutS: 1, negativeTimeoutS: 1, blockSize: 4096, spinUs: 0 };
  const handlers = { onBatch() {}, onForgotten() {}, onEnd() {} };
  type Session = Record<string, (this: unknown, ...values: unknown[]) => unknown>;
  let memory: unknown;
  beforeAll(() => {
    memory = addon["createMountMemory"]?.();
  });

  test.each(Object.keys(settings))("refuses an invalid value for %s", (key) => {
    const serve = (value: unknown) => () =>
      addon["serve"]?.(directory, memory, { ...settings, [key]: value }, handlers);
    for (const value of [undefined, null, "1", {}]) expect(serve(value)).toThrow(TypeError);
    for (const value of [-1, Number.NaN, Number.POSITIVE_INFINITY, 1e300]) expect(serve(value)).toThrow(RangeError);
  });

  test("refuses handlers that are not functions, and settings that are not an object", () => {
    for (const key of Object.keys(handlers)) {
      expect(() => addon["serve"]?.(directory, memory, settings, { ...handlers, [key]: 7 })).toThrow(TypeError);
    }
    expect(() => addon["serve"]?.(directory, memory, undefined, handlers)).toThrow(TypeError);
    expect(() => addon["serve"]?.(directory, memory, settings, undefined)).toThrow(TypeError);
  });

  test("refuses a descriptor that is not memory for requests", () => {
    const file = openSync(join(folder, "file"), "r");
    expect(() => addon["serve"]?.(addon["openDevice"]?.(), file, settings, handlers)).toThrow("request buffers");
    closeSync(file);
    expect(() => addon["serve"]?.(addon["openDevice"]?.(), -1, settings, handlers)).toThrow(RangeError);
  });

  test("refuses a descriptor that cannot be polled", () => {
    const file = openSync(join(folder, "file"), "r");
    expect(() => addon["serve"]?.(file, memory, settings, handlers)).toThrow("serve: ");
    closeSync(file);
    expect(() => addon["serve"]?.(2 ** 20, memory, settings, handlers)).toThrow("serve: ");
  });

  test("returns a session whose methods refuse invalid arguments and any other receiver", () => {
    const session = addon["serve"]?.(addon["openDevice"]?.(), memory, settings, handlers) as Session;
    const refused = (error: typeof RangeError, method: string, ...values: unknown[]) =>
      expect(() => session[method]?.(...values), `${method} ${inspect(values)}`).toThrow(error);
    for (const value of [Number.NaN, -1, 0.5, 1e300]) {
      refused(RangeError, "answer", value);
      refused(RangeError, "watch", value, 0);
      refused(RangeError, "invalidateInode", value);
      refused(RangeError, "invalidateEntry", value, "name", 0, 0);
      refused(RangeError, "invalidateEntry", 1, "name", value, 0);
      refused(RangeError, "expireEntry", value, "name");
      refused(RangeError, "holdMessages", value);
      refused(RangeError, "releaseMessages", value);
      for (const at of [0, 2, 3]) refused(RangeError, "packEntries", ...[0, 0, 0, 0].with(at, value));
    }
    refused(RangeError, "packEntries", 1025, 0, 0, 4096);
    refused(RangeError, "packEntries", 0, 0, 4 << 20, 1);
    refused(RangeError, "packEntries", 0, 0, 1, 4 << 20);
    refused(RangeError, "invalidateEntry", 1, "a\0b", 0, 0);
    refused(RangeError, "expireEntry", 1, "a\0b");
    for (const method of ["answer", "watch", "invalidateInode", "invalidateEntry", "holdMessages", "packEntries"]) {
      refused(TypeError, method);
    }
    for (const method of Object.keys(session).filter((key) => typeof session[key] === "function")) {
      for (const other of [{}, Object.create(session), undefined]) {
        expect(() => session[method]?.call(other), method).toThrow(TypeError);
      }
    }
    expect(() => Object.assign(session, { cells: undefined })).toThrow(TypeError);
    session["close"]?.();
    session["close"]?.();
    expect(session["answer"]?.(1)).toBe(false);
  });

  test("refuses to pack names from outside their memory", () => {
    const session = addon["serve"]?.(addon["openDevice"]?.(), memory, settings, handlers) as Session;
    const cells = session["cells"] as unknown as Float64Array;
    const [entriesAt, entryCells, nameLength] = [65 * 32, 16, 12];
    for (const length of [-1, Number.NaN, 1e300, 256 * 1024 + 1]) {
      cells[entriesAt + nameLength] = length;
      expect(() => session["packEntries"]?.(1, 0, 0, 1 << 20)).toThrow(RangeError);
    }
    // Each alone would fit.
    for (let entry = 0; entry < 2; entry++) cells[entriesAt + entry * entryCells + nameLength] = 200 * 1024;
    expect(() => session["packEntries"]?.(2, 1, 0, 1 << 20)).toThrow(RangeError);
    session["close"]?.();
  });
});
