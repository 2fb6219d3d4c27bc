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
