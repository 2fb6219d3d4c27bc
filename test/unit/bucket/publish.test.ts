import { describe, expect, test, vi } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import type { Clock } from "../../../src/base/clock.ts";
import type { Cid, FileId, Ino } from "../../../src/base/ids.ts";
import type { Bucket, CurrentRoot } from "../../../src/bucket/bucket.ts";
import { resolvePath } from "../../../src/fstree/fs-reader.ts";
import type { TreeObject } from "../../../src/fstree/fs-reader.ts";
import { ancestorAt, keptCommits, log } from "../../../src/bucket/history.ts";
import { publishEpoch } from "../../../src/bucket/publish.ts";
import type { PublishContext } from "../../../src/bucket/publish.ts";
import { verifyBucket } from "../../../src/bucket/verify.ts";
import type { Totals } from "../../../src/format/commits/commit-body.ts";
import { Attacker } from "../../support/attacker.ts";
import type { PublishOutcome } from "../../../src/bucket/publish/outcome.ts";
import { epochOf, name } from "../../support/epochs.ts";
import type { ObjectEdit } from "../../support/epochs.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { dropKept } from "../../support/thinning.ts";
import { createBucket, newWriter, nodesOf, openBucket, pathsOf } from "../../support/test-bucket.ts";

const bytes = (text: string) => Buffer.from(text);
const born = (ino: number, file: string, text: string): ObjectEdit => ({ ino, names: [[1, file]], bytes: bytes(text) });

async function world() {
  const remote = new MemoryRemote();
  const bucket = await createBucket(remote);
  return { remote, bucket, me: await newWriter(bucket, 2), other: await newWriter(bucket, 3) };
}

async function root(bucket: Bucket): Promise<CurrentRoot> {
  const current = await bucket.current();
  if (current === undefined) throw new Error("the bucket has no root");
  return current;
}

/** Publishes edits on the root of now, or on `on`. */
async function publish(
  context: PublishContext,
  epoch: number,
  edits: readonly ObjectEdit[],
  on?: CurrentRoot,
): Promise<PublishOutcome> {
  const { commit } = on ?? (await root(context.bucket));
  const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, epoch, edits);
  return publishEpoch(context, changes, data);
}

async function at(bucket: Bucket, path: string): Promise<TreeObject> {
  const object = await resolvePath(nodesOf(bucket), (await root(bucket)).commit.body.tree, [name(path)]);
  if (object === undefined) throw new Error(`nothing at ${path}`);
  return object;
}

async function files(bucket: Bucket): Promise<Record<string, string>> {
  return pathsOf(bucket, (await root(bucket)).commit.body.tree);
}

describe("publishing", () => {
  test("an epoch on an unchanged root becomes the next commit", async () => {
    const { bucket, me } = await world();
    const outcome = await publish(me, 1, [born(2, "a.txt", "hello")]);
    expect(outcome.kind).toBe("published");
    expect(await files(bucket)).toEqual({ "a.txt": "hello" });
    const { commit } = await root(bucket);
    expect(commit.body.seq).toBe(2);
    expect(commit.body.totals).toEqual({ files: 1, directories: 0, bytes: 5 });
    expect(await bucket.heads.epochOf(commit.body, me.writer.device.writer)).toBe(1);
  });

  test("a file of the largest size and others can be published, changed and removed", async () => {
    const { remote, bucket, me } = await world();
    const largest = Number.MAX_SAFE_INTEGER;
    let epoch = 0;
    const total = async (...edits: ObjectEdit[]) => {
      expect((await publish(me, ++epoch, edits)).kind).toBe("published");
      expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
      return (await root(bucket)).commit.body.totals.bytes;
    };
    expect(await total({ ino: 2, names: [[1, "largest"]], hole: largest })).toBe(largest);
    expect(await total(born(3, "small", "12"))).toBe(largest);
    expect(await total(born(4, "another", "345"))).toBe(largest);
    expect(await total({ ino: 3, base: await at(bucket, "small"), names: [] })).toBe(largest);
    const two = [5, 6].map((ino) => ({ ino, names: [[1, `half ${ino}`]], hole: largest - 1 }) as const);
    expect(await total(...two)).toBe(largest);
    const huge = await Promise.all(["largest", "half 5"].map((file) => at(bucket, file)));
    expect(await total(...huge.map((base, index) => ({ ino: 7 + index, base, names: [] })))).toBe(largest);
    expect(await total({ ino: 6, base: await at(bucket, "half 6"), names: [] })).toBe(3);
  });

  test("a parent that misstates its totals stops nobody, and impossible ones are counted anew", async () => {
    const { remote, bucket, me } = await world();
    await publish(me, 1, [born(2, "a", "1"), born(3, "b", "23")]);
    const attacker = await Attacker.start(remote, 7);
    const state = (totals: Totals) => attacker.publish([], { totals });
    await state({ files: 0, directories: 0, bytes: 0 });
    await publish(me, 2, [{ ino: 2, base: await at(bucket, "a"), names: [] }]);
    expect((await root(bucket)).commit.body.totals).toEqual({ files: 1, directories: 0, bytes: 2 });
    const largest = Number.MAX_SAFE_INTEGER;
    await state({ files: largest, directories: largest - 1, bytes: largest });
    expect((await publish(me, 3, [born(4, "c", "456")])).kind).toBe("published");
    await publish(me, 4, [{ ino: 4, base: await at(bucket, "c"), names: [] }]);
    expect((await root(bucket)).commit.body.totals).toEqual({ files: 1, directories: 0, bytes: 2 });
  });

  test("two writers that start from the same root both publish", async () => {
    const { bucket, me, other } = await world();
    const base = await root(bucket);
    await publish(other, 1, [born(2, "theirs.txt", "t")], base);
    const outcome = await publish(me, 1, [born(2, "ours.txt", "o")], base);
    expect(outcome.kind).toBe("published");
    expect(await files(bucket)).toEqual({ "ours.txt": "o", "theirs.txt": "t" });
    if (outcome.kind !== "published") return;
    expect(outcome.epoch.base.changes?.map((change) => change.kind === "dentry" && change.name)).toEqual([
      "theirs.txt",
    ]);
  });

  test("a file created here gets another id if others created a file of that name and moved it", async () => {
    const { bucket, me, other } = await world();
    const base = await root(bucket);
    await publish(other, 1, [born(2, "f", "theirs")], base);
    const theirs = await at(bucket, "f");
    await publish(other, 2, [{ ino: 2, base: theirs, names: [[1, "g"]] }]);
    const outcome = await publish(me, 1, [born(2, "f", "ours")], base);
    if (outcome.kind !== "published") throw new Error(outcome.kind);
    expect(await files(bucket)).toEqual({ f: "ours", g: "theirs" });
    expect(outcome.epoch.objects.get(2 as Ino)?.id).toBe((await at(bucket, "f")).id);
    expect((await at(bucket, "f")).id).not.toBe(theirs.id);
    expect(outcome.epoch.base.changes).toContainEqual(expect.objectContaining({ name: "f", after: theirs.id }));
  });

  test("a directory created where others moved one becomes that directory and keeps its new files", async () => {
    const { bucket, me, other } = await world();
    await publish(me, 1, [{ ino: 2, names: [[1, "d"]], type: "directory" }]);
    const base = await root(bucket);
    const moved = await at(bucket, "d");
    await publish(other, 1, [{ ino: 2, base: moved, names: [[1, "k"]] }], base);
    const made: ObjectEdit = { ino: 3, names: [[1, "k"]], type: "directory" };
    const outcome = await publish(me, 2, [made, { ...born(4, "f", "ours"), names: [[3, "f"]] }], base);
    if (outcome.kind !== "published") throw new Error(outcome.kind);
    expect(await files(bucket)).toEqual({ k: "dir", "k/f": "ours" });
    expect(outcome.epoch.objects.get(3 as Ino)?.id).toBe(moved.id);
    expect(outcome.epoch.objects.get(4 as Ino)?.names).toEqual([{ parent: moved.id, name: "f" }]);
  });

  test("a file whose directory is unknown moves to the root directory", async () => {
    const { bucket, me } = await world();
    await publish(me, 1, [born(2, "f", "old")]);
    const known = await at(bucket, "f");
    const elsewhere = { ...known, names: [{ parent: "ab".repeat(16) as FileId, name: name("lost") }] };
    const { commit } = await root(bucket);
    const edit: ObjectEdit = { ino: 2, base: elsewhere, names: [[9, "lost"]], bytes: bytes("new") };
    const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, 2, [edit], {
      9: "ab".repeat(16) as FileId,
    });
    expect((await publishEpoch(me, changes, data)).kind).toBe("published");
    expect(await files(bucket)).toEqual({ f: "old", lost: "new" });
  });

  test("when the root moves before the swap, the sealed epoch is merged again", async () => {
    const { remote, bucket, me, other } = await world();
    const base = await root(bucket);
    let rounds = 0;
    remote.beforeSwap = async () => {
      if (++rounds > 3 * 2) return;
      if (rounds % 2 === 1) await publish(other, (rounds + 1) / 2, [born(2, `t${rounds}`, "t")]);
    };
    const outcome = await publish(me, 1, [born(2, "ours", "o")], base);
    expect(outcome.kind).toBe("published");
    expect(Object.keys(await files(bucket)).length).toBeGreaterThan(2);
    const commits: number[] = [];
    for await (const commit of log(bucket, (await root(bucket)).commit)) commits.push(commit.body.seq);
    expect(commits).toEqual(commits.map((_, index) => commits.length - index));
  });

  test("a writer that lost the swap takes a turn if there are turns, and keeps it until it has published", async () => {
    const { remote, bucket, me, other } = await world();
    const base = await root(bucket);
    const turns = { taken: 0, over: 0 };
    remote.takeTurn = async () => {
      turns.taken++;
      return { waited: false, [Symbol.dispose]: () => void turns.over++ };
    };
    const atSwaps: (typeof turns)[] = [];
    remote.beforeSwap = async () => {
      atSwaps.push({ ...turns });
      if (atSwaps.length === 1) await publish(other, 1, [born(2, "t", "t")]);
    };
    expect((await publish(me, 1, [born(2, "ours", "o")], base)).kind).toBe("published");
    expect(atSwaps.map(({ taken }) => taken)).toEqual([0, 0, 1]);
    expect(atSwaps.at(-1)).toEqual({ taken: 1, over: 0 });
    expect(turns).toEqual({ taken: 1, over: 1 });
  });

  test("a writer takes a turn from the start only where others publish often, or did so before", async () => {
    const { remote, bucket, me, other } = await world();
    let taken = 0;
    remote.takeTurn = async () => {
      taken++;
      return { waited: false, [Symbol.dispose]: () => {} };
    };
    const base = await root(bucket);
    await publish(other, 1, [born(2, "a", "a")]);
    await publish(me, 1, [born(2, "ours", "o")], base);
    expect(taken).toBe(0);
    for (const epoch of [2, 3]) await publish(other, epoch, [born(2, `t${epoch}`, "t")]);
    await publish(me, 2, [born(2, "again", "o")], base);
    expect(taken).toBe(1);
    const { commit } = await root(bucket);
    const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, 3, [born(2, "more", "o")]);
    await publishEpoch(me, changes, data, { contended: true });
    expect(taken).toBe(2);
  });

  test("a writer sends contents before its turn, and leaves for the turn only what depends on the root", async () => {
    const { remote, bucket, me } = await world();
    const seen: string[] = [];
    const beginUpload = remote.beginUpload.bind(remote);
    remote.beginUpload = () => {
      const session = beginUpload();
      return {
        blocks: session.blocks,
        putContent: async (block) => {
          seen.push("content");
          await session.putContent(block);
        },
        prepare: (on, upload) => session.prepare(on, upload),
        [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
      };
    };
    remote.takeTurn = async () => {
      seen.push("turn");
      return { waited: true, [Symbol.dispose]: () => {} };
    };
    remote.beforeSwap = async () => void seen.push("swap");
    const { commit } = await root(bucket);
    const at = { commit: commit.cid, seq: commit.body.seq };
    const { changes, data } = epochOf(at, 1, [born(2, "large", "x".repeat(1_000_000))]);
    const outcome = await publishEpoch(me, changes, data, { contended: true });
    expect(outcome.kind).toBe("published");
    expect([...new Set(seen)]).toEqual(["content", "turn", "swap"]);
    expect(seen.lastIndexOf("content")).toBeLessThan(seen.indexOf("turn"));
  });

  test("a contended writer reads the root in its turn, not before", async () => {
    const { remote, bucket, me, other } = await world();
    const { commit } = await root(bucket);
    const [readRoot, seen] = [remote.readRoot.bind(remote), new Array<string>()];
    remote.readRoot = async () => {
      seen.push("root");
      return readRoot();
    };
    remote.takeTurn = async () => {
      seen.push("turn");
      await publish(other, 1, [born(2, "theirs", "t")]);
      seen.length = 1;
      return { waited: true, [Symbol.dispose]: () => {} };
    };
    const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, 1, [born(2, "ours", "o")]);
    expect((await publishEpoch(me, changes, data, { contended: true })).kind).toBe("published");
    expect(seen).toEqual(["turn", "root"]);
    expect(await files(bucket)).toEqual({ ours: "o", theirs: "t" });
  });

  test("a writer's turn ends with its swap, before it looks at the outcome", async () => {
    const { remote, bucket, me } = await world();
    const { commit } = await root(bucket);
    const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, 1, [born(2, "ours.txt", "o")]);
    const remember = vi.spyOn(bucket, "remember");
    let atEnd: { swaps: number; remembered: number } | undefined;
    remote.takeTurn = async () => ({
      waited: true,
      [Symbol.dispose]: () => (atEnd = { swaps: remote.swaps, remembered: remember.mock.calls.length }),
    });
    expect((await publishEpoch(me, changes, data, { contended: true })).kind).toBe("published");
    expect(atEnd).toEqual({ swaps: 1, remembered: 0 });
    expect(remember).toHaveBeenCalledTimes(1);
  });

  test("a writer that gets the root with its turn does not read it", async () => {
    const { remote, bucket, me } = await world();
    const { commit } = await root(bucket);
    const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, 1, [born(2, "ours.txt", "o")]);
    const brought = await remote.readRoot();
    const reads = vi.spyOn(remote, "readRoot");
    remote.takeTurn = async () => ({ waited: true, root: brought, [Symbol.dispose]: () => {} });
    expect((await publishEpoch(me, changes, data, { contended: true })).kind).toBe("published");
    expect(reads).not.toHaveBeenCalled();
  });

  test("a contended writer publishes without turns too, but never on a root older than its base", async () => {
    const { remote, bucket, me, other } = await world();
    const old = await root(bucket);
    await publish(other, 1, [born(2, "theirs", "t")]);
    const { commit } = await root(bucket);
    const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, 1, [born(2, "ours", "o")]);
    const readRoot = remote.readRoot.bind(remote);
    remote.readRoot = async () => old.root;
    expect((await publishEpoch(me, changes, data, { contended: true })).kind).toBe("rolled_back");
    remote.readRoot = readRoot;
    expect((await publishEpoch(me, changes, data, { contended: true })).kind).toBe("published");
    expect(await files(bucket)).toEqual({ ours: "o", theirs: "t" });
  });

  test("an upload that fails before the turn is repeated within it", async () => {
    const { remote, bucket, me } = await world();
    let begun = 0;
    const beginUpload = remote.beginUpload.bind(remote);
    remote.beginUpload = () => {
      const session = beginUpload();
      if (++begun > 1) return session;
      const putContent = () => Promise.reject(new SynclineError("store_unreachable", "A line is cut."));
      return { ...session, blocks: session.blocks, putContent, [Symbol.asyncDispose]: async () => {} };
    };
    remote.takeTurn = async () => ({ waited: true, [Symbol.dispose]: () => {} });
    const { commit } = await root(bucket);
    const at = { commit: commit.cid, seq: commit.body.seq };
    const { changes, data } = epochOf(at, 1, [born(2, "large", "x".repeat(1_000_000))]);
    expect((await publishEpoch(me, changes, data, { contended: true })).kind).toBe("published");
    expect(begun).toBe(2);
    expect(Object.keys(await files(bucket))).toEqual(["large"]);
  });

  test("a writer that waited for a turn in vain backs off, and does not wait for one again in this epoch", async () => {
    const { remote, bucket, me, other } = await world();
    const base = await root(bucket);
    let waited = 0;
    remote.takeTurn = async () => void waited++;
    let [depth, epoch] = [0, 0];
    remote.beforeSwap = async () => {
      if (depth > 0 || epoch === 3) return;
      depth++;
      await publish(other, ++epoch, [born(2, `t${epoch}`, "t")]);
      depth--;
    };
    const pauses: number[] = [];
    const clock: Clock = { ...me.clock, sleep: async (ms) => void pauses.push(ms) };
    const { changes, data } = epochOf({ commit: base.commit.cid, seq: base.commit.body.seq }, 1, [
      born(2, "ours", "o"),
    ]);
    expect((await publishEpoch({ ...me, clock }, changes, data)).kind).toBe("published");
    expect({ waited, pauses: pauses.length }).toEqual({ waited: 1, pauses: 3 });
  });

  test("a writer that waited for its turn reports contention, even if nobody published meanwhile", async () => {
    const { remote, bucket, me } = await world();
    remote.takeTurn = async () => ({ waited: true, [Symbol.dispose]: () => {} });
    const { commit } = await root(bucket);
    const at = { commit: commit.cid, seq: commit.body.seq };
    const { changes, data } = epochOf(at, 1, [born(2, "a", "a")]);
    const behind = await publishEpoch(me, changes, data, { contended: true });
    expect(behind).toMatchObject({ kind: "published", contended: true });
  });

  test("a writer whose swaps get no answer keeps its epoch, and does not claim that nothing was written", async () => {
    const { remote, bucket, me } = await world();
    const base = await root(bucket);
    remote.faults.push(...Array.from({ length: 16 }, () => "late" as const));
    expect(await publish(me, 1, [born(2, "ours", "o")], base)).toMatchObject({ kind: "queued", isUnsure: true });
    remote.landLate();
    expect((await publish(me, 1, [born(2, "ours", "o")], base)).kind).toBe("published");
    expect((await files(bucket))["ours"]).toBe("o");
  });

  test("a writer that always loses keeps its epoch and reports it", async () => {
    const { remote, bucket, me, other } = await world();
    const base = await root(bucket);
    let depth = 0;
    let epoch = 0;
    remote.beforeSwap = async () => {
      if (depth > 0) return;
      depth++;
      await publish(other, ++epoch, [born(2, `t${epoch}`, "t")]);
      depth--;
    };
    const outcome = await publish(me, 1, [born(2, "ours", "o")], base);
    expect(outcome).toMatchObject({ kind: "queued", isUnsure: false, figures: { attempts: 16 } });
    remote.beforeSwap = async () => {};
    expect((await publish(me, 1, [born(2, "ours", "o")], base)).kind).toBe("published");
    expect((await files(bucket))["ours"]).toBe("o");
  });

  test("a swap whose reply was lost, but that took effect, counts as won", async () => {
    const { remote, bucket, me } = await world();
    remote.faults.push("committed-unseen");
    const outcome = await publish(me, 1, [born(2, "a", "1")]);
    expect(outcome).toMatchObject({ kind: "published", figures: { attempts: 1 } });
    expect((await root(bucket)).commit.body.seq).toBe(2);
  });

  test("a swap without a reply counts as won even if another writer's commit follows it", async () => {
    const { remote, bucket, me, other } = await world();
    remote.faults.push("committed-unseen");
    const readRoot = remote.readRoot.bind(remote);
    let buried = false;
    remote.readRoot = async () => {
      if (remote.swaps === 1 && !buried) {
        buried = true;
        await publish(other, 1, [born(2, "b", "2")]);
      }
      return readRoot();
    };
    const outcome = await publish(me, 1, [born(2, "a", "1")]);
    expect(outcome).toMatchObject({ kind: "published", figures: { attempts: 1 } });
    expect(await files(bucket)).toEqual({ a: "1", b: "2" });
    if (outcome.kind !== "published") return;
    expect(outcome.epoch.base.seq).toBe(3);
    expect(outcome.epoch.base.changes).toHaveLength(1);
  });

  test("a swap that landed late counts as won even if the upload and its base are gone by then", async () => {
    const { remote, bucket, me, other } = await world();
    await publish(other, 1, [born(2, "b", "1")]);
    const base = await root(bucket);
    remote.faults.push("late");
    let sent = 0;
    remote.beforeSwap = async () => {
      if (++sent !== 2) return;
      remote.landLate();
      await publish(other, 2, [born(2, "c", "2")]);
      remote.blocks.held.delete(base.commit.body.tree);
      throw new SynclineError("root_moved", "A block is gone.");
    };
    const mine = { ...me, bucket: await openBucket(remote) };
    expect(await publish(mine, 1, [born(2, "a", "1")], base)).toMatchObject({ kind: "published" });
    expect(await files(await openBucket(remote))).toEqual({ a: "1", b: "1", c: "2" });
  });

  test("an unanswered swap is sent again as long as the root is unchanged", async () => {
    const { remote, bucket, me } = await world();
    remote.faults.push("lost", "lost");
    const outcome = await publish(me, 1, [born(2, "a", "1")]);
    expect(outcome).toMatchObject({ kind: "published", figures: { attempts: 3 } });
    expect(remote.prepares).toBe(1);
    expect((await root(bucket)).commit.body.seq).toBe(2);
  });

  test("a delayed swap that arrives before its retry makes one commit", async () => {
    const { remote, bucket, me } = await world();
    remote.faults.push("late");
    remote.beforeSwap = async () => {
      if (remote.swaps === 1) remote.landLate();
    };
    const outcome = await publish(me, 1, [born(2, "a", "1")]);
    expect(outcome.kind).toBe("published");
    expect((await root(bucket)).commit.body.seq).toBe(2);
  });

  test("a delayed swap that arrives after another's commit changes nothing", async () => {
    const { remote, bucket, me, other } = await world();
    remote.faults.push("late");
    const readRoot = remote.readRoot.bind(remote);
    let moved = false;
    remote.readRoot = async () => {
      if (remote.swaps === 1 && !moved) {
        moved = true;
        await publish(other, 1, [born(2, "b", "2")]);
        remote.landLate();
      }
      return readRoot();
    };
    expect((await publish(me, 1, [born(2, "a", "1")])).kind).toBe("published");
    expect(await files(bucket)).toEqual({ a: "1", b: "2" });
    expect((await root(bucket)).commit.body.seq).toBe(3);
  });

  test("an unreachable arbiter leaves the epoch queued, and it is published later", async () => {
    const { remote, bucket, me } = await world();
    const base = await root(bucket);
    remote.unreachable = true;
    const outcome = await publish(me, 1, [born(2, "a", "1")], base);
    expect(outcome).toMatchObject({ kind: "unreachable", cause: { code: "arbiter_unreachable" } });
    remote.unreachable = false;
    expect((await publish(me, 1, [born(2, "a", "1")], base)).kind).toBe("published");
  });

  test("a bucket without a root counts as unreachable", async () => {
    const { remote, bucket, me } = await world();
    const base = await root(bucket);
    remote.forgetRoot();
    const outcome = await publish(me, 1, [born(2, "a", "1")], base);
    expect(outcome).toMatchObject({ kind: "unreachable", cause: { code: "no_such_bucket" } });
  });

  test("an epoch published before a crash is recognized and not published twice", async () => {
    const { remote, bucket, me, other } = await world();
    const base = await root(bucket);
    const first = await publish(me, 1, [born(2, "a", "1")], base);
    await publish(other, 1, [born(2, "b", "2")]);
    const swaps = remote.swaps;
    const again = await publish(me, 1, [born(2, "a", "1")], base);
    expect(remote.swaps).toBe(swaps);
    if (again.kind !== "published" || first.kind !== "published") throw new Error(again.kind);
    expect([...again.epoch.objects.values()]).toEqual([...first.epoch.objects.values()]);
    expect(again.epoch.base.changes).toHaveLength(1);
  });

  test("an epoch that was merged when published is recognized after a crash too", async () => {
    const { remote, bucket, me, other } = await world();
    const base = await root(bucket);
    await publish(other, 1, [born(2, "a", "theirs")], base);
    await publish(me, 1, [born(2, "a", "ours")], base);
    const swaps = remote.swaps;
    expect((await publish(me, 1, [born(2, "a", "ours")], base)).kind).toBe("published");
    expect(remote.swaps).toBe(swaps);
  });

  test("an epoch of our number with other changes means that the device was reused", async () => {
    const { bucket, me } = await world();
    const base = await root(bucket);
    await publish(me, 1, [born(2, "a", "before the image was restored")], base);
    expect(await publish(me, 1, [born(2, "a", "after it")], base)).toMatchObject({ kind: "device_reused", epoch: 1 });
    expect((await files(bucket))["a"]).toBe("before the image was restored");
  });

  test("an epoch of our device later than our own means that the device was reused", async () => {
    const { bucket, me } = await world();
    const base = await root(bucket);
    await publish(me, 1, [born(2, "a", "1")]);
    await publish(me, 2, [born(3, "b", "2")]);
    expect(await publish(me, 1, [born(2, "a", "1")], base)).toMatchObject({ kind: "device_reused", epoch: 2 });
  });

  test("an old root put back is never merged with", async () => {
    const { remote, bucket, me } = await world();
    const old = await root(bucket);
    await publish(me, 1, [born(2, "a", "1")]);
    const base = await root(bucket);
    remote.forceRoot(old.commit.cid);
    expect(await publish(me, 2, [born(3, "b", "2")], base)).toMatchObject({
      kind: "rolled_back",
      root: old.commit.cid,
    });
    expect((await root(bucket)).commit.cid).toBe(old.commit.cid);
  });

  test("a history that forked before our base counts as rolled back too", async () => {
    const { remote, bucket, me, other } = await world();
    const old = await root(bucket);
    await publish(me, 1, [born(2, "a", "1")]);
    const base = await root(bucket);
    remote.forceRoot(old.commit.cid);
    await publish(other, 1, [born(2, "x", "1")]);
    await publish(other, 2, [born(3, "y", "1")]);
    await publish(other, 3, [born(4, "z", "1")]);
    expect((await publish(me, 2, [born(3, "b", "2")], base)).kind).toBe("rolled_back");
  });

  test("a writer with an old base reads no commit in between, as long as the root retains the base", async () => {
    const { bucket, me, other } = await world();
    const base = await root(bucket);
    for (let epoch = 1; epoch <= 30; epoch++) await publish(other, epoch, [born(epoch + 1, `${epoch}.txt`, "t")]);
    const head = await root(bucket);
    const read = vi.spyOn(bucket, "commit");
    expect((await publish(me, 1, [born(2, "ours.txt", "o")], base)).kind).toBe("published");
    expect(new Set(read.mock.calls.flat())).toEqual(new Set([base.commit.cid, head.commit.cid]));
  });

  test("another bucket at the address is never merged with", async () => {
    const { remote, bucket, me } = await world();
    const base = await root(bucket);
    const elsewhere = new MemoryRemote();
    const foreign = await createBucket(elsewhere, 9);
    const theirs = await root(foreign);
    for (const [cid, block] of elsewhere.blocks.held) remote.blocks.put({ cid, bytes: block });
    remote.forceRoot(theirs.commit.cid);
    expect((await publish(me, 1, [born(2, "a", "1")], base)).kind).toBe("foreign");
  });

  test("an epoch whose result the root already shows needs no commit", async () => {
    const { remote, bucket, me, other } = await world();
    const base = await root(bucket);
    await publish(other, 1, [born(2, "a", "same")], base);
    const outcome = await publish(me, 1, [born(2, "a", "same")], base);
    expect(outcome).toMatchObject({ kind: "published", figures: { attempts: 0 } });
    expect((await root(bucket)).commit.body.seq).toBe(2);
    expect(remote.swaps).toBe(1);
  });

  test("every commit retains those before it, and leads to any ancestor", async () => {
    const { bucket, me } = await world();
    const cids: Cid[] = [(await root(bucket)).commit.cid];
    for (let epoch = 1; epoch <= 20; epoch++) {
      await publish(me, epoch, [born(1 + epoch, `f${epoch}`, "x")]);
      cids.push((await root(bucket)).commit.cid);
    }
    const head = (await root(bucket)).commit;
    const kept: Cid[] = [];
    for await (const { cid } of keptCommits(nodesOf(bucket), head)) kept.push(cid);
    expect(kept).toEqual(cids.slice(0, -1));
    for (const [index, cid] of cids.entries()) {
      expect(await ancestorAt(bucket, head, (index + 1) as typeof head.body.seq)).toBe(cid);
    }
  });

  test("a deduplicated block that has gone makes the upload start over", async () => {
    const { remote, bucket, me } = await world();
    let failures = 1;
    remote.beforePrepare = async () => {
      if (failures-- > 0) throw new SynclineError("root_moved", "A block is gone.");
    };
    expect((await publish(me, 1, [born(2, "a", "1")])).kind).toBe("published");
    expect(remote.sessions).toBe(2);
    expect(await files(bucket)).toEqual({ a: "1" });
  });
});

describe("a store that refuses", () => {
  test("a swap for blocks that it lost makes the upload start over", async () => {
    const { remote, bucket, me } = await world();
    let failures = 1;
    remote.beforeSwap = async () => {
      if (failures-- > 0) throw new SynclineError("root_moved", "A block is gone.");
    };
    expect((await publish(me, 1, [born(2, "a", "1")])).kind).toBe("published");
    expect(remote.sessions).toBe(2);
    expect(await files(bucket)).toEqual({ a: "1" });
  });

  test.each(["bad_token", "key_locked", "missing_blocks", "no_grant", "over_quota", "wallet_not_allowed"] as const)(
    "with %s leaves the epoch unpublished with the reason, until it accepts the epoch",
    async (code) => {
      const { remote, bucket, me } = await world();
      const base = await root(bucket);
      const refuse = async () => {
        throw new SynclineError(code, "No.");
      };
      for (const moment of ["beforeSwap", "beforePrepare"] as const) {
        remote[moment] = refuse;
        const outcome = await publish(me, 1, [born(2, "a", "1")], base);
        expect(outcome).toMatchObject({ kind: "unreachable", cause: { code } });
        remote[moment] = async () => {};
      }
      expect((await publish(me, 1, [born(2, "a", "1")], base)).kind).toBe("published");
    },
  );
});

describe("an epoch whose base is gone", () => {
  async function lostBase() {
    const { remote, bucket, me, other } = await world();
    await publish(other, 1, [
      { ino: 2, names: [[1, "d"]], type: "directory" },
      { ino: 3, names: [[2, "f"]], bytes: bytes("old") },
      born(4, "g", "old g"),
    ]);
    const base = await root(bucket);
    const tree = base.commit.body.tree;
    const [d, f, g] = await Promise.all(
      [["d"], ["d", "f"], ["g"]].map((path) => resolvePath(nodesOf(bucket), tree, path.map(name))),
    );
    if (d === undefined || f === undefined || g === undefined) throw new Error("the base is incomplete");
    return { remote, bucket, me, other, base, d, f, g };
  }

  async function loseBase(remote: MemoryRemote, base: CurrentRoot): Promise<Bucket> {
    remote.blocks.held.delete(base.commit.cid);
    remote.blocks.held.delete(base.commit.body.tree);
    return openBucket(remote);
  }

  test("is merged from the rows that the overlay kept", async () => {
    const { remote, me, other, base, g } = await lostBase();
    await publish(other, 2, [{ ino: 4, base: g, names: [[1, "moved"]] }], base);
    await dropKept(other, [base.commit.body.seq]);
    const bucket = await loseBase(remote, base);
    const outcome = await publish(
      { ...me, bucket },
      1,
      [{ ino: 4, base: g, names: [[1, "g"]], bytes: bytes("new g") }],
      base,
    );
    expect(outcome).toMatchObject({ kind: "published", epoch: { base: { changes: undefined } } });
    expect(await files(bucket)).toEqual({ d: "dir", "d/f": "old", moved: "new g" });
  });

  test("is merged the same way if a cache still has a base that the bucket no longer retains", async () => {
    const { remote, me, other, base, g } = await lostBase();
    await publish(other, 2, [{ ino: 4, base: g, names: [[1, "moved"]] }], base);
    await dropKept(other, [base.commit.body.seq]);
    const bucket = await openBucket(remote);
    const edits: ObjectEdit[] = [{ ino: 4, base: g, names: [[1, "g"]], bytes: bytes("new g") }];
    const outcome = await publish({ ...me, bucket }, 1, edits, base);
    expect(outcome).toMatchObject({ kind: "published", epoch: { base: { changes: undefined } } });
    expect(await files(bucket)).toEqual({ d: "dir", "d/f": "old", moved: "new g" });
  });

  test("moves files of lost directories to the root directory", async () => {
    const { remote, me, other, base, d, f } = await lostBase();
    await publish(
      other,
      2,
      [
        { ino: 2, base: d, names: [] },
        { ino: 3, base: f, names: [] },
      ],
      base,
    );
    await dropKept(other, [base.commit.body.seq]);
    const bucket = await loseBase(remote, base);
    const edits: ObjectEdit[] = [
      { ino: 3, base: f, names: [[2, "f"]], bytes: bytes("edited") },
      { ino: 9, names: [[2, "g"]], bytes: bytes("born") },
    ];
    const { changes, data } = epochOf({ commit: base.commit.cid, seq: base.commit.body.seq }, 1, edits, { 2: d.id });
    expect((await publishEpoch({ ...me, bucket }, changes, data)).kind).toBe("published");
    const found = await files(bucket);
    expect(Object.values(found).sort()).toEqual(["born", "edited", "old g"]);
    expect(found["f"]).toBe("edited");
  });

  test("fails when the bucket still retains the base but its blocks are missing", async () => {
    const { remote, bucket, me, other, base, g } = await lostBase();
    await publish(other, 2, [born(9, "new", "n")], base);
    remote.blocks.held.delete(base.commit.body.tree);
    await expect(
      publish(
        { ...me, bucket: await openBucket(remote) },
        1,
        [{ ino: 4, base: g, names: [[1, "g"]], bytes: bytes("x") }],
        base,
      ),
    ).rejects.toMatchObject({ code: "block_not_found" });
    expect((await root(bucket)).commit.body.seq).toBe(3);
  });
});
