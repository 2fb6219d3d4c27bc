/** The rules of a bucket: as settings, as a commit that others race with, and as what merges go by. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import type { CurrentRoot } from "../../src/bucket/bucket.ts";
import { publishEpoch } from "../../src/bucket/publish.ts";
import type { PublishContext } from "../../src/bucket/publish.ts";
import { commandsFor } from "../../src/cli/commands.ts";
import { changedPolicy, policySettings } from "../../src/cli/policy-settings.ts";
import { runCommandLine } from "../../src/cli/program.ts";
import { DEFAULT_POLICY, decodePolicy, encodePolicy } from "../../src/format/policy.ts";
import type { Policy } from "../../src/format/policy.ts";
import { epochOf } from "../support/epochs.ts";
import { createFakeRuntime } from "../support/fake-runtime.ts";
import { MemoryRemote } from "../support/memory-remote.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { createBucket, newWriter, pathsOf } from "../support/test-bucket.ts";

describe("settings", () => {
  const changed = (...settings: string[]) => decodePolicy(encodePolicy(changedPolicy(settings)(DEFAULT_POLICY)));

  test("what is shown sets the same policy again", () => {
    const settings = policySettings(DEFAULT_POLICY).map(([key, value]) => `${key}=${value}`);
    const emptied = changedPolicy(["text=", "logs=", "units=", "families=", "text-bytes=0"])(DEFAULT_POLICY);
    expect(encodePolicy(changedPolicy(settings)(emptied))).toEqual(encodePolicy(DEFAULT_POLICY));
    expect(emptied.units).toEqual({ trees: [], families: [] });
  });

  test("lists are set, or get and lose items, one after another", () => {
    expect(changed("logs+=*.jsonl,*.out", "logs-=*.log").logs).toEqual(["*.jsonl", "*.out"]);
    expect(changed("text=*.a", "text+=*.a").text).toEqual(["*.a"]);
    expect(changed("text=*.a", "default").text).toEqual(DEFAULT_POLICY.text);
  });

  test("numbers, sizes and families", () => {
    const policy = changed("text-bytes=4M", "guard-percent=30", "guard-files=7", "families=*.x,*.y:-a;*.z:-b,-c");
    expect(policy.textBytes).toBe(4 * 1024 * 1024);
    expect(policy.guard).toEqual({ percent: 30, files: 7 });
    expect(policy.units.families).toEqual([
      { globs: ["*.x", "*.y"], suffixes: ["-a"] },
      { globs: ["*.z"], suffixes: ["-b", "-c"] },
    ]);
  });

  test.each([
    "nothing",
    "nokey=1",
    "toString=1",
    "guard-percent=101",
    "guard-percent+=1",
    "guard-files=many",
    "text-bytes=1G",
    "families=*.db",
    "text=a/b",
    "units=**/a/.git",
    `text=${"x".repeat(256)}`,
  ])("%s is refused", (setting) => {
    expect(() => changedPolicy([setting])).toThrow(expect.objectContaining({ code: "usage" }));
  });
});

describe("a new policy among other commits", () => {
  test("two set at the same moment: of different keys both count, of one key the later in the history", async () => {
    const { remote, me, other, policy } = await world();
    const base = await policy.root();
    let raced = false;
    remote.beforeSwap = async () => {
      if (raced) return;
      raced = true;
      await set(other, base, "guard-percent=11", "logs+=*.theirs");
    };
    await set(me, base, "guard-percent=22", "text+=*.ours");
    const { guard, logs, text } = await policy.now();
    expect(guard.percent).toBe(22);
    expect(logs).toEqual(["*.log", "*.theirs"]);
    expect(text).toContain("*.ours");
  });

  test("who publishes files meanwhile keeps it, and loses none", async () => {
    const { bucket, me, other, policy } = await world();
    const base = await policy.root();
    await set(me, base, "guard-files=5");
    const { changes, data } = epochOf({ commit: base.commit.cid, seq: base.commit.body.seq }, 1, [
      { ino: 2, names: [[1, "f"]], bytes: Buffer.from("f") },
    ]);
    expect(await publishEpoch(other, changes, data)).toMatchObject({ kind: "published" });
    expect((await policy.now()).guard.files).toBe(5);
    expect(await pathsOf(bucket, (await policy.root()).commit.body.tree)).toEqual({ f: "f" });
  });

  test("nothing is published when nothing changes", async () => {
    const { me, policy } = await world();
    const base = await policy.root();
    await set(me, base, "default");
    expect((await policy.root()).commit.cid).toBe(base.commit.cid);
  });

  async function world() {
    const remote = new MemoryRemote();
    const bucket = await createBucket(remote);
    const root = async (): Promise<CurrentRoot> => bucket.head();
    const now = async (): Promise<Policy> => bucket.policy((await root()).commit);
    const [me, other] = [await newWriter(bucket, 2), await newWriter(bucket, 3)];
    return { remote, bucket, me, other, policy: { root, now } };
  }

  async function set(context: PublishContext, { commit }: CurrentRoot, ...settings: string[]): Promise<void> {
    const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, 1, []);
    const outcome = await publishEpoch(context, changes, data, { policy: changedPolicy(settings) });
    expect(outcome.kind).toBe("published");
  }
});

test("syncline policy: set, then shown, as text and as JSON; usage when a setting is wrong", async () => {
  const folder = await temporaryFolder();
  const address = pathToFileURL(join(folder, "bucket")).href;
  const run = async (...args: string[]) => {
    const runtime = createFakeRuntime({}, { environmentKey: "42".repeat(32) });
    const line = [...args, "--state", join(folder, "states")];
    const status = await runCommandLine(line, runtime, await commandsFor(args), "1.2.3");
    return { status, out: runtime.out(), err: runtime.err() };
  };
  await run("init", address);
  expect((await run("policy", "show", address)).out).toContain("units=**/.git\nfamilies=*.db,*.sqlite,*.sqlite3:");
  expect(await run("policy", "set", address, "logs+=*.jsonl", "guard-files=9")).toMatchObject({ status: 0 });
  const shown = JSON.parse((await run("policy", "show", address, "--json")).out) as { root: string; policy: Policy };
  expect(shown.policy).toMatchObject({ logs: ["*.jsonl", "*.log"], guard: { percent: 50, files: 9 } });
  expect((await run("log", address)).out).toContain("policy set logs+=*.jsonl guard-files=9");
  expect(await run("policy", "set", address, "logs")).toMatchObject({ status: 2 });
  expect(await run("policy", "show", folder)).toMatchObject({ status: 1 });
  expect(await run("verify", address)).toMatchObject({ status: 0 });
});
