/** The command line on a bucket in a folder whose genesis object is damaged or missing. */
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { openPacked } from "../../../../src/bucket/open-remote.ts";
import { register as registerLs } from "../../../../src/cli/commands/ls.ts";
import { register as registerVerify } from "../../../../src/cli/commands/verify.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { createBucket } from "../../../support/test-bucket.ts";

let folder: string;
let state: string;

beforeEach(async () => {
  const parent = await temporaryFolder();
  [folder, state] = [join(parent, "bucket"), join(parent, "state")];
  await using remote = await openPacked(`file://${folder}`, { clock: systemClock, random: systemRandom });
  await createBucket(remote);
});

const genesis = () => join(folder, "genesis");

async function run(...args: string[]) {
  const runtime = createFakeRuntime({});
  const line = [...args, `file://${folder}`, "--state", state];
  const status = await runCommandLine(line, runtime, [registerLs, registerVerify], "1.2.3");
  return { status, out: runtime.out() };
}

async function contents(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true })) {
    const path = join(folder, entry);
    if ((await stat(path)).isFile()) found[entry] = (await readFile(path)).toString("hex");
  }
  return found;
}

async function flipByte(at: number): Promise<void> {
  const bytes = await readFile(genesis());
  await writeFile(genesis(), bytes.with(at, (bytes[at] ?? 0) ^ 1));
}

test.each([
  ["a flipped bit near its start", () => flipByte(2)],
  ["a flipped bit in its middle", () => flipByte(150)],
  ["its genesis missing", () => rm(genesis())],
])("a bucket with %s is listed, and verify names and mends it once", async (_, harm) => {
  const before = await contents();
  await harm();
  expect(await run("ls")).toMatchObject({ status: 0 });
  const found = await run("verify");
  expect(found.status).toBe(8);
  expect(found.out).toMatch(/^damaged {2}genesis: is (damaged|missing)$/m);
  const repaired = await run("verify", "--repair");
  expect(repaired.out).toMatch(/^repaired genesis: /m);
  expect(repaired.out).not.toContain("manifest");
  expect(repaired.status).toBe(0);
  expect(await contents()).toEqual(before);
  expect(await run("verify")).toMatchObject({ status: 0 });
  const again = await run("verify", "--repair");
  expect(again).toMatchObject({ status: 0, out: expect.not.stringContaining("repaired") });
  expect(await contents()).toEqual(before);
});

test("a bucket that has lost its root and has a damaged genesis gets both back", async () => {
  const before = await contents();
  await flipByte(150);
  await rm(join(folder, "root"));
  const { status, out } = await run("verify", "--repair");
  expect({ status, repaired: out.match(/^repaired \w+/gm) }).toEqual({
    status: 0,
    repaired: ["repaired root", "repaired genesis"],
  });
  expect((await contents())["genesis"]).toBe(before["genesis"]);
});
