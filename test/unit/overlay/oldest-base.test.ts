/** After a restart the overlay still knows the oldest base that its changes rest on, so that collections keep it. */
import { describe, expect, test } from "vitest";
import { DEFAULT_POLICY } from "../../../src/format/commits/policy.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const { units } = DEFAULT_POLICY;

async function begun() {
  const fs = await VfsHarness.create();
  for (const path of ["a", "b", "c"]) await fs.make(path, path);
  await fs.publish();
  const theirs = async (path: string) => {
    const base = await fs.others(async (other) => other.write(await other.ino(path), 0, "theirs"));
    expect(await fs.vfs.adopt(base, units)).toBe(true);
  };
  /** The oldest base, which must be the same after a kill, and after a checkpoint and a kill. */
  const oldest = async () => {
    await fs.vfs.sync();
    const seen = [];
    for (let round = 0; round < 3; round++) {
      seen.push(fs.objects.overlay.state.oldest);
      if (round === 1) await fs.vfs.checkpoint();
      fs.restart();
    }
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[2]).toEqual(seen[0]);
    return seen[0]?.base;
  };
  return { fs, theirs, oldest };
}

describe("the oldest base of unpublished changes", () => {
  test("is the base from before others' roots were adopted, until the changes are published", async () => {
    const { fs, theirs, oldest } = await begun();
    const first = fs.vfs.baseState();
    await theirs("c");
    expect(await oldest()).toBeUndefined();
    const second = fs.vfs.baseState();
    expect(second).not.toEqual(first);
    await fs.write(await fs.ino("a"), 0, "A");
    expect(await oldest()).toBeUndefined();
    await theirs("b");
    await theirs("c");
    expect(await oldest()).toEqual(second);
    fs.vfs.seal();
    expect(await oldest()).toEqual(second);
    await fs.publish();
    expect(await oldest()).toBeUndefined();
  });

  test("stays while removals are published alone", async () => {
    const { fs, theirs, oldest } = await begun();
    const first = fs.vfs.baseState();
    await fs.write(await fs.ino("a"), 0, "A");
    await fs.unlink("b");
    expect(fs.vfs.seal(true, units)?.objects).toHaveLength(1);
    await fs.publish();
    expect(await oldest()).toEqual(first);
    await theirs("c");
    expect(await oldest()).toEqual(first);
    await fs.unlink("c");
    expect(fs.vfs.seal(true, units)?.objects).toHaveLength(1);
    expect(await oldest()).toEqual(first);
    await fs.publish();
    expect(await oldest()).toEqual(first);
    await fs.publish();
    expect(await oldest()).toBeUndefined();
  });

  test("moves on with each epoch while programs go on to write", async () => {
    const { fs, oldest } = await begun();
    for (const text of ["1", "2", "3"]) {
      const before = fs.vfs.baseState();
      await fs.write(await fs.ino("a"), 0, text);
      const built = await fs.build();
      if (built === undefined) throw new Error("nothing to publish");
      await fs.write(await fs.ino("b"), 0, text);
      fs.finish(built);
      expect(await oldest()).toEqual(before);
    }
    await fs.publish();
    expect(await oldest()).toBeUndefined();
  });
});
