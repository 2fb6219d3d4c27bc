/** Who may read the folder of a new bucket; and a bucket whose master does not answer. */
import { chmod, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { register } from "../../../../src/cli/commands/init.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { startTestMaster } from "../../../support/test-master.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

async function init(folder: string, ...more: string[]): Promise<string> {
  const runtime = createFakeRuntime({}, { environmentKey: `0x${"42".repeat(32)}` });
  const line = ["init", `file://${folder}`, "--state", `${folder}-state`, ...more];
  expect(await runCommandLine(line, runtime, [register], "1.2.3")).toBe(0);
  return runtime.out();
}

const modeOf = async (path: string) => (await stat(path)).mode & 0o7777;

describe.skipIf(process.platform === "win32")("the folder of a bucket", () => {
  test("is readable by its owner alone if init makes it, and init says so", async () => {
    const folder = join(await temporaryFolder(), "buckets", "bucket");
    expect(await init(folder)).toContain("mode 0700");
    expect(await modeOf(folder)).toBe(0o700);
  });

  test("keeps its mode if it was there", async () => {
    const folder = join(await temporaryFolder(), "bucket");
    await mkdir(folder);
    await chmod(folder, 0o2770);
    expect(await init(folder)).not.toContain("0700");
    expect(await modeOf(folder)).toBe(0o2770);
  });

  test("is not named in --json", async () => {
    const folder = join(await temporaryFolder(), "bucket");
    expect(Object.keys(JSON.parse(await init(folder, "--json")) as object)).toEqual([
      "address",
      "genesis",
      "owner",
      "pinned",
    ]);
  });
});

test("a bucket whose master does not answer now is not said to be missing", async () => {
  const folder = await temporaryFolder();
  const run = async (...args: string[]) => {
    const runtime = createFakeRuntime({}, { environmentKey: `0x${"42".repeat(32)}` });
    const line = ["init", ...args, "--state", join(folder, "state"), "--timeout", "1", "--json"];
    const status = await runCommandLine(line, runtime, [register], "1.2.3");
    return { status, err: runtime.err() };
  };
  const master = await startTestMaster();
  const address = `${master.origin}/b`;
  expect(await run(address)).toMatchObject({ status: 0 });
  await master.stop();
  const { status, err } = await run(address);
  expect(status).toBe(6);
  expect(err).not.toContain("--accept");
});
