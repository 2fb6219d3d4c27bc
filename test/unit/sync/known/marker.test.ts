/** A folder that is synced, in another folder that is synced. */
import { describe, expect, test } from "vitest";
import { bucketTree, path, settle, settledTree, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

/** Two settled folders; in the first one, `d` has files. */
async function withDirectory() {
  const { world, a, b } = await twoFolders();
  for (const directory of ["d", "d/in"]) a.disk.make(path(directory));
  for (const file of ["1", "d/2", "d/in/3"]) a.disk.write(path(file), file);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  return { world, a, b, genesis: world.bucket.genesis.cid };
}

/** Marks a directory as `syncline sync` does. */
function mark({ disk }: SyncedFolder, directory: string, bucket: string, folder: string): void {
  disk.make(path(`${directory}/.syncline`));
  disk.write(path(`${directory}/.syncline/folder.json`), JSON.stringify({ bucket, folder }));
}

describe("a directory that is synced with the same bucket itself", () => {
  test("is left out and reported, and nothing in it counts as deleted", async () => {
    const { world, a, b, genesis } = await withDirectory();
    const before = await bucketTree(world.bucket);
    mark(a, "d", genesis, "another");
    a.disk.write(path("d/1"), "1");
    a.disk.remove(path("d/2"));
    a.disk.write(path("4"), "4");
    expect((await a.sync()).notSynced.apart).toEqual([path("d")]);
    expect(await bucketTree(world.bucket)).toEqual(new Map([...before, ["4", "4"]]));
    b.disk.write(path("d/theirs"), "theirs");
    await b.sync();
    expect((await a.sync()).plan.left).toContainEqual(
      expect.objectContaining({ path: path("d/theirs"), reason: "in the way" }),
    );
    expect(await a.disk.look(path("d/theirs"))).toBeUndefined();
  });

  test("is synced again once it has no marker", async () => {
    const { world, a, genesis } = await withDirectory();
    mark(a, "d", genesis, "another");
    a.disk.write(path("d/new"), "new");
    await a.sync();
    a.disk.remove(path("d/.syncline/folder.json"));
    a.disk.remove(path("d/.syncline"));
    expect([...(await settledTree(world)).keys()]).toContain("d/new");
  });
});

/** Reading what is in a directory's `.syncline` fails. */
function refuseMarker({ disk }: SyncedFolder, directory: string, code: string): Disposable {
  const { read } = disk;
  disk.read = async (at) => {
    if (at[0] === directory && at[1] === ".syncline") throw Object.assign(new Error(code), { code });
    return read.call(disk, at);
  };
  return { [Symbol.dispose]: () => void (disk.read = read) };
}

test.each(["EACCES", "EIO"])(
  "a directory whose marker cannot be read (%s) is left out, and nothing in it counts as deleted",
  async (code) => {
    const { world, a, genesis } = await withDirectory();
    const before = await bucketTree(world.bucket);
    mark(a, "d", genesis, "another");
    const refused = refuseMarker(a, "d", code);
    a.disk.write(path("d/new"), "new");
    a.disk.remove(path("d/2"));
    expect((await a.sync()).notSynced).toMatchObject({ unreadable: [path("d")], apart: [] });
    expect(await bucketTree(world.bucket)).toEqual(before);
    refused[Symbol.dispose]();
    expect((await a.sync()).notSynced).toMatchObject({ unreadable: [], apart: [path("d")] });
  },
);

test.each(["ENOENT", "ENOTDIR"])("a directory whose marker is none (%s) is synced", async (code) => {
  const { world, a, genesis } = await withDirectory();
  mark(a, "d", genesis, "another");
  using _refused = refuseMarker(a, "d", code);
  a.disk.write(path("d/new"), "new");
  await settle(world);
  expect((await bucketTree(world.bucket)).get("d/new")).toBe("new");
});

test.each([
  ["is synced by itself", undefined],
  ["has an unreadable marker", "EACCES"],
])("in portions, too, a directory that %s is left out, alone and in a new repository", async (_, code) => {
  const { world, a } = await twoFolders();
  const { disk } = a;
  a.portion = { things: 2, bytes: Infinity };
  for (const each of ["sub", "new", ".git", ".git/sub"]) disk.make(path(each));
  for (const each of ["sub", ".git/sub"]) mark(a, each, world.bucket.genesis.cid, "another");
  for (const each of ["sub/f", "new/1", "new/2", "new/3", ".git/f", ".git/sub/f"]) disk.write(path(each), each);
  using _refused = refuseMarker(a, code === undefined ? "none" : "sub", code ?? "");
  const told: number[] = [];
  await a.sync({ progress: { sending: ({ files }) => void told.push(files) } });
  const whole = [".git", ".git/f", ".git/sub", "new", "new/1", "new/2", "new/3", "sub"];
  expect([...(await bucketTree(world.bucket)).keys()].sort()).toEqual(whole);
  expect(told[0]).toBe(4);
});

test.each([
  ["with another bucket", "another bucket", "another"],
  ["as a copy of the folder around it", undefined, undefined],
])("a directory that is synced %s is synced", async (_, bucket, folder) => {
  const { world, a, genesis } = await withDirectory();
  mark(a, "d", bucket ?? genesis, folder ?? a.db.fact("folder") ?? "");
  a.disk.write(path("d/new"), "new");
  await settle(world);
  expect([...(await bucketTree(world.bucket)).keys()].sort()).toEqual(["1", "d", "d/2", "d/in", "d/in/3", "d/new"]);
});

test("a folder that was synced and is missing is said to be, until it is back", async () => {
  const { world, a } = await twoFolders();
  const { open } = a.disk;
  const away = () => {
    a.disk.open = async () => {
      throw Object.assign(new Error("ENOENT"), { code: "ENOENT" });
    };
  };
  away();
  await expect(a.sync()).rejects.toMatchObject({ code: "ENOENT" });
  a.disk.open = open;
  a.disk.write(path("f"), "text");
  await a.sync();
  away();
  const missing = { code: "no_such_path", message: expect.stringContaining("is missing: nothing is synced") };
  await expect(a.sync()).rejects.toMatchObject(missing);
  await expect(a.dryRun()).rejects.toMatchObject(missing);
  a.disk.open = open;
  await settle(world);
  expect((await bucketTree(world.bucket)).get("f")).toBe("text");
});

test("something else in place of the marker's directory is named, and nothing is synced", async () => {
  const { a } = await twoFolders();
  a.disk.write(path(".syncline"), "mine");
  a.disk.write(path("1"), "1");
  const refused = { code: "precondition_failed", message: expect.stringContaining(".syncline is a file") };
  await expect(a.sync()).rejects.toMatchObject(refused);
  expect((await a.disk.look(path(".syncline")))?.type).toBe("file");
});
