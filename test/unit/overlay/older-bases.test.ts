/** After a restart the overlay still knows which older bases its changes need, so that collections keep them. */
import { describe, expect, test } from "vitest";
import { DEFAULT_POLICY } from "../../../src/format/commits/policy.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const { units } = DEFAULT_POLICY;

async function begun() {
  const fs = await VfsHarness.create();
  await fs.makeDirectory("d");
  for (const path of ["a", "b", "c", "d/e"]) await fs.make(path, path);
  await fs.publish();
  const adopt = async (work: (other: VfsHarness) => Promise<void>) => {
    const base = await fs.others(work);
    expect(await fs.vfs.adopt(base, units)).toBe(true);
  };
  const theirs = (path: string) => adopt(async (other) => other.write(await other.ino(path), 0, "theirs"));
  const ours = async (path: string) => fs.write(await fs.ino(path), 0, "ours");
  /** The older bases, which must be the same after a kill, and after a checkpoint and a kill. */
  const older = async () => {
    await fs.vfs.sync();
    const seen = [];
    for (let round = 0; round < 3; round++) {
      seen.push(fs.objects.overlay.state.olderBases);
      if (round === 1) await fs.vfs.checkpoint();
      fs.restart();
    }
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[2]).toEqual(seen[0]);
    return seen[0]?.map(({ base }) => base);
  };
  return { fs, adopt, theirs, ours, older };
}

describe("older bases", () => {
  test("are those beneath which others changed what waits, until it is published", async () => {
    const { fs, theirs, ours, older } = await begun();
    const first = fs.vfs.baseState();
    await ours("a");
    await theirs("c");
    expect(await older()).toEqual([]);
    const second = fs.vfs.baseState();
    expect(second).not.toEqual(first);
    await theirs("a");
    expect(await older()).toEqual([second]);
    await ours("b");
    await theirs("c");
    expect(await older()).toEqual([second]);
    const third = fs.vfs.baseState();
    await theirs("b");
    // Each rests on what it had when it was changed here.
    for (const path of ["a", "b", "a"]) await theirs(path);
    expect(await older()).toEqual([second, third]);
    fs.vfs.seal();
    expect(await older()).toEqual([second, third]);
    await fs.publish();
    expect(await older()).toEqual([]);
  });

  test("are those before a directory with new files was removed, not before others put files into it", async () => {
    const { fs, adopt, older } = await begun();
    await fs.make("d/new", "new");
    await adopt(async (other) => void (await other.make("d/theirs", "theirs")));
    expect(await older()).toEqual([]);
    const before = fs.vfs.baseState();
    await adopt(async (other) => {
      for (const path of ["d/e", "d/theirs"]) await other.unlink(path);
      const [parent, name] = await other.place("d");
      await other.run((vfs) => vfs.removeDirectory(parent, name));
    });
    expect(await older()).toEqual([before]);
  });

  test("are at most eight, the oldest ones", async () => {
    const { fs, theirs, ours, older } = await begun();
    const paths = Array.from({ length: 10 }, (_, index) => `f${index}`);
    for (const path of paths) await fs.make(path, path);
    await fs.publish();
    const bases = [];
    for (const path of paths) {
      bases.push(fs.vfs.baseState());
      await ours(path);
      await theirs(path);
    }
    expect(await older()).toEqual(bases.slice(0, 8));
  });

  test("stay while removals are published alone", async () => {
    const { fs, theirs, ours, older } = await begun();
    const first = fs.vfs.baseState();
    await ours("a");
    await fs.unlink("b");
    expect(fs.vfs.seal(true, units)?.objects).toHaveLength(1);
    await fs.publish();
    expect(await older()).toEqual([first]);
    await theirs("c");
    expect(await older()).toEqual([first]);
    await fs.unlink("c");
    expect(fs.vfs.seal(true, units)?.objects).toHaveLength(1);
    expect(await older()).toEqual([first]);
    await fs.publish();
    expect(await older()).toEqual([first]);
    await fs.publish();
    expect(await older()).toEqual([]);
  });

  test("move on with each epoch while programs go on to write", async () => {
    const { fs, older } = await begun();
    for (const text of ["1", "2", "3"]) {
      const before = fs.vfs.baseState();
      await fs.write(await fs.ino("a"), 0, text);
      const built = await fs.build();
      if (built === undefined) throw new Error("nothing to publish");
      await fs.write(await fs.ino("b"), 0, text);
      fs.finish(built);
      expect(await older()).toEqual([before]);
    }
    await fs.publish();
    expect(await older()).toEqual([]);
  });
});
