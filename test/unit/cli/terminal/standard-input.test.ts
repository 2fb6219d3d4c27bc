/** Standard inputs that have nothing to read. */
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { unreadable } from "../../../../src/cli/terminal/standard-input.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

function open(path: string): number {
  const descriptor = openSync(path, "r");
  onTestFinished(() => closeSync(descriptor));
  return descriptor;
}

test("a file can be read, also an empty one", async () => {
  const path = join(await temporaryFolder(), "empty");
  writeFileSync(path, "");
  expect(unreadable(open(path))).toBeUndefined();
});

test.skipIf(process.platform === "win32")("a directory, /dev/null and a closed descriptor cannot", async () => {
  expect(unreadable(open(await temporaryFolder()))).toBe("a directory");
  expect(unreadable(open("/dev/null"))).toBe("closed, or /dev/null");
  expect(unreadable(open("/dev/zero"))).toBeUndefined();
  expect(unreadable(1_000_000)).toBe("closed");
});
