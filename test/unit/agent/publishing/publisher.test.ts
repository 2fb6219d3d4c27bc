import { randomBytes } from "node:crypto";
import { describe, expect, test, vi } from "vitest";
import { Publisher } from "../../../../src/agent/publishing/publisher.ts";
import type { BaseRoot } from "../../../../src/overlay/journal/journal-record.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { Lamport } from "../../../../src/base/ids.ts";
import type { Log } from "../../../../src/base/log.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { rootRolledBack } from "../../../../src/bucket/root-witness.ts";
import type { Bucket } from "../../../../src/bucket/bucket.ts";
import { publishEpoch, type PublishContext } from "../../../../src/bucket/publish.ts";
import { type BucketWriter, openWriter } from "../../../../src/bucket/writer.ts";
import { epochOf, name, type ObjectEdit } from "../../../support/epochs.ts";
import { FakeOverlay } from "../../../support/fake-overlay.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { createBucket, newWriter, pathsOf } from "../../../support/test-bucket.ts";
import { lastingWriter } from "../../../../src/simulate/lasting-writer.ts";

const born = (file: string, text = file, ino = 2): ObjectEdit => ({
  ino,
  names: [[1, file]],
  bytes: Buffer.from(text),
});

async function head(bucket: Bucket) {
  const current = await bucket.current();
  if (current === undefined) throw new Error("the bucket has no root");
  const { cid: commit, body } = current.commit;
  return { commit, tree: body.tree, seq: body.seq };
}

async function world(
  options: {
    paused?: () => SynclineError | undefined;
    readOnly?: boolean;
    fixed?: boolean;
    accepted?: boolean;
    epoch?: number;
    held?: boolean;
    older?: readonly BaseRoot[];
  } = {},
) {
  const remote = new MemoryRemote();
  const bucket = await createBucket(remote);
  const [me, other, spare] = [await newWriter(bucket, 2), await newWriter(bucket, 3), await newWriter(bucket, 4)];
  const overlay = new FakeOverlay(await head(bucket), options.epoch);
  const warnings: string[] = [];
  const log: Log = { info: () => {}, warn: (line) => void warnings.push(line), error: () => {} };
  const released: string[] = [];
  /** The bases that the bucket was told to keep, oldest first. */
  const standing: Cid[][] = [];
  let replaced = 0;
  const replace = async () => {
    replaced++;
    return spare.writer;
  };
  const publisher = new Publisher({
    bucket,
    writer: options.readOnly === true ? undefined : lastingWriter(me.writer, replace),
    fixed: options.fixed ?? false,
    accepted: options.accepted ?? false,
    overlay,
    data: overlay.data,
    base: await head(bucket),
    held: options.held ?? false,
    older: options.older ?? [],
    ...(options.paused !== undefined && { paused: options.paused }),
    heldBase: {
      stand: (bases) => void standing.push(bases.map(({ commit }) => commit)),
      leave: () => void standing.push([]),
      replaced: () => {},
    },
    releaseMemory: (when) => void released.push(when),
    clock: me.clock,
    random: me.random,
    log,
  });
  let theirs = 0;
  /** Another agent publishes. */
  const elsewhere = async (...edits: ObjectEdit[]) => {
    const { changes, data } = epochOf(await head(bucket), ++theirs, edits);
    expect((await publishEpoch(other, changes, data)).kind).toBe("published");
  };
  const files = async () => pathsOf(bucket, (await head(bucket)).tree);
  const seen = { warnings, released, standing, replaced: () => replaced };
  return { remote, bucket, me, other, spare, overlay, publisher, elsewhere, files, ...seen };
}

/** Three packs and a little. */
const LARGE_BYTES = 49 * 1024 * 1024;
/** Nine of these are more than the 16 MiB that are worth collecting. */
const SMALL_BYTES = 2 * 1024 * 1024;
const DONE = { again: false, afterMs: 0 };

describe("a publisher", () => {
  test("publishes and adopts nothing while paused, and everything afterwards", async () => {
    let paused: SynclineError | undefined = new SynclineError("paused", "Syncing is paused.");
    const { publisher, overlay, files, elsewhere, warnings } = await world({ paused: () => paused });
    await elsewhere(born("theirs"));
    overlay.edit(born("ours"));
    expect(await publisher.flush()).toEqual(DONE);
    expect(await publisher.rootMoved()).toEqual(DONE);
    expect(await files()).toEqual({ theirs: "theirs" });
    paused = undefined;
    expect(await publisher.flush()).toEqual(DONE);
    expect(await files()).toEqual({ ours: "ours", theirs: "theirs" });
    expect(publisher.state()).toMatchObject({ online: true, lastError: undefined });
    expect(warnings).toEqual([]);
  });

  test("a pause interrupts an upload without counting as a failure, and the upload resumes afterwards", async () => {
    let paused: SynclineError | undefined;
    const { publisher, overlay, files } = await world({ paused: () => paused });
    const reads = atFirstRead(overlay, () => (paused = new SynclineError("paused", "Syncing is paused.")));
    overlay.edit(born("a", "a", 2), born("b", "b", 3));
    expect(await publisher.flush()).toEqual(DONE);
    expect(reads()).toBe(1);
    expect(await files()).toEqual({});
    expect(publisher.state()).toMatchObject({ online: true, lastError: undefined });
    paused = undefined;
    expect(await publisher.flush()).toEqual(DONE);
    expect(await files()).toEqual({ a: "a", b: "b" });
  });

  test("after a pause in an upload, an epoch that waited while others published is sealed again", async () => {
    let paused: SynclineError | undefined;
    const { publisher, overlay, elsewhere, files } = await world({ paused: () => paused });
    atFirstRead(overlay, () => (paused = new SynclineError("paused", "Syncing is paused.")));
    overlay.edit(born("a", "a", 2), born("b", "b", 3));
    await publisher.flush();
    await elsewhere(born("theirs"));
    overlay.edit(born("later", "later", 4));
    paused = undefined;
    expect(await publisher.flush()).toEqual(DONE);
    expect(overlay.publishedEpochs).toMatchObject([{ epoch: 2 }]);
    expect(await files()).toEqual({ a: "a", b: "b", later: "later", theirs: "theirs" });
  });

  test("publishes dirty changes, informs the overlay, and moves to the new root", async () => {
    const { publisher, overlay, bucket, files } = await world();
    overlay.edit(born("a"));
    expect(await publisher.flush()).toEqual(DONE);
    const now = await head(bucket);
    expect(await files()).toEqual({ a: "a" });
    expect(overlay.publishedEpochs).toMatchObject([{ epoch: 1, base: { commit: now.commit, seq: 2 } }]);
    expect(publisher.state()).toMatchObject({
      base: now,
      root: now.commit,
      version: 2,
      online: true,
      lastError: undefined,
      last: { attempts: 1, conflicts: 0 },
      totals: { flushes: 1, attempts: 1, requests: 1 },
    });
  });

  test("with nothing dirty, adopts what others published exactly once, with the list of changes", async () => {
    const { publisher, overlay, bucket, elsewhere } = await world();
    await elsewhere(born("theirs"));
    expect(await publisher.flush()).toEqual(DONE);
    expect(await publisher.rootMoved()).toEqual(DONE);
    expect(overlay.adopted).toMatchObject([
      {
        ...(await head(bucket)),
        changes: expect.arrayContaining([expect.objectContaining({ name: "theirs" })]) as unknown,
      },
    ]);
    expect(publisher.state().totals.flushes).toBe(0);
  });

  test("merges with what others published meanwhile and remembers the conflicts", async () => {
    const { publisher, overlay, elsewhere, files } = await world();
    await elsewhere(born("same.bin", "theirs"));
    overlay.edit(born("same.bin", "ours"));
    await publisher.flush();
    expect(Object.values(await files()).toSorted()).toEqual(["ours", "theirs"]);
    const { conflicts, last } = publisher.state();
    expect(last.conflicts).toBe(1);
    expect(conflicts).toHaveLength(1);
    expect(conflicts[0]?.conflict.names.kept).toEqual(["same.bin"]);
  });

  test("forgets a conflict once its copy is gone", async () => {
    const { publisher, overlay, elsewhere, other } = await world();
    let epoch = 1;
    const edited = async (edit: (writer: BucketWriter) => Promise<unknown>) => {
      await using writer = await openWriter(other, ++epoch);
      await edit(writer);
      await writer.publish("edit");
      expect(await publisher.rootMoved()).toEqual(DONE);
      return publisher.state().conflicts.length;
    };
    await elsewhere(born("same.bin", "theirs"));
    overlay.edit(born("same.bin", "ours"));
    await publisher.flush();
    const copy = publisher.state().conflicts[0]?.conflict.names.other ?? [];
    const attributes = { mode: 0o755, uid: 0, gid: 0 };
    expect(await edited((writer) => writer.makeDirectory([name("d")], attributes))).toBe(1);
    expect(await edited((writer) => writer.remove(copy))).toBe(0);
  });

  test("releases memory during and after a large file, even if the bucket already has its bytes, but not for a small one", async () => {
    const { publisher, overlay, released } = await world();
    const bytes = randomBytes(LARGE_BYTES);
    const large = (file: string, ino: number): ObjectEdit => ({ ino, names: [[1, file]], bytes });
    overlay.edit(large("a", 2));
    await publisher.flush();
    expect(released).toEqual(["on the way", "on the way", "now"]);
    overlay.edit(large("b", 3));
    await publisher.flush();
    expect(released).toEqual(["on the way", "on the way", "now", "on the way", "on the way", "now"]);
    overlay.edit(born("c", "c", 4));
    await publisher.flush();
    expect(released).toHaveLength(6);
  });

  test("releases memory once small epochs add up to a large one", async () => {
    const { publisher, overlay, released } = await world();
    for (let epoch = 0; epoch < 10; epoch++) {
      overlay.edit({ ino: 2 + epoch, names: [[1, `f${epoch}`]], bytes: randomBytes(SMALL_BYTES) });
      await publisher.flush();
      expect(released.filter((when) => when !== "when quiet")).toEqual(epoch < 8 ? [] : ["when idle"]);
    }
  });

  test("after a few small epochs, releases memory once publishing goes quiet", async () => {
    const { publisher, overlay, released } = await world();
    for (let epoch = 0; epoch < 4; epoch++) {
      overlay.edit({ ino: 2 + epoch, names: [[1, `f${epoch}`]], bytes: randomBytes(SMALL_BYTES) });
      await publisher.flush();
      expect(released).toEqual(["when quiet", "when quiet"].slice(0, Math.max(0, epoch - 1)));
    }
  });

  test("runs one operation at a time, in order", async () => {
    const { publisher, overlay, elsewhere } = await world();
    const order: string[] = [];
    overlay.before = async () => void order.push("overlay");
    await elsewhere(born("theirs"));
    overlay.edit(born("a"));
    const ended = [publisher.rootMoved(), publisher.flush(), publisher.rootMoved()].map((end, index) =>
      end.then(() => order.push(String(index))),
    );
    await Promise.all(ended);
    expect(order).toEqual(["overlay", "0", "overlay", "1", "2"]);
  });

  test("reads the root once for all pending notices, and again for a later one", async () => {
    const { publisher, remote, elsewhere } = await world();
    await elsewhere(born("theirs"));
    let reads = 0;
    const readRoot = remote.readRoot.bind(remote);
    remote.readRoot = () => {
      reads++;
      return readRoot();
    };
    const first = publisher.rootMoved();
    const others = Array.from({ length: 5 }, () => publisher.rootMoved());
    expect(await Promise.all([first, ...others])).toEqual(Array.from({ length: 6 }, () => DONE));
    expect(reads).toBe(1);
    await elsewhere(born("more"));
    reads = 0;
    expect(await publisher.rootMoved()).toEqual(DONE);
    expect({ reads, seq: publisher.state().base.seq }).toEqual({ reads: 1, seq: 3 });
  });

  test.each([
    ["before our swap was sent, so our root covers it", "beforePrepare", 1],
    ["later, so it may be about another root", "beforeSwap", 2],
  ] as const)("rereads the root for a notice only if needed: the notice came %s", async (_, moment, expected) => {
    const { publisher, overlay, remote } = await world();
    overlay.edit(born("a"));
    const reads = vi.spyOn(remote, "readRoot");
    let noticed: Promise<unknown> = Promise.resolve();
    remote[moment] = async () => void (noticed = publisher.rootMoved());
    expect(await publisher.flush()).toEqual(DONE);
    expect(await noticed).toEqual(DONE);
    expect(reads).toHaveBeenCalledTimes(expected);
  });

  test("keeps a sealed epoch while the bucket is unreachable, warns once, and publishes it first afterwards", async () => {
    const { publisher, overlay, remote, files, warnings } = await world();
    overlay.edit(born("a"));
    remote.unreachable = true;
    const [first, second] = [await publisher.flush(), await publisher.flush()];
    expect(first.again && second.again).toBe(true);
    expect(first.afterMs).toBeGreaterThanOrEqual(250);
    expect(second.afterMs).toBeGreaterThanOrEqual(500);
    expect(publisher.state()).toMatchObject({ online: false, lastError: { code: "arbiter_unreachable" } });
    expect(warnings.filter((line) => line.startsWith("Not published"))).toHaveLength(1);
    expect(overlay.holdsEpoch).toBe(true);
    overlay.edit(born("b", "b", 3));
    remote.unreachable = false;
    expect(await publisher.rootMoved()).toEqual(DONE);
    expect(await files()).toEqual({ a: "a" });
    expect(publisher.state()).toMatchObject({ online: true, lastError: undefined });
    await publisher.flush();
    expect(await files()).toEqual({ a: "a", b: "b" });
  });

  test("retries with growing pauses up to a bound, and starts over once it has reached the bucket", async () => {
    const { publisher, overlay, remote } = await world();
    remote.unreachable = true;
    overlay.edit(born("a"));
    const waits: number[] = [];
    for (let round = 0; round < 8; round++) waits.push((await publisher.flush()).afterMs);
    expect(Math.max(...waits)).toBeLessThanOrEqual(5_000);
    expect(Math.min(...waits.slice(4))).toBeGreaterThanOrEqual(2_500);
    remote.unreachable = false;
    await publisher.flush();
    remote.unreachable = true;
    expect((await publisher.flush()).afterMs).toBeLessThanOrEqual(500);
  });

  test("after a restart, first publishes the epoch that was already sealed", async () => {
    const { publisher, overlay, elsewhere, files } = await world({ held: true });
    overlay.edit(born("held"));
    await overlay.seal(false);
    await elsewhere(born("theirs"));
    await publisher.rootMoved();
    expect(await files()).toEqual({ held: "held", theirs: "theirs" });
    expect(overlay.adopted).toEqual([]);
  });

  describe.each(["over_quota", "disk_full"] as const)("with an epoch for which the bucket has no room (%s)", (code) => {
    const full = async () => {
      throw new SynclineError(code, "No room.");
    };
    /** The first two attempts fail for lack of room. */
    const afterFull = async (opened: Awaited<ReturnType<typeof world>>, meanwhile = () => {}) => {
      const { publisher, overlay, remote } = opened;
      remote.beforePrepare = full;
      await publisher.flush();
      expect(publisher.state().lastError?.code).toBe(code);
      overlay.edit(born("later", "later", 3));
      await publisher.flush();
      meanwhile();
      remote.beforePrepare = async () => {};
      while ((await publisher.flush()).again || overlay.holdsEpoch);
      await publisher.flush();
      return overlay.publishedEpochs.map(({ epoch }) => epoch);
    };

    test("seals it anew with later changes, though the root stands", async () => {
      const opened = await world();
      opened.overlay.edit(born("a"));
      expect(await afterFull(opened)).toEqual([2]);
      expect(await opened.files()).toEqual({ a: "a", later: "later" });
    });

    test.each(["lost", "late"] as const)("never does so once a swap of it got no answer (%s)", async (fault) => {
      const opened = await world();
      const { overlay, remote, publisher } = opened;
      overlay.edit(born("a"));
      remote.faults.push(...Array.from({ length: 16 }, () => fault));
      expect((await publisher.flush()).again).toBe(true);
      expect(await afterFull(opened, () => remote.landLate())).toEqual([1, 2]);
      expect(await opened.files()).toEqual({ a: "a", later: "later" });
    });

    test.each([
      ["seals it anew after a restart if no commit of it was noted", false, [2]],
      ["never does so after a restart if a commit of it was noted", true, [1, 2]],
    ])("%s", async (_, noted, epochs) => {
      const opened = await world({ held: true });
      const { overlay, bucket } = opened;
      overlay.edit(born("held"));
      await overlay.seal(false);
      if (noted) await overlay.sending(1, { ...(await head(bucket)), seq: 2 as Lamport });
      expect(await afterFull(opened)).toEqual(epochs);
      expect(await opened.files()).toEqual({ held: "held", later: "later" });
    });
  });

  describe("with changes for which the bucket has no room", () => {
    /** The bucket has `old`; it is removed here, and `new` is made. */
    const full = async () => {
      const opened = await world();
      const { publisher, overlay } = opened;
      overlay.edit(born("old"));
      await publisher.flush();
      const [published] = overlay.publishedEpochs[0]?.objects ?? [];
      if (published === undefined) throw new Error("nothing was published");
      const [ino, base] = published;
      overlay.edit({ ino, base, names: [] }, born("new", "new", 3));
      return opened;
    };

    test("publishes removals alone, and the others once there is room, and warns once", async () => {
      const { publisher, overlay, remote, files, warnings } = await full();
      remote.refusals.push(true, false, true, true);
      for (let round = 0; round < 3; round++) {
        expect((await publisher.flush()).again).toBe(true);
        expect(publisher.state()).toMatchObject({ online: true, lastError: { code: "over_quota" } });
        expect(await files()).toEqual({});
      }
      expect(await publisher.flush()).toEqual(DONE);
      expect(await files()).toEqual({ new: "new" });
      expect(overlay.publishedEpochs.map(({ epoch }) => epoch)).toEqual([1, 3, 4]);
      expect(warnings).toHaveLength(1);
      expect(publisher.state().lastError).toBeUndefined();
    });

    test("tries all changes again after there was no room for the removals either", async () => {
      const { publisher, overlay, remote, files } = await full();
      remote.refusals.push(true, true);
      expect((await publisher.flush()).again).toBe(true);
      expect(await files()).toEqual({ old: "old" });
      expect(await publisher.flush()).toEqual(DONE);
      expect(await files()).toEqual({ new: "new" });
      expect(overlay.publishedEpochs.map(({ epoch }) => epoch)).toEqual([1, 4]);
    });

    test("publishes removals first whose swap got no answer", async () => {
      const { publisher, overlay, remote, files } = await full();
      remote.refusals.push(true);
      remote.faults.push(...Array.from({ length: 16 }, () => "late" as const));
      expect((await publisher.flush()).again).toBe(true);
      remote.landLate();
      while ((await publisher.flush()).again || overlay.holdsEpoch);
      await publisher.flush();
      expect(await files()).toEqual({ new: "new" });
      expect(overlay.publishedEpochs.map(({ epoch }) => epoch)).toEqual([1, 3, 4]);
    });

    test("shows what others publish, and merges with it once there is room", async () => {
      const { publisher, overlay, remote, elsewhere, files, standing, bucket } = await world();
      const before = await head(bucket);
      overlay.edit(born("new"));
      await elsewhere(born("theirs"));
      remote.refusals.push(true, true);
      expect((await publisher.flush()).again).toBe(true);
      expect((await publisher.rootMoved()).again).toBe(true);
      expect(overlay.adopted).toHaveLength(1);
      expect(publisher.state()).toMatchObject({ base: await head(bucket), lastError: { code: "over_quota" } });
      // What the changes were based on at first stays in the bucket.
      expect(new Set(standing.map(([first]) => first))).toEqual(new Set([before.commit]));
      expect(await publisher.rootMoved()).toEqual(DONE);
      expect(await files()).toEqual({ new: "new", theirs: "theirs" });
      expect(standing.at(-1)).toEqual([]);
    });

    test("after a restart, holds the base that they began on", async () => {
      const oldest = { ...(await head(await createBucket(new MemoryRemote()))), seq: 7 as Lamport };
      const { publisher, overlay, remote, standing } = await world({ held: true, older: [oldest] });
      overlay.edit(born("new"));
      remote.refusals.push(true, true);
      for (let round = 0; round < 2; round++) expect((await publisher.flush()).again).toBe(true);
      expect(new Set(standing.map(([first]) => first))).toEqual(new Set([oldest.commit]));
      expect(await publisher.flush()).toEqual(DONE);
      expect(standing.at(-1)).toEqual([]);
      standing.length = 0;
      overlay.edit(born("later", "later", 3));
      await publisher.flush();
      expect(standing.flat()).not.toContain(oldest.commit);
    });

    test("holds the base of the rest when removals are published late", async () => {
      const { publisher, remote, standing, bucket } = await full();
      const before = (await head(bucket)).commit;
      standing.length = 0;
      remote.refusals.push(true);
      remote.faults.push(...Array.from({ length: 16 }, () => "lost" as const));
      await publisher.flush();
      remote.faults.length = 0;
      await publisher.flush();
      remote.refusals.push(true, true);
      await publisher.flush();
      expect(new Set(standing.map(([first]) => first))).toEqual(new Set([before]));
    });

    test("holds the base from before others' root was adopted beneath them", async () => {
      const { publisher, overlay, remote, standing, bucket, elsewhere } = await world();
      const before = (await head(bucket)).commit;
      overlay.edit(born("new"));
      await elsewhere(born("theirs"));
      await publisher.rootMoved();
      expect(overlay.adopted).toHaveLength(1);
      remote.refusals.push(true);
      await publisher.flush();
      expect(new Set(standing.map(([first]) => first))).toEqual(new Set([before]));
    });

    test("holds the base from before a publication during which they were made", async () => {
      const { publisher, overlay, remote, standing, bucket } = await world();
      const before = (await head(bucket)).commit;
      overlay.edit(born("first"));
      overlay.before = async () => overlay.edit(born("second", "second", 3));
      await publisher.flush();
      overlay.before = async () => {};
      remote.refusals.push(true);
      await publisher.flush();
      expect(new Set(standing.map(([first]) => first))).toEqual(new Set([before]));
      expect(await publisher.flush()).toEqual(DONE);
      expect(standing.at(-1)).toEqual([]);
    });

    test("drops the notes of swaps of an epoch that did not fit, so that it can be sealed anew after a restart", async () => {
      const { publisher, overlay, remote } = await full();
      remote.refusals.push(true, true);
      await publisher.flush();
      expect((await overlay.seal(false))?.sent).toBeUndefined();
      overlay.edit(born("only", "only", 4));
      remote.refusals.push(true, false);
      await publisher.flush();
      expect((await overlay.seal(false))?.sent).toBeUndefined();
    });

    test("shows nothing else beneath an epoch of which a swap got no answer", async () => {
      const { publisher, overlay, remote, elsewhere, files } = await world();
      overlay.edit(born("new"));
      remote.faults.push(...Array.from({ length: 16 }, () => "lost" as const));
      await publisher.flush();
      await elsewhere(born("theirs"));
      remote.refusals.push(true);
      expect((await publisher.flush()).again).toBe(true);
      expect(overlay.adopted).toEqual([]);
      await publisher.flush();
      expect(overlay.publishedEpochs.map(({ epoch }) => epoch)).toEqual([1]);
      expect(await files()).toEqual({ new: "new", theirs: "theirs" });
    });
  });

  test("publishes an epoch once, even if the overlay cannot record that at first", async () => {
    const { publisher, overlay, bucket } = await world();
    overlay.edit(born("a"));
    overlay.before = () => Promise.reject(new SynclineError("disk_full", "No space is left."));
    expect((await publisher.flush()).again).toBe(true);
    expect(publisher.state().lastError?.code).toBe("disk_full");
    overlay.before = async () => {};
    expect(await publisher.flush()).toEqual(DONE);
    expect(overlay.publishedEpochs).toHaveLength(1);
    expect((await head(bucket)).seq).toBe(2);
  });

  test.each([
    [
      false,
      /mount with --accept\. If that fails, copy the changed files, and .* newer than the backup, .*operating\.md\.$/,
    ],
    [
      true,
      /Without it, copy the changed files, and all that is newer than the backup, elsewhere: see .*operating\.md\.$/,
    ],
  ])(
    "over a root that was rolled back: what to do about unpublished changes, --accept given: %s",
    async (accepted, hint) => {
      const { publisher, overlay, remote, bucket } = await world({ accepted });
      const old = await head(bucket);
      overlay.edit(born("a"));
      await publisher.flush();
      remote.forceRoot(old.commit);
      overlay.edit(born("b", "b", 3));
      await publisher.flush();
      const { lastError } = publisher.state();
      expect(lastError).toMatchObject({ code: "root_rolled_back", hint: expect.stringMatching(hint) });
    },
  );

  test("with changes that wait says so, too, if the bucket itself refuses a root that was rolled back", async () => {
    const { publisher, overlay, bucket } = await world();
    const refused = () => Promise.reject(rootRolledBack("bafyr4i" as Cid));
    Object.assign(bucket, { current: refused, head: refused });
    await publisher.flush();
    expect(publisher.state().lastError?.hint).toMatch(/To give it up .* --accept\.$/);
    overlay.edit(born("a"));
    await publisher.flush();
    expect(publisher.state().lastError?.hint).toMatch(/If that fails, copy the changed files, .*operating\.md\.$/);
  });

  test("never publishes over a root that was rolled back, and never adopts it", async () => {
    const { publisher, overlay, remote, bucket } = await world();
    const old = await head(bucket);
    overlay.edit(born("a"));
    await publisher.flush();
    remote.forceRoot(old.commit);
    expect((await publisher.rootMoved()).again).toBe(true);
    expect(publisher.state()).toMatchObject({ online: true, lastError: { code: "root_rolled_back" } });
    overlay.edit(born("b", "b", 3));
    expect((await publisher.flush()).again).toBe(true);
    expect(publisher.state().lastError?.code).toBe("root_rolled_back");
    expect((await head(bucket)).commit).toBe(old.commit);
    expect(overlay.adopted).toEqual([]);
    expect(overlay.holdsEpoch).toBe(true);
  });

  test("never merges with another bucket at the same address", async () => {
    const { publisher, overlay, remote } = await world();
    const foreign = new MemoryRemote();
    const { commit } = await head(await createBucket(foreign, 99));
    for (const [cid, bytes] of foreign.blocks.held) remote.blocks.put({ cid, bytes });
    remote.forceRoot(commit);
    overlay.edit(born("a"));
    expect((await publisher.flush()).again).toBe(true);
    expect((await publisher.rootMoved()).again).toBe(true);
    expect(publisher.state().lastError?.code).toBe("foreign_bucket");
    expect(overlay.holdsEpoch).toBe(true);
  });

  test("reports that the bucket is gone", async () => {
    const { publisher, remote } = await world();
    remote.forgetRoot();
    expect((await publisher.flush()).again).toBe(true);
    expect(publisher.state()).toMatchObject({ online: false, lastError: { code: "no_such_bucket" } });
  });

  test("counts as offline while something else answers in the bucket's place", async () => {
    const { publisher, remote } = await world();
    const { readRoot } = remote;
    remote.readRoot = () => Promise.reject(new SynclineError("not_supported", "This is no master."));
    expect((await publisher.rootMoved()).again).toBe(true);
    expect(publisher.state()).toMatchObject({ online: false, lastError: { code: "not_supported" } });
    remote.readRoot = readRoot;
    await publisher.rootMoved();
    expect(publisher.state()).toMatchObject({ online: true, lastError: undefined });
  });

  test("keeps the epoch when other writers always win the swap, and reports it", async () => {
    const { publisher, overlay, remote, elsewhere, files } = await world();
    overlay.edit(born("ours"));
    let depth = 0;
    let count = 0;
    remote.beforeSwap = async () => {
      if (depth > 0) return;
      depth++;
      await elsewhere(born(`t${++count}`));
      depth--;
    };
    expect((await publisher.flush()).again).toBe(true);
    expect(publisher.state()).toMatchObject({ lastError: { code: "root_moved" }, last: { attempts: 16 } });
    remote.beforeSwap = async () => {};
    expect(await publisher.flush()).toEqual(DONE);
    expect((await files())["ours"]).toBe("ours");
  });

  test("takes turns with other writers after they got in its way, until they no longer do", async () => {
    const { publisher, overlay, remote, elsewhere } = await world();
    let taken = 0;
    remote.takeTurn = async () => {
      taken++;
      return { waited: false, [Symbol.dispose]: () => {} };
    };
    const flushed = async (file: string) => {
      overlay.edit(born(file));
      expect(await publisher.flush()).toEqual(DONE);
      return taken;
    };
    expect(await flushed("a")).toBe(0);
    await elsewhere(born("theirs"));
    expect(await flushed("b")).toBe(0);
    expect(await flushed("c")).toBe(1);
    expect(await flushed("d")).toBe(1);
  });

  test("takes a new device when the bucket holds an epoch of the same number from a copy of this device", async () => {
    const { publisher, overlay, me, spare, bucket, files, replaced } = await world();
    // The state was copied: another machine wrote with this very device.
    const { changes, data } = epochOf(await head(bucket), 1, [born("copy")]);
    await publishEpoch(me satisfies PublishContext, changes, data);
    overlay.edit(born("ours"));
    expect(await publisher.flush()).toEqual({ again: true, afterMs: 0 });
    expect(replaced()).toBe(1);
    expect(await publisher.flush()).toEqual(DONE);
    expect(await files()).toEqual({ copy: "copy", ours: "ours" });
    expect(publisher.state().writer).toBe(spare.writer.device.writer);
  });

  test("without a writer, publishes nothing but still follows the bucket", async () => {
    const { publisher, overlay, elsewhere, files } = await world({ readOnly: true });
    overlay.edit(born("a"));
    await elsewhere(born("theirs"));
    expect(await publisher.flush()).toEqual(DONE);
    expect(await files()).toEqual({ theirs: "theirs" });
    expect(overlay.adopted).toHaveLength(1);
    expect(publisher.state().writer).toBeUndefined();
  });

  test("that shows an old root stays on that root", async () => {
    const { publisher, overlay, elsewhere } = await world({ readOnly: true, fixed: true });
    const { base } = publisher.state();
    await elsewhere(born("theirs"));
    expect(await publisher.flush()).toEqual(DONE);
    expect(await publisher.rootMoved()).toEqual(DONE);
    expect(overlay.adopted).toEqual([]);
    expect(publisher.state().base).toEqual(base);
  });

  test("adopts a root without a list of changes when the blocks of its own base are gone", async () => {
    const { publisher, overlay, remote, elsewhere } = await world();
    const { tree } = publisher.state().base;
    await elsewhere(born("theirs"));
    remote.blocks.held.delete(tree);
    expect(await publisher.flush()).toEqual(DONE);
    expect(overlay.adopted).toMatchObject([{ changes: undefined }]);
  });
});

/** Runs `action` at the first read of the overlay's data. The result tells how many reads there were. */
function atFirstRead({ data }: FakeOverlay, action: () => void): () => number {
  const read = data.readData.bind(data);
  let reads = 0;
  data.readData = (...range) => {
    if (++reads === 1) action();
    return read(...range);
  };
  return () => reads;
}
