/** Where an agent begins: the root to stand on, the names that it brings into its cache, the log that it writes. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { firstBase } from "../../../src/agent/state/first-base.ts";
import { LOG_NAME, openLogFile } from "../../../src/agent/state/log-file.ts";
import { warmUp } from "../../../src/agent/threads/warm-up.ts";
import { LOG_BYTES } from "../../../src/base/limits.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog, type Log } from "../../../src/base/log.ts";
import { publishEpoch } from "../../../src/bucket/publish.ts";
import { epochOf, type ObjectEdit } from "../../support/epochs.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { createBucket, newWriter, nodesOf } from "../../support/test-bucket.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

async function world() {
  const remote = new MemoryRemote();
  const bucket = await createBucket(remote);
  const writer = await newWriter(bucket, 2);
  const stateDir = await temporaryFolder();
  let epoch = 0;
  const head = async () => {
    const current = await bucket.current();
    if (current === undefined) throw new Error("the bucket has no root");
    const { cid: commit, body } = current.commit;
    return { commit, tree: body.tree, seq: body.seq };
  };
  const publish = async (...edits: ObjectEdit[]) => {
    const { changes, data } = epochOf(await head(), ++epoch, edits);
    expect((await publishEpoch(writer, changes, data)).kind).toBe("published");
    return head();
  };
  return {
    remote,
    bucket,
    stateDir,
    head,
    publish,
    begin: { at: undefined, stateDir, clock: systemClock, log: silentLog },
  };
}

const born = (file: string, ino = 2): ObjectEdit => ({ ino, names: [[1, file]], bytes: Buffer.from(file) });

describe("the first base", () => {
  test("is the bucket's root", async () => {
    const { bucket, begin, head, publish } = await world();
    expect(await firstBase(bucket, begin)).toEqual(await head());
    expect(await firstBase(bucket, begin)).toEqual(await head());
    expect(await publish(born("a"))).toEqual(await firstBase(bucket, begin));
  });

  test("is the old root that was asked for, which is not remembered as the last root seen", async () => {
    const { bucket, stateDir, begin, head, publish } = await world();
    const old = await head();
    await publish(born("a"));
    expect(await firstBase(bucket, { ...begin, at: old.commit })).toEqual(old);
    expect(existsSync(join(stateDir, "base.json"))).toBe(false);
    await expect(firstBase(bucket, { ...begin, at: "2001-01-01T00:00:00Z" })).rejects.toMatchObject({
      code: "no_such_root",
    });
  });

  test("is the last root seen while the bucket is unreachable, and the log says why", async () => {
    const { remote, bucket, begin, head } = await world();
    const warnings: string[] = [];
    const log: Log = { ...silentLog, warn: (line) => void warnings.push(line) };
    await firstBase(bucket, begin);
    remote.unreachable = true;
    const last = await firstBase(bucket, { ...begin, log });
    remote.unreachable = false;
    expect(last).toEqual(await head());
    expect(warnings).toEqual([expect.stringContaining("arbiter_unreachable")]);
  });

  test("is the last root seen for an agent that takes over, even if the bucket does not answer", async () => {
    const { remote, bucket, begin, head, publish } = await world();
    const last = await head();
    await firstBase(bucket, begin);
    await publish(born("a"));
    remote.unreachable = true;
    const warnings: string[] = [];
    const log: Log = { ...silentLog, warn: (line) => void warnings.push(line) };
    const supervision = { handoff: { minor: 45, flags: 0, flags2: 0 } };
    expect(await firstBase(bucket, { ...begin, log, supervision })).toEqual(last);
    expect(warnings).toEqual([]);
  });

  test.each([
    ["nothing", undefined],
    ["a truncated file", `{"commit":"bafy`],
    ["a file with invalid fields", `{"commit":1,"tree":2,"seq":3}`],
    ["null", "null"],
  ])("cannot be found when the bucket is unreachable and the state holds %s", async (_, text) => {
    const { remote, bucket, stateDir, begin } = await world();
    if (text !== undefined) writeFileSync(join(stateDir, "base.json"), text);
    remote.unreachable = true;
    await expect(firstBase(bucket, begin)).rejects.toMatchObject({ code: "arbiter_unreachable" });
  });

  test("cannot be found in a bucket that lost its root", async () => {
    const { remote, bucket, begin } = await world();
    remote.forgetRoot();
    await expect(firstBase(bucket, begin)).rejects.toMatchObject({ code: "no_such_bucket" });
  });
});

describe("warming up", () => {
  const many = Array.from({ length: 600 }, (_, index) => born(`file-${index}-${"x".repeat(80)}`, 2 + index));

  test("reads each node of the tree once, level by level", async () => {
    const { remote, bucket, publish } = await world();
    const { tree } = await publish(...many);
    remote.blocks.forgetCounts();
    const read = await warmUp(nodesOf(bucket), tree, new AbortController().signal);
    expect(read).toBeGreaterThan(3);
    expect(remote.blocks.reads).toHaveLength(read);
    expect(new Set(remote.blocks.reads).size).toBe(read);
    expect(remote.blocks.requests).toBeLessThanOrEqual(4);
  });

  test("stops when it is aborted, and fails when a block is missing", async () => {
    const { remote, bucket, publish } = await world();
    const { tree } = await publish(...many);
    const stop = new AbortController();
    stop.abort(new Error("not wanted"));
    await expect(warmUp(nodesOf(bucket), tree, stop.signal)).rejects.toThrow("not wanted");
    remote.blocks.held.delete(tree);
    await expect(warmUp(nodesOf(bucket), tree, new AbortController().signal)).rejects.toMatchObject({
      code: "block_not_found",
    });
  });
});

describe("the agent's log", () => {
  test("has one line per event, escapes terminal control characters, and is for its owner only", async () => {
    const folder = await temporaryFolder();
    const echoed: string[] = [];
    const log = openLogFile(folder, new ManualClock(), (line) => void echoed.push(line));
    log.info("Read \u001b[31mred\nname\u202e.", { path: "a\u0007b" });
    log.error("Failed.");
    const text = readFileSync(join(folder, LOG_NAME), "utf8");
    expect(text).toBe(
      `2023-11-14T22:13:20.000Z info Read \\u{1b}[31mred\\u{a}name\\u{202e}. {"path":"a\\u0007b"}\n` +
        "2023-11-14T22:13:20.000Z error Failed.\n",
    );
    expect(echoed.join("")).toBe(text);
    expect(statSync(join(folder, LOG_NAME)).mode & 0o777).toBe(0o600);
  });

  test("is rotated at its size limit, and the previous file is kept", async () => {
    const folder = await temporaryFolder();
    const path = join(folder, LOG_NAME);
    writeFileSync(path, "");
    appendFileSync(path, Buffer.alloc(LOG_BYTES - 10, "x"));
    const log = openLogFile(folder, new ManualClock());
    log.info("ünïcode counts in bytes");
    log.info("the first of the new one");
    log.info("the second");
    expect(statSync(`${path}.1`).size).toBeGreaterThan(LOG_BYTES);
    expect(readFileSync(path, "utf8").split("\n")).toHaveLength(3);
    expect(readFileSync(path, "utf8")).toContain("the first of the new one");
  });

  test("that cannot be written causes no failure, and resumes once it can be", async () => {
    const folder = await temporaryFolder();
    const log = openLogFile(folder, new ManualClock());
    mkdirSync(join(folder, LOG_NAME));
    log.warn("lost");
    rmSync(join(folder, LOG_NAME), { recursive: true });
    log.warn("kept");
    expect(readFileSync(join(folder, LOG_NAME), "utf8")).toContain("kept");
  });
});
