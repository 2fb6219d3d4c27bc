/** The rules of a bucket: as settings, as a commit that others race with, and as what merges go by. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import type { CurrentRoot } from "../../../../src/bucket/bucket.ts";
import { publishEpoch } from "../../../../src/bucket/publish.ts";
import type { PublishContext } from "../../../../src/bucket/publish.ts";
import { commandsFor } from "../../../../src/cli/commands.ts";
import { changedPolicy, policySettings } from "../../../../src/cli/commands/policy-settings.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { DEFAULT_POLICY, decodePolicy, encodePolicy } from "../../../../src/format/commits/policy.ts";
import type { Policy } from "../../../../src/format/commits/policy.ts";
import { DEFAULT_RETENTION } from "../../../../src/format/commits/retention.ts";
import { RETENTION_FEATURE } from "../../../../src/format/commits/features.ts";
import { epochOf } from "../../../support/epochs.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { createBucket, newWriter, pathsOf } from "../../../support/test-bucket.ts";

describe("settings", () => {
  const changed = (...settings: string[]) => decodePolicy(encodePolicy(changedPolicy(settings)(DEFAULT_POLICY)));

  test("as shown set the same policy again", () => {
    const settings = policySettings(DEFAULT_POLICY).map(([key, value]) => `${key}=${value}`);
    const emptied = changedPolicy(["text=", "logs=", "units=", "families=", "text-bytes=0"])(DEFAULT_POLICY);
    expect(encodePolicy(changedPolicy(settings)(emptied))).toEqual(encodePolicy(DEFAULT_POLICY));
    expect(emptied.units).toEqual({ trees: [], families: [] });
  });

  test("set lists, or add and remove their items, one after another", () => {
    expect(changed("logs+=*.jsonl,*.out", "logs-=*.log").logs).toEqual(["*.jsonl", "*.out"]);
    expect(changed("text=*.a", "text+=*.a").text).toEqual(["*.a"]);
    expect(changed("text=*.a", "default").text).toEqual(DEFAULT_POLICY.text);
  });

  test("accept numbers, sizes and families", () => {
    const policy = changed("text-bytes=4M", "guard-percent=30", "guard-files=7", "families=*.x,*.y:-a;*.z:-b,-c");
    expect(policy.textBytes).toBe(4 * 1024 * 1024);
    expect(policy.guard).toEqual({ percent: 30, files: 7 });
    expect(policy.units.families).toEqual([
      { globs: ["*.x", "*.y"], suffixes: ["-a"] },
      { globs: ["*.z"], suffixes: ["-b", "-c"] },
    ]);
  });

  test("accept and show the ages of retention", () => {
    const { retention } = changedPolicy(["keep-all=1h", "keep-minutes=36h", "keep-days=0"])(DEFAULT_POLICY);
    expect(retention).toEqual({ all: 3_600, minutes: 36 * 3_600, hours: 7 * 86_400, days: 0 });
    const shown = Object.fromEntries(policySettings({ ...DEFAULT_POLICY, retention }));
    expect(shown).toMatchObject({ "keep-all": "1h", "keep-minutes": "36h", "keep-hours": "7d", "keep-days": "0" });
    expect(Object.fromEntries(policySettings(DEFAULT_POLICY))).toMatchObject({
      "keep-all": "15m",
      "keep-minutes": "1d",
      "keep-hours": "7d",
      "keep-days": "90d",
    });
  });

  test("name the valid ages when one is invalid", () => {
    const message = expect.stringContaining("keep-all must be an age from 15m to 36500d, such as 45m, 36h or 7d");
    expect(() => changedPolicy(["keep-all=14m"])).toThrow(expect.objectContaining({ code: "usage", message }));
  });

  test.each([
    "keep-all=0",
    "keep-all=899s",
    "keep-minutes=36501d",
    "keep-hours=1w",
    "keep-days=-1d",
    "keep-days=",
    "keep-days+=1d",
    "keep-days=90",
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
  test("of two set at once, both count for different keys, and the later in the history for the same key", async () => {
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

  test("survives others publishing files meanwhile, and their files survive too", async () => {
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

  test("merges and inherits retention; clients unaware of it become read-only only if it retains more", async () => {
    const { remote, me, other, policy } = await world();
    const base = await policy.root();
    let raced = false;
    remote.beforeSwap = async () => {
      if (raced) return;
      raced = true;
      await set(other, base, "keep-days=3650d", "logs+=*.theirs");
    };
    await set(me, base, "keep-all=1h");
    const long = { ...DEFAULT_RETENTION, all: 3_600, days: 3_650 * 86_400 };
    expect(await policy.now()).toMatchObject({ retention: long, logs: ["*.log", "*.theirs"] });
    const classes = async () => {
      const { roCompat, compat } = (await policy.root()).commit.body.features;
      return { roCompat, compat };
    };
    expect(await classes()).toEqual({ roCompat: [RETENTION_FEATURE], compat: [] });

    const { commit } = await policy.root();
    const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, 2, [
      { ino: 2, names: [[1, "f"]], bytes: Buffer.from("f") },
    ]);
    expect(await publishEpoch(other, changes, data)).toMatchObject({ kind: "published" });
    expect((await policy.now()).retention).toEqual(long);

    await set(me, await policy.root(), "keep-all=15m", "keep-days=1d");
    expect(await classes()).toEqual({ roCompat: [], compat: [RETENTION_FEATURE] });
    await set(me, await policy.root(), "keep-days=90d");
    expect(await classes()).toEqual({ roCompat: [], compat: [] });
    expect((await policy.root()).commit.body.retention).toBeUndefined();
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
    const epoch = (await context.bucket.heads.epochOf(commit.body, context.writer.device.writer)) + 1;
    const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, epoch, []);
    const outcome = await publishEpoch(context, changes, data, { policy: changedPolicy(settings) });
    expect(outcome.kind).toBe("published");
  }
});

test("syncline policy sets a policy and shows it as text and JSON; a wrong setting is a usage error", async () => {
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
  expect(shown.policy).toMatchObject({
    logs: ["*.jsonl", "*.log"],
    guard: { percent: 50, files: 9 },
    retention: DEFAULT_RETENTION,
  });
  expect((await run("log", address)).out).toContain("policy set logs+=*.jsonl guard-files=9");
  expect(await run("policy", "set", address, "logs")).toMatchObject({ status: 2 });
  expect((await run("policy", "set", address, "keep-all=2h", "keep-hours=0")).out).toContain(
    "keep-all=2h\nkeep-minutes=1d\nkeep-hours=0\nkeep-days=90d",
  );
  const rule =
    "policy retains all up to 2 hours, the last of each minute up to 24 hours, the last of each day up to 90";
  expect((await run("gc", address, "--dry-run")).out).toContain(rule);
  expect(await run("policy", "show", folder)).toMatchObject({ status: 1 });
  expect(await run("verify", address)).toMatchObject({ status: 0 });
});
