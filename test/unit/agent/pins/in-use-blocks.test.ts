/** Files in use keep bytes that the shown tree lacks, though a collection takes these from the bucket and every cache is lost. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { InUseBlocks } from "../../../../src/agent/pins/in-use-blocks.ts";
import type { Cid, Lamport } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { CachedReader } from "../../../../src/blocks/cached-reader.ts";
import { PinnedBlocks } from "../../../../src/blocks/pinned-blocks.ts";
import { VfsDriver } from "../../../../src/simulate/vfs-driver.ts";
import { noise } from "../../../support/bytes.ts";
import { dropUnreached } from "../../../support/drop-unreached.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { SimulatedAgent } from "../../../support/simulated-agent.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { createBucket, newWriter, openBucket } from "../../../support/test-bucket.ts";
import { dropKept } from "../../../support/thinning.ts";

const line = (at: number) => `${at} ${createHash("sha256").update(String(at)).digest("hex")}\n`;
const lines = (count: number, from = 0) => Array.from({ length: count }, (_, at) => line(from + at)).join("");

/** An agent whose blocks in use are kept in a folder, beside another agent. */
async function world() {
  const remote = new MemoryRemote();
  await createBucket(remote);
  const clock = new ManualClock();
  const dir = await temporaryFolder();
  const kept = new PinnedBlocks(dir, silentLog);
  const held = (cids: readonly Cid[]) => kept.held(cids);
  const blocks = new CachedReader({ held, keep: () => {} }, remote.blocks, () => false);
  const through = new Proxy(remote, {
    get(target, name) {
      if (name === "blocks") return blocks;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const a = await SimulatedAgent.start(through, "a", 11, clock);
  const b = await SimulatedAgent.start(remote, "b", 12, clock);
  let isPaused = false;
  const pause = (now: boolean) => void (isPaused = now);
  const opened = () =>
    new InUseBlocks({
      kept,
      blocks,
      tree: () => a.vfs.baseState().tree,
      contents: async () => a.contentsInUse,
      held,
      isPaused: () => isPaused,
      clock,
      log: silentLog,
    });
  /** Lets it look once. */
  const look = async () => {
    using inUse = opened();
    inUse.moved();
    await clock.advance(1_000);
    await inUse.idle();
    return [...(await kept.list()).keys()];
  };
  return { remote, a, b, fs: () => new VfsDriver(a.vfs), look, pause };
}

/** Thins the history to its newest root, and collects. */
async function collect(remote: MemoryRemote): Promise<void> {
  const thinner = await newWriter(await openBucket(remote), 4);
  const { seq } = (await (await openBucket(remote)).head()).commit.body;
  await dropKept(
    thinner,
    Array.from({ length: seq }, (_, at) => (at + 1) as Lamport),
  );
  await dropUnreached(remote);
}

test.each([200, 4_000])("a text of %i lines that is written to while it is merged", async (count) => {
  const { remote, a, b, fs, look } = await world();
  const text = lines(count);
  await a.mount.create("f.txt", Buffer.from(text));
  await a.flush();
  await b.catchUp();
  const ino = await fs().ino("f.txt");
  await b.mount.edit("f.txt", () => ({ offset: text.length - 10, bytes: Buffer.from("THEIRS!!!") }));
  await b.flush();
  const mine = lines(count / 4, 1_000_000);
  await fs().write(ino, text.indexOf(line(count / 2)), mine);
  a.vfs.persist();
  let isWritten = false;
  remote.beforeSwap = async () => {
    if (isWritten) return;
    isWritten = true;
    await fs().write(ino, 0, Buffer.from("AGAIN"));
    a.vfs.persist();
  };
  await a.flush();
  const expected = await fs().read(ino);
  expect(await look()).not.toEqual([]);
  await collect(remote);
  await a.restart();
  expect((await fs().read(ino)).equals(expected)).toBe(true);
  for (let flush = 0; flush < 3; flush++) await a.flush();
  expect(a.trouble).toBeUndefined();
  expect([...(await fs().snapshot()).keys()].filter((path) => path !== "")).toEqual(["f.txt"]);
  const merged = (await fs().read(await fs().ino("f.txt"))).toString();
  for (const part of ["AGAIN", mine.slice(1_000, -1_000), "THEIRS!!!"]) expect(merged).toContain(part);
  // Everything is published: nothing more is kept.
  expect(await look()).toEqual([]);
});

test("an open file without a name, until it is closed", async () => {
  const { remote, a, fs, look, pause } = await world();
  const bytes = noise(300_000, 1);
  const ino = await fs().make("f");
  await fs().write(ino, 0, bytes);
  await a.vfs.fsync(ino);
  await a.flush();
  await fs().unlink("f");
  a.vfs.persist();
  await a.flush();
  // A pause means no traffic.
  pause(true);
  expect(await look()).toEqual([]);
  pause(false);
  expect(await look()).not.toEqual([]);
  await collect(remote);
  await a.restart();
  expect((await fs().read(ino)).equals(Buffer.from(bytes))).toBe(true);
  a.vfs.forget(ino);
  a.vfs.persist();
  expect(await look()).toEqual([]);
});

test("a file that a program has open to write, until it is closed", async () => {
  const { remote, a, b, fs, look } = await world();
  const bytes = noise(300_000, 1);
  await a.mount.create("disk.img", bytes);
  await a.flush();
  await b.catchUp();
  const ino = await fs().ino("disk.img");
  await fs().run((vfs) => vfs.holdVersion(ino));
  await b.mount.edit("disk.img", () => ({ offset: 0, bytes: noise(1_000, 2), size: 0 }));
  await b.flush();
  await a.catchUp();
  expect(await look()).not.toEqual([]);
  await collect(remote);
  expect((await fs().read(ino)).equals(Buffer.from(bytes))).toBe(true);
  a.vfs.releaseVersion(ino);
  expect(await look()).toEqual([]);
  expect((await fs().read(ino)).length).toBe(1_000);
});

test("a partly written file of a root that others have replaced since", async () => {
  const { remote, a, b, fs, look } = await world();
  const text = lines(4_000);
  await a.mount.create("f.txt", Buffer.from(text));
  await a.flush();
  await b.catchUp();
  const ino = await fs().ino("f.txt");
  await fs().write(ino, 0, Buffer.from("MINE"));
  a.vfs.persist();
  await b.mount.edit("f.txt", () => ({ offset: text.length - 10, bytes: Buffer.from("THEIRS!!!") }));
  await b.flush();
  await a.catchUp();
  const blocks = (await look()).length;
  // What both versions have is in the tree.
  expect(blocks).toBeGreaterThan(0);
  expect(blocks).toBeLessThan(4);
  await collect(remote);
  await a.restart();
  expect((await fs().read(ino)).length).toBe(text.length);
  for (let flush = 0; flush < 3; flush++) await a.flush();
  expect([...(await fs().snapshot()).keys()].filter((path) => path !== "")).toEqual(["f.txt"]);
  const merged = (await fs().read(await fs().ino("f.txt"))).toString();
  for (const part of ["MINE", "THEIRS!!!"]) expect(merged).toContain(part);
});

test("nothing is kept of files whose bytes the tree has", async () => {
  const { a, fs, look } = await world();
  await a.mount.create("f", Buffer.from(noise(300_000, 1)));
  await a.flush();
  await fs().write(await fs().ino("f"), 0, Buffer.from("MINE"));
  a.vfs.persist();
  expect(a.contentsInUse.contents).toHaveLength(1);
  expect(await look()).toEqual([]);
});
