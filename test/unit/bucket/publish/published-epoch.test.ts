/** A large file that a merge changes while its program goes on writing to it: the program reads all that it wrote, and nobody's lines are lost. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { VfsDriver } from "../../../../src/simulate/vfs-driver.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { SimulatedAgent } from "../../../support/simulated-agent.ts";
import { createBucket, openBucket, pathsOf } from "../../../support/test-bucket.ts";

/** Many chunks, so that the content is a list. */
const LINES = Array.from({ length: 10_000 }, (_, at) => `${at} ${"x".repeat(40 + (at % 17))} ${at * 7919}\n`);
const BASE = LINES.join("");

describe.each([
  ["the writer wins", 10, 11],
  ["the writer loses", 11, 10],
])("if %s", (_, ofWriter, ofOther) => {
  test("a log has the lines of both", async () => {
    const { writer, remote, contents, edited } = await world("app.log", ofWriter, ofOther, (log) => `${log}other\n`);
    await writer.append("first\n");
    remote.beforeSwap = once(() => writer.append("second\n"));
    await writer.flush();
    expect(await writer.text()).toBe(`${BASE}first\nsecond\n`);
    await writer.flush();
    const [log, ...rest] = Object.values(await contents());
    expect(rest).toEqual([]);
    expect(log?.startsWith(BASE)).toBe(true);
    expect(log?.slice(BASE.length).split("\n").toSorted()).toEqual(["", "first", "other", "second"]);
    expect(await writer.text()).toBe(log);
    expect(edited).toBe(`${BASE}other\n`);
  });

  test("a text has the changes of both", async () => {
    const { writer, remote, contents, edited } = await world(
      "notes.txt",
      ofWriter,
      ofOther,
      (text) => `X${text.slice(1)}`,
    );
    await writer.append("first\n");
    remote.beforeSwap = once(() => writer.append("second\n"));
    await writer.flush();
    expect(await writer.text()).toBe(`${BASE}first\nsecond\n`);
    await writer.flush();
    expect(await contents()).toEqual({ "notes.txt": `${edited}first\nsecond\n` });
  });

  test("a text whose change others made, too, is read while nothing is left to publish", async () => {
    const also = (text: string) => `X${text.slice(1, 5_000)}Y${text.slice(5_001)}`;
    const { writer, remote, contents } = await world("notes.txt", ofWriter, ofOther, also, "X");
    const readRoot = remote.readRoot.bind(remote);
    const append = once(() => writer.append("second\n"));
    remote.readRoot = async () => {
      await append();
      return readRoot();
    };
    await writer.flush();
    expect(await writer.text()).toBe(`X${BASE.slice(1)}second\n`);
    await writer.flush();
    expect(await contents()).toEqual({ "notes.txt": `${also(BASE)}second\n` });
  });
});

/**
 * Two agents that have the file, of which the writer has replaced the start. Then the other one has changed and published it, which
 * the writer has not seen.
 */
async function world(name: string, ofWriter: number, ofOther: number, edit: (text: string) => string, start = "") {
  const remote = new MemoryRemote();
  await createBucket(remote);
  let nowNs = 1_700_000_000_000_000_000n;
  const clock = { ...systemClock, sleep: async () => {}, nowNs: () => (nowNs += 1_000_000n) };
  const agent = await SimulatedAgent.start(remote, "writer", ofWriter, clock);
  const other = await SimulatedAgent.start(remote, "other", ofOther, clock);
  const [driver, theirs] = [new VfsDriver(agent.vfs), new VfsDriver(other.vfs)];
  const ino = await driver.make(name, BASE);
  await agent.flush();
  await other.catchUp();
  if (start !== "") await driver.write(ino, 0, start);
  const edited = edit(BASE);
  await theirs.write(await theirs.ino(name), 0, edited);
  await other.flush();
  let size = BASE.length;
  const writer = {
    append: async (text: string) => {
      await driver.write(ino, size, text);
      size += text.length;
    },
    text: async () => (await driver.read(ino, 0, 2 * BASE.length)).toString(),
    flush: async () => {
      await agent.flush();
      expect(agent.trouble).toBeUndefined();
    },
  };
  const contents = async () => {
    const bucket = await openBucket(remote);
    const root = await bucket.current();
    if (root === undefined) throw new Error("the bucket has no root");
    return pathsOf(bucket, root.commit.body.tree);
  };
  return { writer, remote, contents, edited };
}

function once(act: () => Promise<unknown>): () => Promise<void> {
  let done = false;
  return async () => {
    if (done) return;
    done = true;
    await act();
  };
}
