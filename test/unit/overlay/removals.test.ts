/** Removals that are published without the other changes, because the bucket has no room for these. */
import { describe, expect, test } from "vitest";
import { nameToText } from "../../../src/base/names.ts";
import type { ChangeSet } from "../../../src/fstree/change-set.ts";
import { DEFAULT_POLICY } from "../../../src/format/commits/policy.ts";
import { removalsOf } from "../../../src/overlay/removals.ts";
import { seededStream } from "../../support/test-bucket.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const OLD = ["a", "b", "d/x", "d/y", "d/e/z", ".git/HEAD", "app.db", "app.db-wal", "b.bin"];

/** A mount whose base has these files. */
async function begun() {
  const fs = await VfsHarness.create();
  for (const directory of ["d", "d/e", ".git"]) await fs.makeDirectory(directory);
  for (const path of OLD) await fs.make(path, path);
  await fs.publish();
  return fs;
}

async function removeDirectory(fs: VfsHarness, path: string): Promise<void> {
  const [parent, name] = await fs.place(path);
  await fs.run((vfs) => vfs.removeDirectory(parent, name));
}

function removals(fs: VfsHarness): string[] | undefined {
  return namesIn(fs.vfs.seal(true, DEFAULT_POLICY.units));
}

/** The base names of what a change set removes. */
function namesIn(changes: ChangeSet | undefined): string[] | undefined {
  return changes?.objects.map(({ baseNames, record }) => {
    expect(record).toBeUndefined();
    return baseNames.map(({ name }) => nameToText(name)).join();
  });
}

describe("removals alone", () => {
  test("have no other change, and the others follow in the next epoch", async () => {
    const fs = await begun();
    await fs.unlink("a");
    await fs.make("new", "bytes");
    await fs.write(await fs.ino("b"), 0, "B");
    expect(fs.vfs.seal()?.objects).toHaveLength(4);
    expect(removals(fs)).toEqual(["a"]);
    const before = await fs.snapshot();
    await fs.publish();
    expect(await fs.snapshot()).toEqual(before);
    expect(fs.vfs.seal()?.objects.map(({ record }) => record?.type)).toEqual(
      expect.arrayContaining(["directory", "file", "file"]),
    );
    await fs.publish();
    expect(await fs.snapshot()).toEqual(before);
    expect(fs.vfs.pending()).toMatchObject({ files: 0, oldestMs: 0 });
  });

  test("of a directory come after those of files that have a name in it, also a second name", async () => {
    const fs = await begun();
    await fs.makeDirectory("links");
    for (const name of ["x", "y"]) {
      const [parent, at] = await fs.place(`links/${name}`);
      const ino = await fs.ino(`d/${name}`);
      await fs.run((vfs) => vfs.link(ino, parent, at));
    }
    await fs.publish();
    for (const path of ["links/x", "links/y", "d/x", "d/y", "d/e/z"]) await fs.unlink(path);
    for (const path of ["links", "d/e", "d"]) await removeDirectory(fs, path);
    const { state } = fs.objects.overlay;
    const first = removalsOf(state, DEFAULT_POLICY.units, 4).map((ino) => state.object(ino)?.type);
    expect(first).toEqual(["file", "file", "file"]);
  });

  test("are none if nothing of the base was removed: the sealed epoch stays", async () => {
    const fs = await begun();
    await fs.make("new", "bytes");
    await fs.make("gone", "bytes");
    await fs.unlink("gone");
    const sealed = fs.vfs.seal();
    expect(removals(fs)).toBeUndefined();
    expect(fs.vfs.seal()).toEqual(sealed);
  });

  test("include a whole directory, but no directory from which something was moved", async () => {
    const fs = await begun();
    for (const path of ["d/x", "d/y", "d/e/z"]) await fs.unlink(path);
    await removeDirectory(fs, "d/e");
    await removeDirectory(fs, "d");
    expect(removals(fs)?.toSorted()).toEqual(["d", "e", "x", "y", "z"]);
    const other = await begun();
    for (const path of ["d/x", "d/y"]) await other.unlink(path);
    await other.rename("d/e/z", "z");
    await removeDirectory(other, "d/e");
    await removeDirectory(other, "d");
    expect(removals(other)?.toSorted()).toEqual(["x", "y"]);
  });

  test("leave out what was replaced: others would see neither version", async () => {
    const fs = await begun();
    await fs.make("a.new", "new");
    await fs.rename("a.new", "a");
    await fs.unlink("b");
    await fs.make("b", "new");
    await fs.unlink("b.bin");
    await fs.rename("d", "old");
    await fs.makeDirectory("d");
    for (const path of ["old/x", "old/y"]) await fs.unlink(path);
    expect(removals(fs)).toEqual(["b.bin"]);
  });

  test("leave out parts of units", async () => {
    const fs = await begun();
    for (const path of [".git/HEAD", "app.db-wal", "app.db"]) await fs.unlink(path);
    await removeDirectory(fs, ".git");
    expect(removals(fs)).toBeUndefined();
  });

  test.each(["kill", "power loss"])(
    "and the changes that wait survive a %s, also behind a checkpoint",
    async (what) => {
      for (let seed = 0; seed < 12; seed++) {
        const fs = await begun();
        await fs.unlink("a");
        await fs.make("new", "bytes");
        await fs.vfs.fsync(await fs.ino("new"));
        fs.vfs.seal();
        const sealed = fs.vfs.seal(true, DEFAULT_POLICY.units);
        await fs.vfs.sync();
        const before = await fs.snapshot();
        if (seed % 2 === 1) await fs.vfs.checkpoint();
        fs.restart(what === "kill" ? undefined : seededStream(seed));
        expect(fs.vfs.seal()).toEqual(sealed);
        expect(fs.vfs.heldEpochs).toHaveLength(2);
        expect(await fs.snapshot()).toEqual(before);
        await fs.publish();
        await fs.publish();
        fs.restart();
        expect(await fs.snapshot()).toEqual(before);
        expect(fs.vfs.heldEpochs).toEqual([]);
      }
    },
  );

  test("do not make the changes that wait younger", async () => {
    const fs = await begun();
    await fs.make("new", "bytes");
    await fs.unlink("a");
    await fs.advance(5_000);
    fs.vfs.seal();
    expect(removals(fs)).toEqual(["a"]);
    await fs.publish();
    expect(fs.vfs.pending().oldestMs).toBe(5_000);
  });
});

test("a root adopted beneath a sealed epoch becomes the reference of that epoch, also after a kill", async () => {
  const fs = await begun();
  await fs.make("new", "bytes");
  const sealed = fs.vfs.seal();
  const base = await fs.others(async (other) => void (await other.make("theirs", "x")));
  expect(fs.vfs.adopt(base, DEFAULT_POLICY.units)).toBe(true);
  expect(fs.vfs.seal()).toMatchObject({ reference: base.commit, epoch: (sealed?.epoch ?? 0) + 1 });
  const again = fs.vfs.seal();
  fs.restart();
  expect(fs.vfs.seal()).toEqual(again);
  expect([...(await fs.snapshot()).keys()]).toEqual(expect.arrayContaining(["theirs", "new"]));
});
