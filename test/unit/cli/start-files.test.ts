/** What a mount keeps of the files that its command read. */
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { keptStartFiles, StartFiles } from "../../../src/cli/start-files.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

async function world() {
  const folder = await temporaryFolder();
  const state = join(folder, "state");
  mkdirSync(state);
  const [there, missing] = [join(folder, "there"), join(folder, "missing")];
  writeFileSync(there, "text");
  const files = new StartFiles();
  expect([files.read(there), files.read(missing)]).toEqual(["text", undefined]);
  return { state, there, missing, files, kept: join(state, "start-files.json") };
}

test("a file is read once; the next agent finds its text, or that it was missing", async () => {
  const { state, there, missing, files, kept } = await world();
  files.keep(state, true, silentLog);
  expect(statSync(kept).mode & 0o777).toBe(0o600);
  rmSync(there);
  writeFileSync(missing, "made later");
  for (const each of [files, keptStartFiles(state)]) {
    expect([each.read(there), each.read(missing)]).toEqual(["text", undefined]);
  }
});

test("an agent that started with kept texts leaves them as they are", async () => {
  const { state, there, files } = await world();
  files.keep(state, true, silentLog);
  const next = keptStartFiles(state);
  next.read(join(state, "nothing"));
  next.keep(state, false, silentLog);
  expect(keptStartFiles(state).read(there)).toBe("text");
});

test("if a new mount cannot keep its texts, those of an earlier mount are gone; a later agent of a mount leaves them", async () => {
  const { state, files, kept } = await world();
  files.keep(state, true, silentLog);
  // In the way of the temporary file.
  mkdirSync(`${kept}.tmp`);
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (message: string) => void warnings.push(message) };
  const other = new StartFiles();
  other.keep(state, false, log);
  expect(existsSync(kept)).toBe(true);
  other.keep(state, true, log);
  expect([existsSync(kept), warnings.length]).toEqual([false, 2]);
});
