/** Pins: what is kept, and what happens when it cannot be kept. */
import { readdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { Pins } from "../../../../src/agent/pins/pins.ts";
import { parsePins } from "../../../../src/agent/pins/pin-list.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import { silentLog } from "../../../../src/base/log.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { nameFromText } from "../../../../src/base/names.ts";
import { PinnedBlocks } from "../../../../src/blocks/pinned-blocks.ts";
import { codecOf } from "../../../../src/format/blocks/cid.ts";
import { publishEpoch } from "../../../../src/bucket/publish.ts";
import { epochOf, type ObjectEdit } from "../../../support/epochs.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { createBucket, newWriter } from "../../../support/test-bucket.ts";

class SmallDisk extends PinnedBlocks {
  room = 1e9;
  override spare(): number {
    return this.room;
  }
}

const path = (text: string) => text.split("/").map(nameFromText);
const file = (name: string, text: string, ino = 2): ObjectEdit => ({
  ino,
  names: [[1, name]],
  bytes: Buffer.from(text),
});
const LONG = "long ".repeat(1_000);

async function world() {
  const bucket = await createBucket(new MemoryRemote());
  const writer = await newWriter(bucket, 2);
  const stateDir = await temporaryFolder();
  const clock = new ManualClock();
  const folder = join(stateDir, "pinned");
  const pinned = new SmallDisk(folder, silentLog);
  const head = async () => {
    const current = await bucket.current();
    if (current === undefined) throw new Error("the bucket has no root");
    const { cid: commit, body } = current.commit;
    return { commit, tree: body.tree, seq: body.seq };
  };
  let tree = (await head()).tree;
  let epoch = 0;
  const publish = async (...edits: ObjectEdit[]) => {
    const { changes, data } = epochOf(await head(), ++epoch, edits);
    expect((await publishEpoch(writer, changes, data)).kind).toBe("published");
    tree = (await head()).tree;
  };
  const machine = { boot: "first" };
  let stopped: SynclineError | undefined;
  const pause = (error: SynclineError | undefined) => (stopped = error);
  let asked: Cid[] = [];
  const getMany = (cids: readonly Cid[]) => {
    asked.push(...cids);
    return bucket.blocks.getMany(cids);
  };
  const blocks = { get: (cid: Cid) => bucket.blocks.get(cid), getMany };
  const open = () => {
    const cache = { held: async () => new Map<Cid, Uint8Array>(), release: async () => 0 };
    const pins = new Pins({
      stateDir,
      pinned,
      cache,
      blocks,
      tree: () => tree,
      boot: async () => machine.boot,
      paused: () => stopped,
      clock,
      log: silentLog,
    });
    onTestFinished(() => pins[Symbol.asyncDispose]());
    return pins;
  };
  const settled = async (pins: Pins, wanted: object | null) => {
    const told = async () => {
      await clock.advance(1_000);
      return { report: pins.report };
    };
    await expect.poll(told, { timeout: 20_000 }).toMatchObject({ report: wanted });
  };
  const kept = () => readdirSync(folder);
  return { machine, clock, pinned, folder, publish, pause, open, settled, kept, asked: () => asked.splice(0) };
}

test("a pin for which the disk has no room is refused, and nothing is kept", async () => {
  const { publish, pinned, open, kept } = await world();
  await publish(file("f", LONG));
  pinned.room = 4_999;
  const pins = open();
  await expect(pins.add([path("f")])).rejects.toMatchObject({ code: "disk_full" });
  expect(pins.report).toBe(null);
  pinned.room = 1e6;
  await pins.add([path("f")]);
  expect(pins.report).toMatchObject({ paths: [{ path: "/f", absent: false }] });
  expect(kept).toThrow(/ENOENT/);
});

test("a new version that does not fit is reported, and is fetched once there is room", async () => {
  const { publish, pinned, open, settled, kept } = await world();
  await publish(file("f", LONG));
  const pins = open();
  await pins.add([path("f")]);
  await settled(pins, { complete: true, files: 1, bytes: 5_000 });
  pinned.room = 1_000;
  await publish(file("f", `${LONG} and longer`));
  await settled(pins, { complete: false, error: { code: "disk_full" } });
  expect(kept()).toEqual([]);
  pinned.room = 1e6;
  await settled(pins, { complete: true, bytes: 5_011, error: null });
});

test("pins outlive their agent, which fetches only what is missing or damaged", async () => {
  const { publish, pinned, folder, open, settled, kept, asked } = await world();
  await publish(file("f", LONG), file("g", `${LONG}g`, 3));
  const pins = open();
  await pins.add([path("f"), path("g")]);
  await settled(pins, { complete: true });
  await pins[Symbol.asyncDispose]();

  const [first = "", ...others] = kept();
  writeFileSync(join(folder, first), "damaged");
  expect((await pinned.held([first, ...others] as Cid[])).size).toBe(others.length);
  asked();
  const next = open();
  expect(next.report).toMatchObject({ paths: [{ path: "/f" }, { path: "/g" }], complete: false });
  await settled(next, { complete: true });
  expect(asked()).toContain(first);
  expect((await pinned.held([first] as Cid[])).size).toBe(1);
});

/** As a power loss may leave it: the same length, and other bytes. */
function zero(path: string): void {
  writeFileSync(path, Buffer.alloc(statSync(path).size));
}

test("a pinned block that a reader finds damaged is fetched again while the agent runs", async () => {
  const { publish, pinned, folder, open, settled, kept, clock } = await world();
  await publish(file("f", LONG));
  const pins = open();
  await pins.add([path("f")]);
  await settled(pins, { complete: true });
  const before = kept();
  const [first = ""] = before;
  zero(join(folder, first));
  expect((await pinned.held([first] as Cid[])).size).toBe(0);
  await clock.advance(1_000);
  await settled(pins, { complete: true, error: null });
  await expect.poll(kept).toEqual(before);
  expect((await pinned.held([first] as Cid[])).size).toBe(1);
});

test("pinned blocks that were cut short are fetched again with the next root", async () => {
  const { publish, pinned, folder, open, settled, kept } = await world();
  await publish(file("f", LONG));
  const pins = open();
  await pins.add([path("f")]);
  await settled(pins, { complete: true });
  const chunk = kept().toSorted((a, b) => statSync(join(folder, b)).size - statSync(join(folder, a)).size)[0] ?? "";
  truncateSync(join(folder, chunk), 100);
  await publish(file("g", "other", 3));
  await settled(pins, { complete: true });
  expect((await pinned.held([chunk] as Cid[])).size).toBe(1);
});

test("after a restart of the machine, pinned blocks are checked before they count as complete; once a boot", async () => {
  const { publish, pinned, folder, open, settled, kept, machine } = await world();
  await publish(file("f", LONG));
  const pins = open();
  await pins.add([path("f")]);
  await settled(pins, { complete: true });
  await pins[Symbol.asyncDispose]();
  const blocks = kept() as Cid[];
  // Not a node: the agent would read it to learn which blocks are pinned.
  const chunk = blocks.find((cid) => codecOf(cid) === "raw") ?? "";
  zero(join(folder, chunk));
  machine.boot = "second";
  const next = open();
  expect(next.report).toMatchObject({ complete: false });
  await settled(next, { complete: true, error: null });
  expect((await pinned.held(blocks)).size).toBe(blocks.length);
  await next[Symbol.asyncDispose]();

  const read = vi.spyOn(pinned, "held");
  await settled(open(), { complete: true });
  expect(read).not.toHaveBeenCalled();
});

test("a parent of a pinned file needs room only for what is not here yet", async () => {
  const { publish, pinned, open, settled } = await world();
  await publish(file("f", LONG), file("g", "x".repeat(900), 3), file("h", LONG, 4));
  const pins = open();
  await pins.add([path("f")]);
  await settled(pins, { complete: true });
  pinned.room = 1_000;
  await pins.add([[]]);
  await settled(pins, { complete: true, files: 3, bytes: 10_900 });
  await pins[Symbol.asyncDispose]();
  // Before the first round of an agent, too.
  const next = open();
  next.remove([[]]);
  expect(await next.add([[]])).toMatchObject({ paths: [{ path: "/f" }, { path: "/" }] });
});

test("a directory and a file in it share their blocks; after the directory is unpinned, the file stays", async () => {
  const { publish, open, settled, kept } = await world();
  await publish({ ino: 2, names: [[1, "d"]], type: "directory" }, { ...file("f", LONG, 3), names: [[2, "f"]] });
  const pins = open();
  await pins.add([path("d"), path("d/f")]);
  await settled(pins, { complete: true, files: 1 });
  expect(() => pins.remove([path("d/g")])).toThrow("/d/g is not pinned.");
  pins.remove([path("d")]);
  await settled(pins, { complete: true, files: 1, paths: [{ path: "/d/f" }] });
  pins.remove([path("d/f")]);
  await settled(pins, null);
  await expect.poll(kept).toEqual([]);
});

test("a removed pin's blocks are dropped even while another pin does not fit, or syncing is paused", async () => {
  const { publish, pinned, open, settled, kept, pause } = await world();
  await publish(file("a", LONG), file("b", `b ${LONG}`, 3), file("c", `c ${LONG}`, 4));
  const pins = open();
  await pins.add([path("a"), path("b"), path("c")]);
  await settled(pins, { complete: true, files: 3 });
  pinned.room = 1_000;
  await publish(file("c", `new ${LONG}`, 4));
  await settled(pins, { complete: false, error: { code: "disk_full" } });
  pins.remove([path("a")]);
  await settled(pins, { complete: false, error: { code: "disk_full" } });
  await expect.poll(kept).toHaveLength(1);
  pause(new SynclineError("paused", "Syncing is paused."));
  pins.remove([path("b")]);
  await settled(pins, { complete: false, error: { code: "paused" } });
  await expect.poll(kept).toEqual([]);
});

test("a pause stops fetching without marking the pins as failed", async () => {
  const { publish, open, settled, pause } = await world();
  await publish(file("f", LONG));
  const pins = open();
  await pins.add([path("f")]);
  await settled(pins, { complete: true });
  pause(new SynclineError("paused", "Syncing is paused."));
  await publish(file("f", "new"));
  await settled(pins, { complete: false, error: { code: "paused" } });
  await expect(pins.add([path("g")])).rejects.toMatchObject({ code: "paused" });
  pause(undefined);
  await settled(pins, { complete: true, bytes: 3, error: null });
});

test.each(["", "{}", "[1]", '[["a/b"]]', '[[".."]]', "[["])("%j in pins.json pins nothing", (text) => {
  expect(parsePins(Buffer.from(text))).toEqual([]);
});
