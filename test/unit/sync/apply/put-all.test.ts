/** Objects that one folder's disk cannot hold, or whose bytes the bucket lost: everything else is synced. */
import { expect, test } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { MemorySyncDisk } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import type { Put } from "../../../../src/sync/apply/plan.ts";
import { batchesOf } from "../../../../src/sync/apply/put-all.ts";
import { bucketTree, path, settle, twoFolders } from "../../../support/sync-world.ts";

type Method = "link" | "makeSymlink" | "rename" | "makeDirectory" | "create";

/** Some actions fail as on disks that cannot do them. */
function refuse(
  disk: MemorySyncDisk,
  code: string,
  methods: readonly Method[],
  isRefused: (name: string) => boolean,
): void {
  // One by one, each as the test wants it.
  disk.placeAll = undefined;
  for (const method of methods) {
    const action = disk[method].bind(disk) as (...args: unknown[]) => Promise<never>;
    const refusing = async (...args: unknown[]) => {
      const paths = args.filter((each) => Array.isArray(each)) as string[][];
      if (paths.some((each) => isRefused(each.at(-1) ?? ""))) throw Object.assign(new Error(code), { code });
      return action(...args);
    };
    Object.assign(disk, { [method]: refusing });
  }
}

test.each<{ what: string; code: string; methods: Method[]; name: string; left: string | undefined }>([
  { what: "symlinks", code: "EPERM", methods: ["makeSymlink"], name: "link", left: "not kept here" },
  { what: "symlinks", code: "EOPNOTSUPP", methods: ["makeSymlink"], name: "link", left: "not kept here" },
  { what: "long names", code: "ENAMETOOLONG", methods: ["rename"], name: "long", left: "not kept here" },
  { what: "names in other bytes", code: "EILSEQ", methods: ["rename"], name: "caf\xe9", left: "not kept here" },
  { what: "names with a colon", code: "name_invalid", methods: ["rename"], name: "a:b", left: "not kept here" },
  {
    what: "directories of such names",
    code: "EILSEQ",
    methods: ["makeDirectory"],
    name: "d\xe9",
    left: "not kept here",
  },
  { what: "hard links", code: "EOPNOTSUPP", methods: ["link"], name: "two", left: undefined },
  { what: "hard links", code: "EPERM", methods: ["link"], name: "two", left: undefined },
])("where $what cannot be made ($code), a folder gets everything else", async ({ code, methods, name, left }) => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("gone"), "x");
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  if (methods.includes("makeSymlink")) await a.disk.makeSymlink(path(name), "target");
  else if (methods.includes("makeDirectory")) a.disk.make(path(name));
  else a.disk.write(path(name), name);
  if (methods.includes("makeDirectory")) a.disk.write(path(`${name}/in`), "in");
  if (methods.includes("link")) await a.disk.link(path(name), path("one"));
  a.disk.write(path("other"), "other");
  a.disk.remove(path("gone"));
  await a.sync();
  const isRefused = methods.includes("makeSymlink") ? () => true : (each: string) => each === name;
  refuse(b.disk, code, methods, isRefused);
  const reasons: { reason: string }[] = [];
  for (const each of ["mine", "mine too"]) {
    b.disk.write(path(each), each);
    reasons.push(...(await b.sync()).applied.left.filter((one) => one.path.join("/") === name));
    b.disk.tick(3_000_000_000n);
  }
  expect(reasons.map(({ reason }) => reason)).toEqual(left === undefined ? [] : [left]);
  const tree = b.disk.tree();
  expect([tree.get("other"), tree.has("gone")]).toEqual(["other", false]);
  const expected = left === undefined ? [name, name] : [undefined, undefined];
  expect([tree.get(name), tree.get("one")]).toEqual(expected);
  const whole = await bucketTree(world.bucket);
  const stem = name.replace("\xe9", "");
  expect([whole.get("mine"), whole.get("mine too"), [...whole.keys()].some((each) => each.startsWith(stem))]).toEqual([
    "mine",
    "mine too",
    true,
  ]);
});

test("names that share no inode stay one file for the bucket", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("one"), "old");
  await a.disk.link(path("one"), path("two"));
  refuse(b.disk, "EPERM", ["link"], () => true);
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  b.disk.write(path("two"), "edited");
  await settle(world);
  expect(Object.fromEntries(a.disk.tree())).toEqual({ one: "edited", two: "edited" });
  expect(b.disk.tree()).toEqual(a.disk.tree());
  expect((await a.disk.look(path("one")))?.ino).toBe((await a.disk.look(path("two")))?.ino);
});

test.each(["block_not_found", "block_corrupt"] as const)(
  "a file with %s holds no other back, and the pass reports it",
  async (code) => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("gone"), "x");
    await settle(world);
    for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
    a.disk.write(path("lost"), "lost".repeat(100_000));
    await a.sync();
    a.disk.remove(path("gone"));
    a.disk.write(path("other"), "other");
    await a.sync();
    const create = b.disk.create.bind(b.disk);
    let isLost = true;
    b.disk.create = async (at) => {
      const file = await create(at);
      const write = async () => {
        throw new SynclineError(code, "It is lost.");
      };
      return isLost
        ? { ...file, write: async (...args) => ((args[1]?.length ?? 0) > 1_000 ? write() : file.write(...args)) }
        : file;
    };
    await expect(b.sync()).rejects.toMatchObject({ code });
    expect(Object.fromEntries(b.disk.tree())).toEqual({ other: "other" });
    expect((await b.disk.list(path(".syncline/new"))).map((each) => each.name)).toEqual(["redo"]);
    isLost = false;
    await settle(world);
    expect(b.disk.tree()).toEqual(a.disk.tree());
  },
);

test("a unit's files go into one batch, however large it is", () => {
  const put = (name: string, size: number) => ({ path: path(name), target: { record: { size } } }) as unknown as Put;
  const large = 40 * 1024 * 1024;
  const puts = [put("one", large), put("app.db", large), put("app.db-shm", large), put("app.db-wal", 1), put("two", 1)];
  const unitOf = ({ path: [name] }: Put) => (name?.startsWith("app.db") === true ? "app.db" : undefined);
  const names = Array.from(batchesOf(puts, unitOf), (batch) => batch.map(({ path: [name] }) => name));
  expect(names).toEqual([["one"], ["app.db", "app.db-shm", "app.db-wal"], ["two"]]);
});
