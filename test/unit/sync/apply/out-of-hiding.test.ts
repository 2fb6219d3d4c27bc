/** What is ignored in one folder is not published because others move or replace the directory that it is in. */
import { expect, test } from "vitest";
import { bucketTree, pair, path, settle, syncWorld } from "../../../support/sync-world.ts";

const RULES = path(".synclineignore");

/** A folder with these rules and a file that they hide, and one whose rules ignore nothing but themselves. */
async function hiding(rules: string, hidden: string) {
  const world = await syncWorld(2);
  const [a, c] = pair(world);
  c.disk.write(RULES, "/.synclineignore\n");
  await settle(world);
  for (const name of ["archive", "p"]) c.disk.make(path(name));
  for (const name of ["archive/0", "p/1"]) c.disk.write(path(name), name);
  await settle(world);
  a.disk.write(RULES, rules);
  await settle(world);
  for (const { disk } of [a, c]) disk.tick(3_000_000_000n);
  a.disk.write(path(hidden), "secret");
  const bucket = async () => await bucketTree(world.bucket);
  return { world, a, c, bucket };
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
