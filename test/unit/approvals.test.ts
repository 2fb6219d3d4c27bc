/** Which deletions a person approved, as the history tells it. */
import { expect, test } from "vitest";
import type { FileId, Lamport } from "../../src/base/ids.ts";
import { approvedDeletions } from "../../src/bucket/approvals.ts";
import type { VerifiedCommit } from "../../src/bucket/verified-commit.ts";
import { NodeStore } from "../../src/tree/node-store.ts";
import { path, removeUnasked, syncWorld, type SyncedFolder } from "../support/sync-world.ts";

const NAMES = Array.from({ length: 150 }, (_, each) => `${each}.bin`);

/** A bucket with 150 files, and the names that the folder has of them. */
async function filled() {
  const world = await syncWorld(1);
  const [folder] = world.folders as [SyncedFolder];
  const fill = async () => {
    for (const name of NAMES) folder.disk.write(path(name), name);
    await folder.sync();
    folder.disk.tick(3_000_000_000n);
    return [...folder.db.entries()];
  };
  const head = async () => (await world.bucket.head()).commit;
  const approvedIn = (commit: VerifiedCommit, deleted: Awaited<ReturnType<typeof fill>>, after = 0) =>
    approvedDeletions(
      world.bucket,
      new NodeStore(world.bucket.blocks, { capacityBytes: 1 << 20 }),
      commit,
      after as Lamport,
      deleted,
    );
  const removeApproved = async () => {
    for (const name of NAMES) folder.disk.remove(path(name));
    await folder.sync({ allowDeletes: (await folder.sync()).held?.digest });
  };
  return { folder, fill, head, approvedIn, removeApproved };
}

test("what each approved commit deleted is approved, and only after the root that was asked for", async () => {
  const { fill, head, approvedIn, removeApproved } = await filled();
  const first = await fill();
  await removeApproved();
  const between = (await head()).body.seq;
  const second = await fill();
  await removeApproved();
  const all = new Set<FileId>([...first, ...second].map(({ id }) => id));
  expect(await approvedIn(await head(), [...first, ...second])).toEqual(all);
  expect(await approvedIn(await head(), [...first, ...second], between)).toEqual(new Set(second.map(({ id }) => id)));
});

test("a commit that names another as approved approves nothing", async () => {
  const { folder, fill, head, approvedIn } = await filled();
  const deleted = await fill();
  await removeUnasked(folder, NAMES);
  const commit = await head();
  folder.disk.write(path("later.bin"), "later");
  await folder.sync();
  const later = await head();
  const forged = { ...later, body: { ...later.body, approved: commit.body.seq } };
  expect((await approvedIn(forged, deleted)).size).toBe(0);
});
