/** What a scan tells of a folder in which most is as it was. */
import { expect, test } from "vitest";
import type { FileName } from "../../../../src/base/ids.ts";
import { countNew } from "../../../../src/sync/scan/count-new.ts";
import { hasStat, type DiskStat } from "../../../../src/sync/disk/disk.ts";
import { NO_RULES, parseRules } from "../../../../src/sync/scan/ignore-rules.ts";
import { match } from "../../../../src/sync/scan/match.ts";
import { walk } from "../../../../src/sync/scan/walk.ts";
import { bucketTree, settle, settledTree, path, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

/** Two folders with two directories, `d` in `c`, and two files in each of them. */
async function settled() {
  const { world, a, b } = await twoFolders();
  for (const directory of ["c", "c/d"]) a.disk.make(path(directory));
  for (const file of ["c/1", "c/2", "c/d/1", "c/d/2"]) a.disk.write(path(file), file);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  return { world, a, b };
}

/** Paths that a scan tells of, and its objects that were found. */
async function told({ disk, db }: SyncedFolder, rules = NO_RULES): Promise<string[]> {
  const matching = match(db, await walk(disk, rules, db), { now: rules, last: rules });
  const found = matching.objects.flatMap((object) => object.found.map((each) => each.path.join("/")));
  const gone = matching.objects.filter((object) => object.found.length + object.kept.length === 0);
  return [...found, ...gone.map(({ entries }) => `${entries[0]?.name} is gone`)].filter(
    (each) => !each.startsWith(".syncline"),
  );
}

test("a scan of an unchanged folder lists only directories", async () => {
  const { a } = await settled();
  expect(await told(a)).toEqual(["c", "c/d"]);
});

test("a scan lists everything in a directory in which something changed", async () => {
  const { a } = await settled();
  a.disk.write(path("c/d/1"), "edited");
  expect(await told(a)).toEqual(["c", "c/d", "c/d/1", "c/d/2"]);
});

test("a scan lists what is new and what is gone", async () => {
  const { a } = await settled();
  a.disk.remove(path("c/d/1"));
  a.disk.write(path("c/3"), "new");
  expect((await told(a)).sort()).toEqual(["1 is gone", "c", "c/1", "c/2", "c/3", "c/d", "c/d/2"]);
});

test("a scan lists the contents of a moved directory", async () => {
  const { a } = await settled();
  a.disk.move(path("c/d"), path("d"));
  expect((await told(a)).sort()).toEqual(["c", "c/1", "c/2", "d", "d/1", "d/2"]);
});

test("a scan lists the contents of a new directory that took a moved one's name", async () => {
  const { a } = await settled();
  a.disk.move(path("c/d"), path("c/e"));
  a.disk.make(path("c/d"));
  a.disk.write(path("c/d/1"), "new");
  expect((await told(a)).sort()).toEqual(["c", "c/1", "c/2", "c/d", "c/d/1", "c/e", "c/e/1", "c/e/2"]);
});

test("a scan lists a directory in which something is ignored since", async () => {
  const { a } = await settled();
  const rules = await parseRules("/c/d/1\n");
  expect((await told(a, rules)).sort()).toEqual(["c", "c/d", "c/d/2"]);
});

test("a scan lists all names of a hard-linked file, wherever something changed beside one of them", async () => {
  const { world, a } = await settled();
  await a.disk.link(path("c/1"), path("c/d/3"));
  await settle(world);
  a.disk.tick(3_000_000_000n);
  expect((await told(a)).sort()).toEqual(["c", "c/1", "c/2", "c/d", "c/d/1", "c/d/2", "c/d/3"]);
  a.disk.write(path("c/d/2"), "edited");
  const whole = await settledTree(world);
  expect([whole.get("c/1"), whole.get("c/d/3"), whole.get("c/d/2")]).toEqual(["c/1", "c/1", "edited"]);
});

test("a scan lists a hard-linked file even if the disk does not count its names", async () => {
  const { a } = await settled();
  const { disk, db } = a;
  const linked = [...db.entries()].filter(({ name }) => name === "1").slice(0, 1);
  const before = { looks: db.looks.bind(db), linkedIds: () => new Set(linked.map(({ id }) => id)) };
  const { settled: still } = await walk(disk, NO_RULES, before);
  expect([...still.keys()]).not.toContain(linked[0]?.parent);
  expect(still.size).toBe((await walk(disk, NO_RULES, db)).settled.size - 1);
});

/** Mounts something of the same device on one of the folder's paths. */
function mount({ disk }: SyncedFolder, text: string, root: Partial<DiskStat> = {}): Disposable {
  const { list } = disk;
  disk.list = async (at) => {
    const entries = await list.call(disk, at);
    return entries.map((entry) => {
      if (!hasStat(entry) || [...at, entry.name].join("/") !== text) return entry;
      return { name: entry.name, stat: { ...entry.stat, isMounted: true, ...root } };
    });
  };
  return { [Symbol.dispose]: () => void (disk.list = list) };
}

test.each([
  ["at once", Infinity],
  ["in portions", 2],
])("a new directory on which something is mounted is left out %s until it is unmounted", async (_, things) => {
  const { world, a } = await twoFolders();
  a.portion = { things, bytes: Infinity };
  for (const each of ["photos", "own"]) a.disk.make(path(each));
  for (const each of ["photos/1", "photos/2", "own/1", "own/2", "own/3"]) a.disk.write(path(each), each);
  using mounted = mount(a, "photos");
  expect((await a.sync()).notSynced.mounts).toEqual([path("photos")]);
  await settle(world);
  const whole = await bucketTree(world.bucket);
  expect([...whole.keys()].sort()).toEqual(["own", "own/1", "own/2", "own/3"]);
  mounted[Symbol.dispose]();
  expect([...(await settledTree(world)).keys()]).toContain("photos/2");
});

const OTHER: Partial<DiskStat> = { ino: 9_999n, birthNs: 5n, mode: 0o777, size: 5, mtimeNs: 7n, ctimeNs: 7n };

test.each(["directory", "file", "char"] as const)(
  "a mounted %s hides what it is mounted on, and changes nothing of it",
  async (type) => {
    const { world, a, b } = await twoFolders();
    a.disk.make(path("at"));
    a.disk.write(path("at/file"), "below");
    await settle(world);
    a.disk.tick(3_000_000_000n);
    const at = type === "directory" ? "at" : "at/file";
    const whole = await bucketTree(world.bucket);
    const { cid } = (await world.bucket.head()).commit;
    const mounted = mount(a, at, { ...OTHER, type });
    const { local, notSynced } = await a.sync();
    expect([local, notSynced.mounts, notSynced.special]).toEqual([[], [path(at)], []]);
    expect((await world.bucket.head()).commit.cid).toBe(cid);
    b.disk.write(path("at/file"), "of b");
    await b.sync();
    expect((await a.sync()).plan.left.map(({ path: left }) => left)).toEqual([path("at/file")]);
    expect(a.disk.tree()).toEqual(whole);
    mounted[Symbol.dispose]();
    expect((await settledTree(world)).get("at/file")).toBe("of b");
  },
);

test("files of another device than their directory's are synced, as on an overlay filesystem", async () => {
  const { world, a } = await twoFolders();
  a.disk.write(path("file"), "text");
  using _overlay = mount(a, "file", { dev: 99n, isMounted: false });
  await a.sync();
  expect((await bucketTree(world.bucket)).get("file")).toBe("text");
});

test("a mounted directory counts as nothing to upload", async () => {
  const { a } = await twoFolders();
  a.disk.make(path("photos"));
  a.disk.write(path("photos/1"), "1");
  a.disk.write(path("2"), "2");
  using _mounted = mount(a, "photos");
  expect(await countNew(a.disk, NO_RULES, a.db)).toEqual({ files: 1, bytes: 1 });
});

test("a scan lists all of a folder in which a directory is at two paths", async () => {
  const { a } = await settled();
  const { list } = a.disk;
  // As where it is mounted once more.
  a.disk.list = async (at) => {
    const there = await list.call(a.disk, at[0] === "m" ? [...path("c/d"), ...at.slice(1)] : at);
    const [d] =
      at.length === 0 ? await list.call(a.disk, path("c")).then((all) => all.filter(({ name }) => name === "d")) : [];
    return d === undefined ? there : [{ ...d, name: "m" as FileName }, ...there];
  };
  expect((await told(a)).sort()).toEqual(["c", "c/1", "c/2", "c/d", "c/d/1", "c/d/2", "m", "m/1", "m/2"]);
});
