import { expect, test } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import { HeldEpoch } from "../../../../src/agent/publishing/held-epoch.ts";
import { epochOf } from "../../../support/epochs.ts";
import { createBucket } from "../../../support/test-bucket.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";

const NO_ROOM = {
  kind: "unreachable",
  cause: new SynclineError("over_quota", "There is no room."),
  figures: { attempts: 0, requests: 0, uploadedBytes: 0, uploadedBlocks: 0, blocksRead: 0 },
} as const;

/** An epoch that is noted before its upload, and refused for lack of room. `attempts`: how often the publish began. */
async function refused(attempts: number) {
  const { commit } = await (await createBucket(new MemoryRemote())).head();
  const base = { commit: commit.cid, seq: commit.body.seq };
  const sealed: boolean[] = [];
  const { changes } = epochOf(base, 1, [{ ino: 2, names: [[1, "f"]], bytes: Buffer.from("f") }]);
  const overlay = {
    seal: async (anew: boolean) => {
      sealed.push(anew);
      return changes;
    },
  };
  const held = new HeldEpoch({ overlay, root: async () => base.commit, held: false });
  await held.seal();
  for (let at = 0; at < attempts; at++) {
    held.begun();
    held.sending();
  }
  await held.tried(NO_ROOM);
  return { waitsForRoom: held.waitsForRoom, sealedAnew: sealed.includes(true) };
}

test("a refused epoch loses its note, unless an attempt before that one may have sent a swap", async () => {
  expect(await refused(1)).toEqual({ waitsForRoom: true, sealedAnew: true });
  expect(await refused(2)).toEqual({ waitsForRoom: false, sealedAnew: false });
});
