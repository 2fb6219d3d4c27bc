/** What is at an ignored path, when others move its object elsewhere. */
import { expect, test } from "vitest";
import { bucketTree, path, settle, twoFolders } from "../../../support/sync-world.ts";

const RULES = path(".synclineignore");

/** Two settled folders with `build/out`, of which the second is about to ignore `build`. */
async function withBuild() {
  const { world, a, b } = await twoFolders();
  for (const name of ["build", "build/sub"]) a.disk.make(path(name));
  for (const name of ["build/out", "build/sub/in"]) a.disk.write(path(name), "shared");
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  b.disk.write(RULES, "build\n");
  return { world, a, b };
}

test.each(["write", "save"] as const)(
  "an ignored file stays and is not published, whatever it holds (%s), and what others made of it arrives",
  async (save) => {
    const { world, a, b } = await withBuild();
    a.disk.move(path("build/out"), path("release"));
    await a.sync();
    b.disk[save](path("build/out"), "private");
    expect((await b.dryRun()).plan.puts.map(({ path: at }) => at)).toContainEqual(path("release"));
    await settle(world);
    expect(b.disk.tree().get("build/out")).toBe("private");
    const whole = await bucketTree(world.bucket);
    expect([whole.get("release"), whole.get("build/out")]).toEqual(["shared", undefined]);
    for (const { disk } of [a, b]) expect(disk.tree().get("release")).toBe("shared");
    // It is a new file once it is no longer ignored.
    b.disk.remove(RULES);
    await settle(world);
    expect(a.disk.tree().get("build/out")).toBe("private");
    expect(a.disk.tree().get("release")).toBe("shared");
  },
);

test("an ignored directory stays with all that is in it, and what others made of it arrives", async () => {
  const { world, a, b } = await withBuild();
  a.disk.move(path("build"), path("dist"));
  await a.sync();
  b.disk.write(path("build/out"), "private");
  b.disk.write(path("build/sub/new"), "private");
  await settle(world);
  const dist = { dist: "dir", "dist/sub": "dir", "dist/out": "shared", "dist/sub/in": "shared" };
  expect(Object.fromEntries(await bucketTree(world.bucket))).toEqual({ ".synclineignore": "build\n", ...dist });
  expect(Object.fromEntries(b.disk.tree())).toEqual({
    ".synclineignore": "build\n",
    build: "dir",
    "build/sub": "dir",
    "build/out": "private",
    "build/sub/in": "shared",
    "build/sub/new": "private",
    ...dist,
  });
});

test("another name that others gave an ignored file gets a file of its own", async () => {
  const { world, a, b } = await withBuild();
  await a.disk.link(path("build/out"), path("linked"));
  await a.sync();
  b.disk.write(path("build/out"), "private");
  await settle(world);
  for (const { disk } of [a, b]) expect(disk.tree().get("linked")).toBe("shared");
  expect((await bucketTree(world.bucket)).get("build/out")).toBe("shared");
  expect(b.disk.tree().get("build/out")).toBe("private");
});

test.each(["remove", "save"] as const)("an ignored name of a linked file stays in the bucket (%s)", async (act) => {
  const { world, a, b } = await withBuild();
  await a.disk.link(path("build/out"), path("linked"));
  b.disk.remove(RULES);
  await settle(world);
  b.disk.write(RULES, "build\n");
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  b.disk[act](path("build/out"), "private");
  await settle(world);
  expect((await bucketTree(world.bucket)).get("build/out")).toBe("shared");
  for (const { disk } of [a, b]) expect(disk.tree().get("linked")).toBe("shared");
});

test("a file moved out of an ignored directory is one file, not two names of one", async () => {
  const { world, a, b } = await withBuild();
  await b.sync();
  b.disk.move(path("build/out"), path("release"));
  await settle(world);
  const whole = await bucketTree(world.bucket);
  expect([whole.get("release"), whole.get("build/out")]).toEqual(["shared", undefined]);
  // What others have at the ignored path stays there, and is no link to it.
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("release"), "edited");
  a.disk.remove(RULES);
  await settle(world);
  for (const { disk } of [a, b])
    expect([disk.tree().get("release"), disk.tree().get("build/out")]).toEqual(["edited", "shared"]);
});

test("what took another one's place in a directory that moved to an ignored path comes once that is no longer ignored", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.make(path("build"));
  for (const name of ["build/out", "other"]) a.disk.write(path(name), name);
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  a.disk.move(path("build"), path("dist"));
  a.disk.move(path("other"), path("dist/out"));
  await a.sync();
  b.disk.write(RULES, "dist\n");
  await settle(world);
  expect(Object.fromEntries(b.disk.tree())).toEqual({ ".synclineignore": "dist\n" });
  b.disk.remove(RULES);
  await settle(world);
  expect(b.disk.tree().get("dist/out")).toBe("other");
});
