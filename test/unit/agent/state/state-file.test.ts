import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readStateFile, writeStateFile } from "../../../../src/agent/state/state-file.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test("rewriting a small state file replaces it and leaves nothing beside it", async () => {
  const folder = await temporaryFolder();
  const path = join(folder, "epoch");
  for (const text of ["1", "2", "2"]) writeStateFile(path, Buffer.from(text));
  expect(readFileSync(path, "utf8")).toBe("2");
  expect(readdirSync(folder)).toEqual(["epoch"]);
});

test("a state file that cannot be read is an error; a missing one is undefined", async () => {
  const path = join(await temporaryFolder(), "device.json");
  expect(readStateFile(path)).toBeUndefined();
  mkdirSync(path);
  expect(() => readStateFile(path)).toThrow(expect.objectContaining({ code: "EISDIR" }));
});

test("a state file that cannot be replaced leaves nothing beside it", async () => {
  const folder = await temporaryFolder();
  const path = join(folder, "epoch");
  const unwritable = 5 as unknown as Uint8Array;
  expect(() => writeStateFile(path, unwritable)).toThrow("data");
  expect(readdirSync(folder)).toEqual([]);
});
