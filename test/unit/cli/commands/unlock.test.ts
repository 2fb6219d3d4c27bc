import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemRandom } from "../../../../src/base/random.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { register } from "../../../../src/cli/commands/unlock.ts";
import { systemDisk } from "../../../../src/objects/disk.ts";
import { readOwnIdentity, type ProcessIdentity } from "../../../../src/objects/process-identity.ts";
import { S3Script } from "../../../support/s3-script.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { placeName } from "../../../../src/objects/turns.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const NONCE = "ab".repeat(12);

async function unlock(path: string, ...args: string[]) {
  const runtime = createFakeRuntime({});
  const status = await runCommandLine(["unlock", `file://${path}`, "--json", ...args], runtime, [register], "1.2.3");
  return { status, out: runtime.out(), err: runtime.err() };
}

/** A bucket's folder whose lock this process holds. */
async function lockedBucket(holder: ProcessIdentity): Promise<string> {
  const path = join(await temporaryFolder(), "bucket");
  await mkdir(path);
  await writeFile(join(path, "genesis"), "genesis");
  await writeFile(join(path, "lock"), JSON.stringify({ ...holder, nonce: NONCE, created: "then" }));
  return path;
}

const far: ProcessIdentity = { host: "id/far", boot: "b", namespace: "", pid: 7, started: 1 };

describe("unlock", () => {
  test("frees a bucket locked by another machine, names the holder, and is harmless if the bucket is free", async () => {
    const path = await lockedBucket(far);
    expect(await unlock(path)).toMatchObject({
      status: 0,
      out: `{"address":"file://${path}","holder":"process 7 on far since then"}\n`,
    });
    expect(await unlock(path)).toMatchObject({ status: 0, out: expect.stringContaining('"holder":null') as string });
  });

  test("refuses while the holder runs on this machine, and names it; --force takes the lock anyway", async () => {
    const own = await readOwnIdentity(systemDisk);
    const path = await lockedBucket(own);
    const refused = await unlock(path);
    expect(refused.status).toBe(4);
    expect(JSON.parse(refused.err)).toMatchObject({
      code: "bucket_locked",
      message: expect.stringContaining(`process ${process.pid} on `) as string,
      hint: expect.stringContaining("--force") as string,
    });
    expect(await readFile(join(path, "lock"), "utf8")).toContain(NONCE);
    expect(await unlock(path, "--force")).toMatchObject({
      status: 0,
      out: expect.stringContaining(" since then") as string,
    });
    expect(await readdir(path)).toEqual(["genesis"]);
  });

  test("needs no --force for a local process that has ended", async () => {
    const own = await readOwnIdentity(systemDisk);
    const path = await lockedBucket({ ...own, started: own.started + 1 });
    expect(await unlock(path)).toMatchObject({ status: 0 });
  });

  test("also removes the claim of a process that died while taking over the lock", async () => {
    const path = await lockedBucket(far);
    await writeFile(join(path, `lock-takeover-${NONCE}`), JSON.stringify({ ...far, nonce: NONCE, created: "then" }));
    await unlock(path);
    expect(await readdir(path)).toEqual(["genesis"]);
  });

  test("also ends turns of other machines, even of older versions, but none of a running local process", async () => {
    const path = await lockedBucket(far);
    await mkdir(join(path, "turns"));
    const [own, others] = [await readOwnIdentity(systemDisk), far].map((who) => placeName(systemRandom, who));
    for (const name of [own, others]) await writeFile(join(path, "turns", name ?? ""), "");
    await writeFile(join(path, "turn"), JSON.stringify({ ...far, nonce: NONCE, created: "then" }));
    expect(await unlock(path)).toMatchObject({ status: 0 });
    expect(await readdir(join(path, "turns"))).toEqual([own]);
    await unlock(path, "--force");
    expect(await readdir(join(path, "turns"))).toEqual([]);
    expect((await readdir(path)).toSorted()).toEqual(["genesis", "turns"]);
  });

  test("removes a lock that names no holder", async () => {
    const path = await lockedBucket(far);
    await writeFile(join(path, "lock"), "");
    expect(await unlock(path)).toMatchObject({
      status: 0,
      out: expect.stringContaining("an unknown process") as string,
    });
  });

  test("signs in to S3 with the wallet", async () => {
    await using script = await S3Script.start();
    script.put("genesis", "genesis");
    const runtime = createFakeRuntime({}, { environmentKey: "42".repeat(32) });
    const address = `s3://bucket/p?endpoint=${script.endpoint}&auth=wallet`;
    expect(await runCommandLine(["unlock", address], runtime, [register], "1.2.3"), runtime.err()).toBe(0);
    expect(script.seen[0]?.headers.authorization).toMatch(/^Bearer /);
  });

  test("reports an address without a bucket", async () => {
    const path = join(await temporaryFolder(), "typo");
    expect(await unlock(path)).toMatchObject({ status: 1, err: expect.stringContaining("no_such_bucket") as string });
  });
});
