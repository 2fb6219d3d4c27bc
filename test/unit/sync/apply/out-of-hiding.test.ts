/** Something ignored in one folder is not published when others move or replace the directory that it is in. */
import { expect, test } from "vitest";
import { PARKED_PATH } from "../../../../src/sync/disk/paths.ts";
import {
  bucketTree,
  pair,
  path,
  settle,
  type SyncedFolder,
  syncWorld,
  twoFolders,
} from "../../../support/sync-world.ts";

const RULES = path(".synclineignore");

const DEFAULT_FILES = ["archive/0", "p/1"];

/** Two folders: one has these rules and files that they hide, the other ignores only its own file of rules. */
async function hiding(rules: string, hidden: string | readonly string[], files: readonly string[] = DEFAULT_FILES) {
  const world = await syncWorld(2);
  const [a, c] = pair(world);
  c.disk.write(RULES, "/.synclineignore\n");
  await settle(world);
  for (const file of files) writeAt(c, file, file);
  await settle(world);
  a.disk.write(RULES, `/.synclineignore\n${rules}`);
  await settle(world);
  for (const { disk } of [a, c]) disk.tick(3_000_000_000n);
  for (const name of [hidden].flat()) writeAt(a, name, "secret");
  await settle(world);
  for (const { disk } of [a, c]) disk.tick(3_000_000_000n);
  const bucket = async () => await bucketTree(world.bucket);
  const isPublished = async () => [...(await bucket()).values()].includes("secret");
  return { world, a, c, bucket, isPublished };
}

/** With the directories above it. */
function writeAt({ disk }: SyncedFolder, file: string, text: string): void {
  const names = file.split("/");
  for (let depth = 1; depth < names.length; depth++) {
    const above = names.slice(0, depth).join("/");
    if (!disk.tree().has(above)) disk.make(path(above));
  }
  disk.write(path(file), text);
}

test("others replace an ignored directory by a file", async () => {
  const { world, a, c, bucket } = await hiding("/archive/\n", "archive/secret");
  c.disk.remove(path("archive"));
  c.disk.write(path("archive"), "file");
  for (const folder of [c, a, c, a]) await folder.sync();
  expect((await a.sync()).applied.left).toMatchObject([{ path: path("archive"), reason: "changed here" }]);
  expect([...(await bucket()).values()]).not.toContain("secret");
  expect(a.disk.tree().get("archive/secret")).toBe("secret");
  a.disk.remove(path("archive"));
  await settle(world);
  expect(a.disk.tree().get("archive")).toBe("file");
});

test("others replace a directory with something ignored in it by a file", async () => {
  const { world, a, c, bucket } = await hiding("/p/secret\n", "p/secret");
  c.disk.remove(path("p"));
  c.disk.write(path("p"), "file");
  await settle(world);
  expect([...(await bucket()).values()]).not.toContain("secret");
  expect(a.disk.tree().get("p/secret")).toBe("secret");
  a.disk.remove(path("p/secret"));
  await settle(world);
  expect(a.disk.tree().get("p")).toBe("file");
});

test("others move a directory with something in it that is ignored only there", async () => {
  const { world, a, c, bucket } = await hiding("/p/secret\n", "p/secret");
  c.disk.move(path("p"), path("z"));
  c.disk.write(path("p"), "file");
  await settle(world);
  expect([...(await bucket()).values()]).not.toContain("secret");
  expect((await a.sync()).plan.left.map(({ path: at, reason }) => [at.join("/"), reason])).toEqual(
    expect.arrayContaining([
      ["p", "in the way"],
      ["z", "in the way"],
    ]),
  );
  // What is edited in it goes to the new place.
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("p/1"), "edited");
  await settle(world);
  expect((await bucket()).get("z/1")).toBe("edited");
  a.disk.remove(path("p/secret"));
  await settle(world);
  expect([a.disk.tree().get("p"), a.disk.tree().get("z/1")]).toEqual(["file", "edited"]);
});

test("others move a directory with something in it that is ignored wherever it is", async () => {
  const { world, a, c, bucket } = await hiding("secret\n", "p/secret");
  c.disk.move(path("p"), path("z"));
  await settle(world);
  expect([a.disk.tree().get("z/secret"), (await bucket()).has("z/secret")]).toEqual(["secret", false]);
});

test("others replace a directory with something ignored in it by another directory", async () => {
  const { world, a, c, bucket } = await hiding("/p/secret\n", "p/secret");
  c.disk.remove(path("p"));
  await c.sync();
  c.disk.make(path("p"));
  c.disk.write(path("p/2"), "2");
  await settle(world);
  expect([a.disk.tree().get("p/secret"), a.disk.tree().get("p/2")]).toEqual(["secret", "2"]);
  expect([...(await bucket()).values()]).not.toContain("secret");
});

test("others move a directory, and the rule for its new path comes later", async () => {
  const { world, a, c, isPublished } = await hiding("/p/secret\n", "p/secret");
  c.disk.move(path("p"), path("z"));
  await settle(world);
  a.disk.write(RULES, "/.synclineignore\n/z/secret\n");
  await settle(world);
  expect(await isPublished()).toBe(false);
  expect(a.disk.tree().get("z/secret")).toBe("secret");
});

test("others move a directory and adapt the rules, which both folders share", async () => {
  const { world, a, b: c } = await twoFolders();
  c.disk.write(RULES, "/p/secret\n");
  c.disk.make(path("p"));
  c.disk.write(path("p/1"), "1");
  await settle(world);
  for (const { disk } of [a, c]) disk.tick(3_000_000_000n);
  a.disk.write(path("p/secret"), "secret");
  c.disk.move(path("p"), path("z"));
  c.disk.write(RULES, "/z/secret\n");
  await settle(world);
  expect([...(await bucketTree(world.bucket)).values()]).not.toContain("secret");
  expect(a.disk.tree().get("z/secret")).toBe("secret");
});

test("a directory that others move into one that waits waits, too", async () => {
  const files = ["p/x/1", "p/y/2", "d/3"];
  const { world, a, c, isPublished } = await hiding("/p/**/build/\n", ["p/x/build/o", "p/y/build/o"], files);
  c.disk.move(path("p"), path("old"));
  c.disk.move(path("d"), path("p"));
  c.disk.move(path("old/x"), path("p/x"));
  await settle(world);
  expect(await isPublished()).toBe(false);
  expect(a.disk.tree().get("p/x/build/o")).toBe("secret");
});

test("what others move into a new directory that waits stays in sight", async () => {
  const { world, a, c } = await hiding("/p/secret\n", "p/secret", ["p/1", "5"]);
  c.disk.move(path("p"), path("z"));
  c.disk.make(path("p"));
  c.disk.move(path("5"), path("p/5"));
  c.disk.write(path("5"), "new");
  await settle(world);
  expect([...a.disk.tree().values()]).toContain("5");
  expect(a.disk.tree(PARKED_PATH).size).toBe(0);
  a.disk.remove(path("p/secret"));
  await settle(world);
  expect([a.disk.tree().get("p/5"), a.disk.tree().get("5")]).toEqual(["5", "new"]);
});

test("others take a directory out of another one and put that one into it", async () => {
  const { world, a, c, isPublished } = await hiding("**/q/secret\n", "a/q/secret", ["a/1", "a/q/2"]);
  c.disk.move(path("a/q"), path("x"));
  c.disk.move(path("a"), path("x/a"));
  c.disk.make(path("a"));
  c.disk.write(path("a/new"), "new");
  await settle(world);
  expect(await isPublished()).toBe(false);
  expect(a.disk.tree().get("a/q/secret")).toBe("secret");
});

test("others move a directory that contains an unreadable one", async () => {
  const { world, a, c, isPublished } = await hiding("/p/q/secret\n", "p/q/secret", ["p/q/1"]);
  const { list } = a.disk;
  a.disk.list = async (at) => {
    if (at.at(-1) === "q") throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    return list.call(a.disk, at);
  };
  c.disk.move(path("p"), path("z"));
  for (const folder of [c, a, c, a]) await folder.sync();
  a.disk.list = list;
  await settle(world);
  expect(await isPublished()).toBe(false);
});

test("others' files are not written to an ignored path, and arrive once the directory can move", async () => {
  const { world, a, c } = await hiding("/p/*.key\n", "p/x.key");
  c.disk.move(path("p"), path("z"));
  for (const name of ["z/x.key", "z/y.key"]) c.disk.write(path(name), "theirs");
  await settle(world);
  expect([...a.disk.tree().keys()].filter((name) => name.endsWith(".key"))).toEqual(["p/x.key"]);
  a.disk.remove(path("p/x.key"));
  await settle(world);
  expect([a.disk.tree().get("z/x.key"), a.disk.tree().get("z/y.key")]).toEqual(["theirs", "theirs"]);
});
