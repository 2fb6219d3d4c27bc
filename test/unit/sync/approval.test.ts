/** Mass deletions of a synced folder: one approval is enough for every machine, and everything else is synced while they wait. */
import { describe, expect, test } from "vitest";
import {
  bucketTree,
  path,
  settle,
  syncWorld,
  twoFolders,
  type SyncedFolder,
  type SyncWorld,
} from "../../support/sync-world.ts";

type Three = readonly [SyncedFolder, SyncedFolder, SyncedFolder];

/** Three folders with 120 files in `d`, and one beside it. */
async function threeFolders(): Promise<{ world: SyncWorld; three: Three }> {
  const world = await syncWorld(3);
  const three = world.folders as unknown as Three;
  const [a] = three;
  a.disk.make(path("d"));
  for (let each = 0; each < 120; each++) a.disk.write(path(`d/${each}.bin`), `${each}`);
  a.disk.write(path("beside.bin"), "beside");
  await settle(world);
  for (const { disk } of three) disk.tick(3_000_000_000n);
  return { world, three };
}

/** Deletes `d` in a folder, and approves that. */
async function deleteApproved(folder: SyncedFolder): Promise<void> {
  folder.disk.remove(path("d"));
  const { held } = await folder.sync();
  expect((await folder.sync({ allowDeletes: held?.digest })).held).toBeUndefined();
}

const names = ({ disk }: SyncedFolder) => [...disk.tree().keys()].sort();

describe("an approved mass deletion", () => {
  test("is followed by the other folders without approval of their own", async () => {
    const { world, three } = await threeFolders();
    const [a, b, c] = three;
    await deleteApproved(a);
    for (const folder of [b, c]) {
      const { held, applied } = await folder.sync();
      expect([held, applied.removed, names(folder)]).toEqual([undefined, 121, ["beside.bin"]]);
    }
    await settle(world);
    expect([...(await bucketTree(world.bucket)).keys()]).toEqual(["beside.bin"]);
  });

  test("is followed even after later commits and another approved deletion", async () => {
    const { world, three } = await threeFolders();
    const [a, b, c] = three;
    await deleteApproved(a);
    await b.sync();
    for (let each = 0; each < 5; each++) {
      b.disk.write(path(`later ${each}.bin`), `${each}`);
      await b.sync();
    }
    b.disk.make(path("e"));
    for (let each = 0; each < 200; each++) b.disk.write(path(`e/${each}.bin`), `${each}`);
    await b.sync();
    b.disk.remove(path("e"));
    await b.sync({ allowDeletes: (await b.sync()).held?.digest });
    expect((await c.sync()).held).toBeUndefined();
    await settle(world);
    expect(names(c)).toEqual(names(a));
    expect(names(c)).toHaveLength(6);
  });

  test("keeps files that others edited or added in the deleted folder, everywhere", async () => {
    const { world, three } = await threeFolders();
    const [a, b, c] = three;
    b.disk.write(path("d/7.bin"), "edited");
    b.disk.write(path("d/new.bin"), "new");
    await deleteApproved(a);
    await settle(world);
    for (const folder of [a, b, c]) expect(names(folder)).toEqual(["beside.bin", "d", "d/7.bin", "d/new.bin"]);
    expect(c.disk.tree().get("d/7.bin")).toBe("edited");
  });

  test("is not implied by deletions that stay below the limit one by one", async () => {
    const { three } = await threeFolders();
    const [a, b, c] = three;
    // Below the limit each time, by itself.
    for (const part of [0, 1, 2]) {
      for (let each = part * 40; each < part * 40 + 40; each++) a.disk.remove(path(`d/${each}.bin`));
      expect((await a.sync()).held).toBeUndefined();
    }
    expect((await b.sync()).held?.files).toBe(120);
    expect((await c.sync()).held?.files).toBe(120);
    expect(names(c)).toHaveLength(122);
  });

  test("needs approval again where its commit is missing from the history", async () => {
    const { world, three } = await threeFolders();
    const [a, , c] = three;
    await deleteApproved(a);
    const { cid, body } = (await world.bucket.head()).commit;
    expect(body.approved).toBe(body.seq);
    a.disk.write(path("later.bin"), "later");
    await a.sync();
    world.remote.blocks.held.delete(cid);
    expect((await c.sync()).held?.files).toBe(120);
  });
});

describe("while a local deletion waits for approval", () => {
  test("everything else syncs both ways, and the bucket keeps the missing files", async () => {
    const { world, three } = await threeFolders();
    const [a, b] = three;
    a.disk.remove(path("d"));
    a.disk.write(path("beside.bin"), "edited");
    a.disk.write(path("mine.bin"), "mine");
    b.disk.write(path("theirs.bin"), "theirs");
    await b.sync();
    const { held, local } = await a.sync();
    expect([held?.files, held?.where, local.map(({ action }) => action).sort()]).toEqual([
      120,
      "bucket",
      ["added", "changed"],
    ]);
    await b.sync();
    const tree = await bucketTree(world.bucket);
    expect([tree.size, tree.get("d/7.bin"), tree.get("beside.bin")]).toEqual([124, "7", "edited"]);
    expect(names(a)).toEqual(["beside.bin", "mine.bin", "theirs.bin"]);
    expect(names(b)).toHaveLength(124);
    // It is not asked for anew, though there are more files by now.
    const again = await a.sync();
    expect([again.held, again.local, again.applied.files]).toEqual([held, [], 0]);
    await a.sync({ allowDeletes: held?.digest });
    await settle(world);
    expect(names(b)).toEqual(["beside.bin", "mine.bin", "theirs.bin"]);
  });

  test("many new files do not lift the hold", async () => {
    const { three } = await threeFolders();
    const [a, b] = three;
    a.disk.remove(path("d"));
    const { held } = await a.sync();
    for (let each = 0; each < 300; each++) a.disk.write(path(`${each}.new`), `${each}`);
    for (let each = 0; each < 300; each++) b.disk.write(path(`${each}.theirs`), `${each}`);
    await b.sync();
    for (let pass = 0; pass < 3; pass++) expect((await a.sync()).held).toEqual(held);
    expect((await b.sync()).held).toBeUndefined();
    expect(b.disk.tree().has("d/7.bin")).toBe(true);
  });

  test("another file under a missing name waits too", async () => {
    const { world, three } = await threeFolders();
    const [a, b] = three;
    a.disk.remove(path("d"));
    a.disk.move(path("beside.bin"), path("d"));
    const { held, local } = await a.sync();
    expect([held?.files, local]).toEqual([120, []]);
    await b.sync();
    expect(b.disk.tree().get("beside.bin")).toBe("beside");
    await a.sync({ allowDeletes: held?.digest });
    await settle(world);
    expect([b.disk.tree().get("d"), names(b)]).toEqual(["beside", ["d"]]);
  });

  test("files that come back no longer wait", async () => {
    const { world, three } = await threeFolders();
    const [a, b] = three;
    a.disk.move(path("d"), [...path(".syncline"), ...path("away")] as never);
    expect((await a.sync()).held?.files).toBe(120);
    a.disk.move([...path(".syncline"), ...path("away")] as never, path("d"));
    expect((await a.sync()).held).toBeUndefined();
    await settle(world);
    expect(names(b)).toHaveLength(122);
  });

  test("files that others edited survive the approval", async () => {
    const { world, three } = await threeFolders();
    const [a, b, c] = three;
    a.disk.remove(path("d"));
    await a.sync();
    b.disk.write(path("d/7.bin"), "edited");
    await b.sync();
    const { held } = await a.sync();
    expect(held?.files).toBe(120);
    await a.sync({ allowDeletes: held?.digest });
    await settle(world);
    for (const folder of [a, b, c]) expect(names(folder)).toEqual(["beside.bin", "d", "d/7.bin"]);
    expect(a.disk.tree().get("d/7.bin")).toBe("edited");
  });

  test("another machine's approval of the same deletion ends the wait", async () => {
    const { world, three } = await threeFolders();
    const [a, b] = three;
    b.disk.remove(path("d"));
    expect((await b.sync()).held?.files).toBe(120);
    await deleteApproved(a);
    // So that the agent looks again.
    expect((await b.sync()).applied.removed).toBe(121);
    expect((await b.sync()).held).toBeUndefined();
    await settle(world);
  });
});

describe("while deletions from the bucket wait for approval in a folder", () => {
  /** Nobody approved these: each commit is below the limit. */
  async function held() {
    const { world, three } = await threeFolders();
    const [a, b] = three;
    for (const part of [0, 1, 2]) {
      for (let each = part * 40; each < part * 40 + 40; each++) a.disk.remove(path(`d/${each}.bin`));
      await a.sync();
    }
    a.disk.remove(path("d"));
    await a.sync();
    const { held: waits } = await b.sync();
    expect([waits?.files, waits?.where]).toEqual([120, "folder"]);
    b.disk.tick(3_000_000_000n);
    return { world, a, b, waits };
  }

  test("everything else syncs both ways, and held files are not uploaded again", async () => {
    const { world, a, b, waits } = await held();
    a.disk.write(path("theirs.bin"), "theirs");
    a.disk.write(path("beside.bin"), "edited");
    await a.sync();
    b.disk.write(path("mine.bin"), "mine");
    for (let pass = 0; pass < 3; pass++) expect((await b.sync()).held).toEqual(waits);
    await a.sync();
    expect(names(a)).toEqual(["beside.bin", "mine.bin", "theirs.bin"]);
    expect([b.disk.tree().get("beside.bin"), names(b).length]).toEqual(["edited", 124]);
    await b.sync({ allowDeletes: waits?.digest });
    await settle(world);
    expect(names(b)).toEqual(names(a));
  });

  test("files edited or created among the held ones are published", async () => {
    const { world, a, b } = await held();
    b.disk.write(path("d/7.bin"), "edited");
    b.disk.write(path("d/new.bin"), "new");
    const { held: waits, local } = await b.sync();
    expect([waits?.files, local.length > 0]).toEqual([119, true]);
    await a.sync();
    expect(names(a)).toEqual(["beside.bin", "d", "d/7.bin", "d/new.bin"]);
    await b.sync({ allowDeletes: waits?.digest });
    await settle(world);
    expect(names(b)).toEqual(names(a));
  });

  test("a file for a held name arrives once the name is free", async () => {
    const { world, a, b, waits } = await held();
    a.disk.move(path("beside.bin"), path("d"));
    await a.sync();
    a.disk.write(path("beside.bin"), "another");
    await a.sync();
    expect((await b.sync()).held).toEqual(waits);
    expect([b.disk.tree().get("beside.bin"), b.disk.tree().get("d")]).toEqual(["beside", "dir"]);
    await b.sync({ allowDeletes: waits?.digest });
    await settle(world);
    expect(b.disk.tree()).toEqual(a.disk.tree());
  });
});

test("ignored files do not raise the limit", async () => {
  const { world, a, b } = await twoFolders();
  for (const name of ["archive", "p"]) b.disk.make(path(name));
  for (let each = 0; each < 150; each++) {
    b.disk.write(path(`archive/${each}`), `${each}`);
    b.disk.write(path(`p/${each}`), `${each}`);
  }
  await settle(world);
  a.disk.write(path(".synclineignore"), "/archive/\n");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.remove(path("p"));
  expect((await a.sync()).held?.files).toBe(150);
});
