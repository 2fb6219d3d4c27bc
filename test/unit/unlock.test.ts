import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runCommandLine } from "../../src/cli/program.ts";
import { register } from "../../src/cli/unlock.ts";
import { createFakeRuntime } from "../support/fake-runtime.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

async function unlock(path: string) {
  const runtime = createFakeRuntime({});
  const status = await runCommandLine(["unlock", `file://${path}`, "--json"], runtime, [register], "1.2.3");
  return { status, out: runtime.out(), err: runtime.err() };
}

test("unlock frees a bucket, says whose lock it was, and is harmless when it was free", async () => {
  const path = join(await temporaryFolder(), "bucket");
  await mkdir(path);
  await writeFile(join(path, "genesis"), "genesis");
  const holder = {
    host: "id/far",
    boot: "b",
    namespace: "",
    pid: 7,
    started: 1,
    nonce: "ab".repeat(12),
    created: "then",
  };
  await writeFile(join(path, "lock"), JSON.stringify(holder));
  const first = await unlock(path);
  expect(first).toMatchObject({ status: 0, out: expect.stringContaining("process 7 on far since then") });
  expect(await unlock(path)).toMatchObject({ status: 0, out: expect.stringContaining('"holder":null') });
});

test("unlock of an address without a bucket says so", async () => {
  const path = join(await temporaryFolder(), "typo");
  expect(await unlock(path)).toMatchObject({ status: 1, err: expect.stringContaining("no_such_bucket") });
});
