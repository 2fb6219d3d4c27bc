/** A commit in the middle of the history is lost or damaged: what is older stays within reach, and nobody is told lies. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import type { Cid } from "../../../src/base/ids.ts";
import { nameFromText } from "../../../src/base/names.ts";
import { VerifiedReader } from "../../../src/blocks/verified-reader.ts";
import { Bucket } from "../../../src/bucket/bucket.ts";
import { findCommit } from "../../../src/bucket/find-commit.ts";
import { history, isGap, log } from "../../../src/bucket/history.ts";
import { pathHistory } from "../../../src/bucket/path-history.ts";
import { openWriter } from "../../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../../src/bucket/writer/file-source.ts";
import { NodeStore } from "../../../src/tree/node-store.ts";
import { Timeline } from "../../../src/vfs/history/timeline.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { createBucket, newWriter } from "../../support/test-bucket.ts";

const DAY_NS = 86_400_000_000_000n;
const START_NS = 1_790_000_000_000_000_000n;
const NOTES = [nameFromText("notes.txt")];

/** The bucket's first commit is empty; each later one, a day after the one before, changes notes.txt. */
async function world(commits: number) {
  const remote = new MemoryRemote();
  let nowNs = START_NS;
  const clock = { ...systemClock, nowNs: () => nowNs };
  const context = await newWriter(await createBucket(remote, 1, clock), 2);
  for (let epoch = 1; epoch < commits; epoch++) {
    nowNs += DAY_NS;
    await using writer = await openWriter({ ...context, clock }, epoch);
    await writer.putFile(NOTES, sourceOfBytes(Buffer.alloc(epoch)), { mode: 0o644, uid: 0, gid: 0 });
    expect((await writer.publish()).kind).toBe("published");
  }
  // Opened anew: a bucket remembers commits.
  const opened = () => Bucket.open(remote, { blocks: new VerifiedReader(remote.blocks) });
  const line: Cid[] = [];
  const sound = await opened();
  const { commit: head } = await sound.head();
  for await (const { cid, body } of log(sound, head)) line[body.seq] = cid;
  const at = (seq: number) => line[seq] ?? ("" as Cid);
  return {
    head,
    at,
    harm(cid: Cid, how: "lost" | "damaged") {
      const { held } = remote.blocks;
      const bytes = held.get(cid) ?? new Uint8Array();
      if (how === "lost") held.delete(cid);
      else held.set(cid, bytes.with(bytes.length - 10, (bytes.at(-10) ?? 0) ^ 1));
    },
    async told() {
      const bucket = await opened();
      const items: string[] = [];
      for await (const item of history(bucket, head))
        items.push(isGap(item) ? `${item.seq} ${item.lost === undefined ? "unknown" : "lost"}` : `${item.body.seq}`);
      return items;
    },
    async toldOfNotes() {
      const bucket = await opened();
      const items: string[] = [];
      const nodes = new NodeStore(bucket.blocks, { capacityBytes: 1 << 20 });
      for await (const item of pathHistory(bucket, nodes, head, NOTES))
        items.push(isGap(item) ? `${item.seq} lost` : `${item.commit.body.seq} ${item.kind}`);
      return items;
    },
    /** What `--at` finds: for a root, or for the time of a commit and so many hours later. */
    async found(what: number | Cid, hours = 0) {
      const timeMs = (seq: number) => Number((START_NS + BigInt(seq - 1) * DAY_NS) / 1_000_000n);
      const text = typeof what === "string" ? what : new Date(timeMs(what) + hours * 3_600_000).toISOString();
      return (await findCommit(await opened(), head, text, clock)).body.seq;
    },
    async timeline() {
      const bucket = await opened();
      const chain = new Timeline(bucket).chain(head.cid);
      while (!chain.isComplete) await chain.extend();
      return chain.roots.map(({ commit }) => line.indexOf(commit));
    },
  };
}

describe.each(["lost", "damaged"] as const)("behind a %s commit", (how) => {
  test("the history goes on and reports the gap", async () => {
    const { at, harm, told, toldOfNotes } = await world(9);
    harm(at(7), how);
    expect(await told()).toEqual(["9", "8", "7 lost", "6", "5", "4", "3", "2", "1"]);
    expect(await toldOfNotes()).toEqual([
      "9 changed",
      "8 changed",
      "7 lost",
      "6 changed",
      "5 changed",
      "4 changed",
      "3 changed",
      "2 created",
    ]);
  });

  test("a .history has all other roots", async () => {
    const { at, harm, timeline } = await world(9);
    harm(at(7), how);
    expect(await timeline()).toEqual([9, 8, 6, 5, 4, 3, 2, 1]);
  });

  test("an older root is found by its time, but not one that may have had a successor at that time", async () => {
    const { at, harm, found } = await world(9);
    harm(at(7), how);
    expect([await found(8), await found(6), await found(5, 12), await found(4)]).toEqual([8, 6, 5, 4]);
    const hint = expect.stringMatching(new RegExp(`syncline verify --repair.*${at(6)}`));
    for (const [seq, hours] of [
      [7, 0],
      [7, 12],
      [6, 12],
    ] as const) {
      const message = expect.stringContaining(at(7));
      await expect(found(seq, hours)).rejects.toMatchObject({ code: "block_not_found", message, hint });
    }
    await expect(found(0)).rejects.toMatchObject({
      code: "block_not_found",
      message: expect.stringMatching(/can be read/),
    });
    expect(await found(at(6))).toBe(6);
    await expect(found(at(7))).rejects.toMatchObject({
      code: "block_not_found",
      message: expect.stringContaining("lost or damaged"),
      hint: expect.stringContaining("syncline verify --repair"),
    });
  });

  test("the oldest readable version of a file is not called its creation", async () => {
    const { at, harm, toldOfNotes, found } = await world(4);
    harm(at(1), how);
    harm(at(2), how);
    expect(await toldOfNotes()).toEqual(["4 changed", "3 seen", "2 lost", "1 lost"]);
    await expect(found(1)).rejects.toMatchObject({ code: "block_not_found" });
  });

  test("the history ends with a gap where the list of roots cannot be read either", async () => {
    const { head, at, harm, told, toldOfNotes, found, timeline } = await world(9);
    harm(head.body.kept, how);
    expect((await told()).join(" ")).toBe("9 8 7 6 5 4 3 2 1");
    harm(at(7), how);
    expect(await told()).toEqual(["9", "8", "7 unknown"]);
    expect(await toldOfNotes()).toEqual(["9 changed", "8 seen", "7 lost"]);
    expect(await timeline()).toEqual([9, 8]);
    await expect(found(4)).rejects.toMatchObject({ code: "block_not_found" });
    expect(await found(at(8))).toBe(8);
  });
});
