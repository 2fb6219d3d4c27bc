/** What is durable on the disk before the database records it. */
import { expect, test } from "vitest";
import { path, type SyncedFolder, settle, twoFolders } from "../../../support/sync-world.ts";

interface Recorded {
  /** Paths whose attributes were not durable when the database recorded what had been done. */
  readonly early: Set<string>;
  /** How often everything was made durable at once. */
  together: number;
}

/** Notes what a power failure right after a transaction would undo. A directory's own time does not count. */
function watched({ disk, db }: SyncedFolder, canSyncAll: boolean): Recorded {
  const recorded: Recorded = { early: new Set(), together: 0 };
  const pending = new Map<string, string>();
  const { setMode, setXattrs, setModified, create, read, syncDirectory } = disk;
  const { transaction } = db;
  const changed = async (at: readonly string[], isTime: boolean) => {
    const type = (await disk.look(path(at.join("/"))))?.type;
    if (!isTime || type !== "directory") pending.set(at.join("/"), type === "symlink" ? at.slice(0, -1).join("/") : "");
  };
  const synced = (text: string) => {
    for (const [at, above] of pending) if (at === text || (above !== "" && above === text)) pending.delete(at);
  };
  disk.setMode = async (at, mode) => {
    await setMode.call(disk, at, mode);
    await changed(at, false);
  };
  disk.setXattrs = async (at, xattrs) => {
    await setXattrs.call(disk, at, xattrs);
    await changed(at, false);
  };
  disk.setModified = async (at, mtimeNs) => {
    await setModified.call(disk, at, mtimeNs);
    await changed(at, true);
  };
  for (const [name, open] of Object.entries({ create, read }))
    Object.assign(disk, {
      [name]: async (at: ReturnType<typeof path>) => {
        return { ...(await open.call(disk, at)), sync: async () => synced(at.join("/")) };
      },
    });
  disk.syncDirectory = async (at) => {
    await syncDirectory.call(disk, at);
    synced(at.join("/"));
  };
  const syncAll = async () => {
    recorded.together++;
    if (!canSyncAll) throw Object.assign(new Error("ENOTSUP"), { code: "ENOTSUP" });
    pending.clear();
  };
  Object.assign(disk, { syncAll });
  db.transaction = (work, told) =>
    transaction.call(
      db,
      async () => {
        const result = await work();
        for (const at of pending.keys()) recorded.early.add(at);
        return result;
      },
      told,
    ) as never;
  return recorded;
}

test.each([
  ["few", 3, true, 0],
  ["many at once", 40, true, 2],
  ["many, one by one where the disk cannot do it at once", 40, false, 2],
])("attributes are durable before they count as synced: %s", async (_, count, canSyncAll, together) => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("in"));
  for (let each = 0; each < count; each++) a.disk.write(path(`in/known${each}`), "text");
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  const recorded = watched(b, canSyncAll);
  for (let each = 0; each < count; each++) {
    a.disk.make(path(`made${each}`));
    a.disk.write(path(`made${each}/f`), "text");
    a.disk.chmod(path(`in/known${each}`), 0o600);
  }
  await a.disk.makeSymlink(path("in/link"), "known0");
  await a.sync();
  await b.sync();
  expect((await b.disk.look(path("made0")))?.mode).toBe(0o755);
  expect((await b.disk.look(path("in/known0")))?.mode).toBe(0o600);
  expect([[...recorded.early], recorded.together]).toEqual([[], together]);
});

test("attributes of what cannot be opened are durable before they count as synced", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("secret"), "text");
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  a.disk.chmod(path("secret"), 0);
  await a.sync();
  const recorded = watched(b, true);
  const { read } = b.disk;
  b.disk.read = async (at) => {
    if (at[0] === "secret") throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    return read.call(b.disk, at);
  };
  await b.sync();
  expect([(await b.disk.look(path("secret")))?.mode, [...recorded.early]]).toEqual([0, []]);
});

test("what is replaced by a directory before its attributes are durable does not fail the pass", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("shared"), "text");
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  a.disk.chmod(path("shared"), 0o600);
  await a.sync();
  const { read } = b.disk;
  b.disk.read = async (at) => {
    if (at[0] === "shared") throw Object.assign(new Error("EISDIR"), { code: "EISDIR" });
    return read.call(b.disk, at);
  };
  await b.sync();
  expect((await b.disk.look(path("shared")))?.mode).toBe(0o600);
});
