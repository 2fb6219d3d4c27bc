/** A folder on a disk that takes two spellings of a name for one. */
import { expect, test } from "vitest";
import { bucketTree, path, settle, settledTree, twoFolders } from "../../support/sync-world.ts";

test("names that differ only in case are kept apart and reported, and nothing is lost", async () => {
  const { world, a: plain, b: folded } = await twoFolders();
  folded.disk.foldsCase = true;
  const versions = { "Name.bin": "1", "name.bin": "2", "Both/x.bin": "3", "both/y.bin": "4" };
  for (const name of ["Both", "both"]) plain.disk.make(path(name));
  for (const [name, text] of Object.entries(versions)) plain.disk.write(path(name), text);
  await plain.sync();
  const { applied } = await folded.sync();
  const collided = applied.left.filter(({ reason }) => reason === "name collides");
  expect(collided.map((each) => each.path.join("/").toLowerCase()).sort()).toEqual(["both", "name.bin"]);
  const shown = [...folded.disk.tree().keys()].find((name) => /^name/i.test(name)) ?? "";
  expect(folded.disk.tree().get(shown)).toBe(versions[shown as "Name.bin"]);

  // What is saved here goes to the one that is shown.
  folded.disk.tick(3_000_000_000n);
  folded.disk.write(path(shown), "saved");
  await folded.sync();
  await plain.sync();
  const now: Record<string, string> = { ...versions, [shown]: "saved" };
  expect(Object.fromEntries(plain.disk.tree())).toEqual({ ...now, Both: "dir", both: "dir" });
  expect(await bucketTree(world.bucket)).toEqual(plain.disk.tree());

  // Where the other one is renamed out of its way, both are there.
  const other = shown === "Name.bin" ? "name.bin" : "Name.bin";
  plain.disk.tick(3_000_000_000n);
  plain.disk.move(path(other), path("other.bin"));
  await plain.sync();
  await folded.sync();
  expect([shown, "other.bin"].map((name) => folded.disk.tree().get(name))).toEqual(["saved", now[other]]);
});

test("a file or directory that is replaced by one of another spelling arrives, with all that is in it", async () => {
  const { world, a: plain, b: folded } = await twoFolders();
  folded.disk.foldsCase = true;
  plain.disk.write(path("README.md"), "old");
  plain.disk.make(path("Src"));
  plain.disk.write(path("Src/f"), "old");
  await settle(world);
  plain.disk.tick(3_000_000_000n);
  for (const name of ["README.md", "Src"]) plain.disk.remove(path(name));
  plain.disk.write(path("Readme.md"), "new");
  plain.disk.make(path("src"));
  plain.disk.write(path("src/f"), "new");
  expect(Object.fromEntries(await settledTree(world))).toEqual({ "Readme.md": "new", src: "dir", "src/f": "new" });
});

test("a name that collided arrives once the other one is deleted, wherever that was done", async () => {
  for (const deletes of ["plain", "folded"] as const) {
    const { world, a: plain, b: folded } = await twoFolders();
    folded.disk.foldsCase = true;
    plain.disk.write(path("name"), "1");
    await settle(world);
    plain.disk.write(path("Name"), "2");
    await plain.sync();
    expect((await folded.sync()).applied.left).toEqual([{ path: path("Name"), reason: "name collides" }]);
    // Later passes report it, too, without another try.
    const { plan, applied } = await folded.sync();
    expect([plan.left, applied.left]).toEqual([
      [expect.objectContaining({ path: path("Name"), reason: "name collides" })],
      [],
    ]);
    const { disk } = deletes === "plain" ? plain : folded;
    disk.tick(3_000_000_000n);
    disk.remove(path("name"));
    expect(Object.fromEntries(await settledTree(world))).toEqual({ Name: "2" });
    expect((await folded.sync()).plan.left).toEqual([]);
  }
});

test.each(["file", "directory"])("a new spelling of a %s's name arrives", async (kind) => {
  const { world, a: plain, b: folded } = await twoFolders();
  folded.disk.foldsCase = true;
  if (kind === "directory") plain.disk.make(path("Photos"));
  plain.disk.write(path(kind === "directory" ? "Photos/1" : "Photos"), "1");
  await settle(world);
  plain.disk.tick(3_000_000_000n);
  plain.disk.move(path("Photos"), path("photos"));
  const whole = await settledTree(world);
  expect([...whole.keys()]).toEqual(kind === "directory" ? ["photos", "photos/1"] : ["photos"]);
});

test("a copy under another spelling is not mistaken for the file that is shown, though bytes and times are the same", async () => {
  const { world, a: plain, b: folded } = await twoFolders();
  folded.disk.foldsCase = true;
  plain.disk.write(path("readme"), "text");
  await settle(world);
  for (const { disk } of [plain, folded]) disk.tick(3_000_000_000n);
  plain.disk.write(path("README"), "text");
  await plain.disk.setModified(path("README"), (await plain.disk.look(path("readme")))?.mtimeNs ?? 0n);
  for (const folder of [plain, folded, folded, plain]) await folder.sync();
  expect([...plain.disk.tree().keys()].sort()).toEqual(["README", "readme"]);
});

test.each(["/archive/\n", ""])(
  "a private directory is not taken for one of another spelling, with rules %j",
  async (rules) => {
    const { world, a: plain, b: folded } = await twoFolders();
    folded.disk.foldsCase = true;
    folded.disk.write(path(".synclineignore"), rules);
    await settle(world);
    folded.disk.make(path("archive"));
    folded.disk.chmod(path("archive"), 0o700);
    folded.disk.write(path("archive/secret"), "secret");
    plain.disk.make(path("Archive"));
    // The folder's own directory, .syncline, is private, too.
    plain.disk.make(path(".Syncline"));
    for (const folder of [plain, folded, folded, plain]) {
      folder.disk.tick(3_000_000_000n);
      await folder.sync();
    }
    expect([...plain.disk.tree().keys()]).toEqual(expect.arrayContaining([".Syncline", "Archive"]));
    expect(plain.disk.tree().has("Archive/secret")).toBe(false);
  },
);
