/** The state folder remembers masters that other masters named. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { knownMasters } from "../../../../src/agent/state/known-masters.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const A = "https://a.example";
const B = "https://b.example";

test("are read by each process that names the same masters, and no other", async () => {
  const folder = await temporaryFolder();
  expect(knownMasters(folder)([A]).read()).toEqual([]);
  knownMasters(folder)([A, B]).note([A, B, "https://c.example"]);
  knownMasters(folder)([A]).note([A, B]);
  expect(knownMasters(folder)([B, A]).read()).toEqual([A, B, "https://c.example"]);
  expect(knownMasters(folder)([A]).read()).toEqual([A, B]);
  knownMasters(folder)([A]).note([B]);
  expect(knownMasters(folder)([A]).read()).toEqual([B]);
});

test("are not kept where nothing can be written", async () => {
  const file = join(await temporaryFolder(), "file");
  writeFileSync(file, "");
  const known = knownMasters(file)([A]);
  known.note([B]);
  expect(known.read()).toEqual([]);
});
