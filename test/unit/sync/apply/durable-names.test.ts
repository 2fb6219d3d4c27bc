/** Which directories are durable on the disk before the database records what changed in them. */
import { expect, test } from "vitest";
import type { MemorySyncDisk } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import { path, settle, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

interface Recorded {
  /** Directories whose names had changed, but were not durable, when the database recorded that. */
  readonly early: Set<string>;
  /** How often everything was made durable at once. */
  together: number;
}

/** Notes what a power failure right after a transaction would undo. `closed`: a directory that cannot be opened. */
function watched({ disk, db }: SyncedFolder, closed?: string): Recorded {
  const recorded: Recorded = { early: new Set(), together: 0 };
  const pending = new Set<string>();
  const { rename, syncDirectory } = disk;
  const { transaction } = db;
  const changed = (at: readonly string[]) => void pending.add(at.slice(0, -1).join("/"));
  disk.rename = async (from, to, how) => {
    await rename.call(disk, from, to, how);
    changed(from);
    changed(to);
  };
  disk.syncDirectory = async (at) => {
    if (at.join("/") === closed) throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    await syncDirectory.call(disk, at);
    pending.delete(at.join("/"));
  };
  const syncAll = async () => {
    recorded.together++;
    pending.clear();
  };
  Object.assign(disk, { syncAll });
  db.transaction = (work, told) =>
    transaction.call(
      db,
      async () => {
        const result = await work();
        for (const at of pending) recorded.early.add(at);
        return result;
      },
      told,
    ) as never;
  return recorded;
}

test.each<[string, (disk: MemorySyncDisk) => void]>([
  [
    "makes room for something else",
    (disk) => {
      disk.remove(path("f"));
      disk.make(path("f"));
    },
  ],
  ["is removed", (disk) => disk.remove(path("f"))],
])("a file that %s is durably out of sight before the database records it", async (_, change) => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("f"), "f");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  change(a.disk);
  await a.sync();
  const recorded = watched(b);
  await b.sync();
  expect(b.disk.tree()).toEqual(a.disk.tree());
  expect([...recorded.early]).toEqual([]);
});

test("names in a directory that cannot be opened are durable before the database records them", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("closed"));
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("closed/new"), "new");
  await a.sync();
  const recorded = watched(b, "closed");
  await b.sync();
  expect(b.disk.tree().get("closed/new")).toBe("new");
  expect([...recorded.early]).toEqual([]);
});

test("a directory that is removed does not make the whole filesystem be written out", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("d"));
  a.disk.write(path("d/f"), "f");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.remove(path("d"));
  await a.sync();
  const recorded = watched(b);
  await b.sync();
  expect([[...b.disk.tree()], recorded.together]).toEqual([[], 0]);
});
