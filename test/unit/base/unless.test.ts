import { expect, test } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import { systemFailure } from "../../../src/base/system-errors.ts";
import { orElse, unless, unlessSync } from "../../../src/base/unless.ts";

const missing = systemFailure("ENOENT", "open");
const gone = new SynclineError("block_not_found", "gone");

function failing(error: Error) {
  return () => {
    throw error;
  };
}

test("an expected failure is a value: by code of ours or the system's, or by a test", async () => {
  expect(await unless("ENOENT", async () => 1)).toBe(1);
  expect(await unless("ENOENT", () => Promise.reject(missing))).toBeUndefined();
  expect(await unless(["block_corrupt", "block_not_found"], failing(gone), "none")).toBe("none");
  expect(unlessSync((error) => error === gone, failing(gone), [])).toEqual([]);
});

test("other failures stay failures", async () => {
  await expect(unless("EEXIST", failing(missing))).rejects.toBe(missing);
  expect(() => unlessSync("block_corrupt", failing(gone))).toThrow(gone);
});

test("an error of others that happens to have a code of ours is not ours", () => {
  const foreign = Object.assign(new Error("of a server"), { code: "block_not_found" });
  expect(() => unlessSync("block_not_found", failing(foreign))).toThrow(foreign);
});

test("any failure can be a value", () => {
  expect(orElse("none", () => "some")).toBe("some");
  expect(orElse("none", failing(missing))).toBe("none");
});
