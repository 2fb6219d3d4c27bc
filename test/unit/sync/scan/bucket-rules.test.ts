/** Ignore rules that the bucket has and the folder has not. */
import { expect, test } from "vitest";
import { Crash } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import { bucketTree, path, settle, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

const RULES = path(".synclineignore");

/** A bucket with rules, and a folder that is to be synced with it and has something that they exclude. */
async function withRules() {
  const { world, a, b } = await twoFolders();
  a.disk.write(RULES, "secret*\n");
  a.disk.write(path("theirs"), "theirs");
  await a.sync();
  b.disk.write(path("secret.txt"), "secret");
  b.disk.write(path("mine"), "mine");
  return { world, a, b };
}

async function names(world: Awaited<ReturnType<typeof withRules>>["world"]): Promise<string[]> {
  return [...(await bucketTree(world.bucket)).keys()].sort();
}

test("hold from a folder's first pass on", async () => {
  const { world, b } = await withRules();
  expect((await b.dryRun()).local.map(({ object: { found } }) => found[0]?.name)).toEqual(["mine"]);
  expect((await b.sync()).hasNewRules).toBe(false);
  expect(await names(world)).toEqual([".synclineignore", "mine", "theirs"]);
  expect(b.disk.tree().get(".synclineignore")).toBe("secret*\n");
  await settle(world);
  expect(await names(world)).toEqual([".synclineignore", "mine", "theirs"]);
});

test("hold also after a run that died before it had them", async () => {
  const { world, b } = await withRules();
  await dying(b);
  expect(await b.disk.look(RULES)).toBeUndefined();
  await settle(world);
  expect(await names(world)).toEqual([".synclineignore", "mine", "theirs"]);
});

test("hold in the pass that brings them, and no longer once they are removed", async () => {
  const { world, a, b } = await twoFolders();
  await settle(world);
  a.disk.write(RULES, "secret*\n");
  await a.sync();
  b.disk.write(path("secret.txt"), "secret");
  await settle(world);
  expect(await names(world)).toEqual([".synclineignore"]);
  b.disk.remove(RULES);
  await settle(world);
  expect(await names(world)).toEqual(["secret.txt"]);
});

/** A pass whose process dies once it has published. */
async function dying(folder: SyncedFolder): Promise<void> {
  const { rename } = folder.disk;
  folder.disk.placeAll = undefined;
  folder.disk.rename = async (from, to, how) => {
    if (to.length === 1) throw new Crash("The process died.");
    await rename.call(folder.disk, from, to, how);
  };
  await expect(folder.sync()).rejects.toThrow(Crash);
  folder.disk.rename = rename;
}

test.each(["symlink", "directory"])(
  "are unknown if they are a %s: nothing is published, here or elsewhere",
  async (type) => {
    const { world, a, b } = await twoFolders();
    const makeBad = (folder: SyncedFolder) =>
      type === "symlink" ? folder.disk.makeSymlink(RULES, "dotfiles/ignore") : folder.disk.makeDirectory(RULES);
    await makeBad(a);
    a.disk.write(path("secret.txt"), "secret");
    const refused = {
      code: "precondition_failed",
      message: expect.stringContaining(`folder's .synclineignore is a ${type}`),
    };
    await expect(a.sync()).rejects.toMatchObject(refused);
    await expect(a.dryRun()).rejects.toMatchObject(refused);
    expect(await names(world)).toEqual([]);

    // Once they are a file, they hold.
    a.disk.remove(RULES);
    a.disk.write(RULES, "secret*\n");
    await settle(world);
    expect(await names(world)).toEqual([".synclineignore"]);
    a.disk.remove(RULES);
    await makeBad(a);
    b.disk.write(path("secret 2.txt"), "secret");
    await expect(a.sync()).rejects.toMatchObject(refused);
    await b.sync();
    expect(await names(world)).toEqual([".synclineignore"]);
  },
);

test("are unknown if the bucket has something else in their place", async () => {
  const { world, a, b } = await twoFolders();
  await a.disk.makeSymlink(path("link"), "elsewhere");
  await a.sync();
  // As a mount publishes it.
  const { look } = a.disk;
  a.disk.look = async (at) => (at.join("/") === RULES.join("/") ? undefined : look.call(a.disk, at));
  a.disk.move(path("link"), RULES);
  await a.sync();
  expect(await names(world)).toEqual([".synclineignore"]);
  b.disk.write(path("secret.txt"), "secret");
  await expect(b.sync()).rejects.toMatchObject({
    code: "precondition_failed",
    message: expect.stringContaining("bucket's .synclineignore is a symlink"),
  });
  expect((await bucketTree(world.bucket)).has("secret.txt")).toBe(false);
});
