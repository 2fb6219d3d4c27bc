/** What changes between the walk of a scan and the look at each file. */
import { expect, test } from "vitest";
import { afterListing, bucketTree, path, settle, settledTree, twoFolders } from "../../../support/sync-world.ts";

test.each(["new file", "new link", "known file", "known link", "directory"])(
  "a %s that is gone right after it was listed holds nothing else back",
  async (kind) => {
    const { world, a } = await twoFolders();
    const { disk } = a;
    const gone = path("gone");
    disk.write(path("doc"), "old");
    if (kind === "known file") disk.write(gone, "old");
    if (kind === "known link") await disk.makeSymlink(gone, "doc");
    await settle(world);
    disk.tick(3_000_000_000n);
    disk.write(path("doc"), "new and longer");
    if (kind === "new file") disk.write(gone, "x");
    else if (kind === "directory") disk.make(gone);
    else if (kind === "new link") await disk.makeSymlink(gone, "doc");
    else disk.chmod(gone, 0o600);
    let isGone = false;
    using _goes = afterListing(a, kind === "directory" ? "gone" : "", () => {
      if (!isGone) disk.remove(gone);
      isGone = true;
    });
    await a.sync();
    expect((await bucketTree(world.bucket)).get("doc")).toBe("new and longer");
    expect(Object.fromEntries(await settledTree(world))).toEqual({ doc: "new and longer" });
  },
);

test("a file that becomes a link right after it was listed is published as a link by the next pass", async () => {
  const { world, a } = await twoFolders();
  a.disk.write(path("f"), "text");
  let isLink = false;
  {
    using _becomes = afterListing(a, "", () => {
      if (!isLink) a.disk.remove(path("f"));
      if (!isLink) void a.disk.makeSymlink(path("f"), "target");
      isLink = true;
    });
    const xattrs = a.disk.xattrs.bind(a.disk);
    a.disk.xattrs = async (at) => {
      if ((await a.disk.look(at))?.type === "symlink") throw Object.assign(new Error("ELOOP"), { code: "ELOOP" });
      return xattrs(at);
    };
    expect((await a.sync()).unstable).toEqual([path("f")]);
  }
  expect(Object.fromEntries(await settledTree(world))).toEqual({ f: "-> target" });
});

test("a directory that takes the place of an unreadable file within one pass is published with its entries", async () => {
  const { world, a } = await twoFolders();
  const { disk } = a;
  disk.write(path("x"), "unreadable");
  const read = disk.read.bind(disk);
  let isSending = false;
  disk.read = async (at) => {
    if (at.join("/") !== "x") return read(at);
    if (isSending) {
      disk.tick();
      disk.remove(path("x"));
      disk.make(path("x"));
      disk.write(path("x/f"), "inner");
    }
    throw Object.assign(new Error("EACCES"), { code: "EACCES" });
  };
  const { unstable, unsent, notSynced } = await a.sync({ progress: { sending: () => (isSending = true) } });
  expect(Object.fromEntries(await bucketTree(world.bucket))).toEqual({ x: "dir", "x/f": "inner" });
  expect([unstable, unsent.files, notSynced.unreadable]).toEqual([[], 0, []]);
  expect(Object.fromEntries(await settledTree(world))).toEqual({ x: "dir", "x/f": "inner" });
});

test("a directory that takes the place of a vanished link within one pass is published with its entries", async () => {
  const { world, a } = await twoFolders();
  const { disk } = a;
  disk.write(path("other"), "once");
  await disk.makeSymlink(path("x"), "other");
  let isGone = false;
  using _goes = afterListing(a, "", () => {
    if (!isGone) disk.remove(path("x"));
    isGone = true;
  });
  let attempts = 0;
  const sending = () => {
    if (attempts++ > 0) return;
    disk.tick();
    disk.make(path("x"));
    disk.write(path("x/f"), "inner");
    disk.write(path("other"), "again");
  };
  await a.sync({ progress: { sending } });
  expect(attempts).toBe(2);
  const whole = { other: "again", x: "dir", "x/f": "inner" };
  expect(Object.fromEntries(await bucketTree(world.bucket))).toEqual(whole);
  expect(Object.fromEntries(await settledTree(world))).toEqual(whole);
});
