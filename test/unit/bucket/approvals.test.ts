/** Which deletions a person approved, as the history tells it. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { nameToText } from "../../../src/base/names.ts";
import type { FileId, Lamport } from "../../../src/base/ids.ts";
import { approvedDeletions } from "../../../src/bucket/approvals.ts";
import type { VerifiedCommit } from "../../../src/bucket/verified-commit.ts";
import { NodeStore } from "../../../src/tree/node-store.ts";
import { path, removeUnasked, syncWorld, type SyncedFolder } from "../../support/sync-world.ts";

const NAMES = Array.from({ length: 150 }, (_, each) => `${each}.bin`);

/** A bucket with 150 files, and the names that the folder has of them. */
async function filled() {
  const world = await syncWorld(1);
  const [folder] = world.folders as [SyncedFolder];
  const fill = async (names = NAMES) => {
    for (const name of names) folder.disk.write(path(name), name);
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
  /** Whether that had to be approved, and was. */
  const remove = async (names: readonly string[]) => {
    for (const name of names) folder.disk.remove(path(name));
    const { held } = await folder.sync();
    if (held !== undefined) await folder.sync({ allowDeletes: held.digest });
    return held !== undefined;
  };
  const removeApproved = () => remove(NAMES);
  return { remove, folder, fill, head, approvedIn, removeApproved };
}

test("deletions by approved commits are approved, counting only commits after the given root", async () => {
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

test("an approval covers one deletion: files that came back need a new approval when deleted again", async () => {
  const { folder, fill, head, approvedIn, removeApproved } = await filled();
  const first = await fill();
  await removeApproved();
  const again = await fill();
  expect(again.map(({ id }) => id).sort()).toEqual(first.map(({ id }) => id).sort());
  await removeUnasked(folder, NAMES.slice(0, 100));
  const approved = await approvedIn(await head(), first);
  expect(approved.size).toBe(0);
});

/** What happens to all files, or to some of them. */
const anyAction = fc.oneof(
  fc.record({ what: fc.constantFrom("fill" as const, "unasked" as const), from: fc.nat(5) }),
  fc.record({ what: fc.constantFrom("approved" as const, "other" as const), from: fc.constant(0) }),
);

test("the last deletion of a deleted file decides, whatever happened before", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyAction, { maxLength: 8 }), async (actions) => {
      const { folder, fill, head, approvedIn, remove } = await filled();
      const known = await fill();
      /** By name: there, or how the last deletion was. */
      const state = new Map(NAMES.map((name) => [name, "there"]));
      for (const [index, { what, from }] of actions.entries()) {
        const names = NAMES.slice(from * 30);
        if (what === "other") {
          folder.disk.write(path("other.bin"), `${index}`);
          await folder.sync();
        } else if (what === "fill") {
          await fill(names);
          for (const name of names) state.set(name, "there");
        } else {
          const gone = names.filter((name) => state.get(name) === "there");
          const asked = what === "approved" && (await remove(gone));
          if (what === "unasked") await removeUnasked(folder, gone);
          for (const name of gone) state.set(name, asked ? "approved" : "unasked");
        }
        folder.disk.tick(3_000_000_000n);
      }
      const entries = known.filter(({ name }) => state.get(nameToText(name)) !== "there");
      const approved = await approvedIn(await head(), entries);
      const expected = entries.filter(({ name }) => state.get(nameToText(name)) === "approved");
      expect(approved).toEqual(new Set(expected.map(({ id }) => id)));
    }),
    { numRuns: 6 },
  );
}, 120_000);

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
