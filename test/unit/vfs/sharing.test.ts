/** What one agent shows while others publish, and what its inodes stand for. */
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import type { FileName, Ino } from "../../../src/base/ids.ts";
import { ROOT_ID, ROOT_INO } from "../../../src/base/ids.ts";
import { CONTENT_BYTES } from "../../../src/base/limits.ts";
import { nameFromText } from "../../../src/base/names.ts";
import type { NewBase } from "../../../src/fstree/change-set.ts";
import type { DirtyReason } from "../../../src/vfs/dirty-signal.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const MiB = 1024 * 1024;

async function adopt(fs: VfsHarness, work: (other: VfsHarness) => Promise<void>): Promise<NewBase> {
  const base = await fs.others(work);
  fs.vfs.adopt(base);
  return base;
}

async function errnoOf(work: Promise<unknown>): Promise<number | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return (error as { errno: number }).errno;
  }
}

describe("what others publish", () => {
  test("appears, and doors learn which names and inodes changed", async () => {
    const clock = new ManualClock();
    const fs = await VfsHarness.create({}, clock);
    await fs.makeDirectory("d");
    await fs.make("d/changed", "old");
    await fs.make("d/removed", "old");
    await fs.make("d/moved", "old");
    await fs.publish();
    const [d, changed, removed, moved] = [
      await fs.ino("d"),
      await fs.ino("d/changed"),
      await fs.ino("d/removed"),
      await fs.ino("d/moved"),
    ];
    fs.invalidations.length = 0;
    await clock.advance(1);
    await adopt(fs, async (other) => {
      await other.write(await other.ino("d/changed"), 0, "new");
      await other.unlink("d/removed");
      await other.rename("d/moved", "elsewhere");
      await other.make("d/added", "added");
    });
    expect(await fs.list("d")).toEqual(["added", "changed"]);
    expect([await fs.text("d/changed"), await fs.text("d/added")]).toEqual(["new", "added"]);
    expect(await fs.ino("elsewhere")).toBe(moved);
    const [told] = fs.invalidations;
    expect(told?.all).toBe(false);
    expect(told?.inodes).toEqual(expect.arrayContaining([d, changed, removed, moved, ROOT_INO]));
    expect(told?.entries).toEqual(
      expect.arrayContaining([
        { parent: d, name: "removed", removed },
        { parent: d, name: "moved" },
        { parent: d, name: "added" },
        { parent: ROOT_INO, name: "elsewhere" },
      ]),
    );
    expect(told?.entries).not.toContainEqual(expect.objectContaining({ name: "changed" }));
  });

  test("leaves local changes as they are until the merge", async () => {
    const fs = await VfsHarness.create();
    await fs.make("both", "base");
    await fs.make("renamed-there", "base");
    await fs.make("deleted-here", "base");
    await fs.publish();
    await fs.write(await fs.ino("both"), 0, "mine");
    await fs.write(await fs.ino("renamed-there"), 0, "mine");
    await fs.unlink("deleted-here");
    await adopt(fs, async (other) => {
      await other.write(await other.ino("both"), 0, "THEIRS");
      await other.rename("renamed-there", "new-name");
      await other.write(await other.ino("deleted-here"), 0, "THEIRS");
    });
    expect(await fs.list("")).toEqual(["both", "renamed-there"]);
    expect([await fs.text("both"), await fs.text("renamed-there")]).toEqual(["mine", "mine"]);
    fs.vfs.persist();
    fs.restart();
    expect(await fs.list("")).toEqual(["both", "renamed-there"]);
    const changes = fs.vfs.seal();
    const kept = changes?.objects.find(({ names }) => names.some(({ name }) => name === "both"));
    expect(kept?.base?.size).toBe(4);
    expect(changes).toMatchObject({ reference: fs.root.commit, lamport: fs.root.seq + 1 });
  });

  test("requests a flush when it removes a directory with local changes, which brings the directory back", async () => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("d");
    await fs.make("d/f", "base");
    await fs.publish();
    await fs.write(await fs.ino("d/f"), 0, "mine");
    const reasons: DirtyReason[] = [];
    fs.vfs.onDirty((reason) => reasons.push(reason));
    await adopt(fs, async (other) => {
      await other.unlink("d/f");
      await other.run((vfs) => vfs.removeDirectory(ROOT_INO, "d" as FileName));
    });
    expect(reasons).toContain("urgent");
    expect(fs.vfs.seal()?.reference).toBe(fs.root.commit);
    await fs.publish();
    expect(await fs.text("d/f")).toBe("mine");
  });

  test("is hidden by a local change of the same name; if both are edited, one becomes a conflict copy", async () => {
    const fs = await VfsHarness.create();
    await fs.make("f", "base");
    const open = await fs.make("g", "theirs");
    await fs.publish();
    await fs.write(await fs.ino("f"), 0, "mine");
    await adopt(fs, async (other) => {
      await other.unlink("f");
      await other.rename("g", "f");
    });
    await fs.write(open, 0, "opened");
    expect([await fs.list(""), await fs.text("f")]).toEqual([["f"], "mine"]);
    await fs.publish();
    const names = await fs.list("");
    expect(names).toEqual(["f", expect.stringMatching(/^f \(conflict [0-9a-f]{8}\)$/)]);
    expect([await fs.text("f"), await fs.text(names[1] ?? "")]).toEqual(["opened", "mine"]);
  });

  test.each(["unlinked", "renamed"])(
    "appears if a new local file of the same name was %s during its publish",
    async (how) => {
      const fs = await VfsHarness.create();
      await fs.make("f", "mine");
      await adopt(fs, async (other) => void (await other.make("f", "theirs")));
      expect(await fs.text("f")).toBe("mine");
      const result = await fs.build();
      if (how === "unlinked") await fs.unlink("f");
      else await fs.rename("f", "g");
      expect(await fs.text("f")).toBe("theirs");
      await fs.write(await fs.ino("f"), 0, "edited");
      if (result === undefined) throw new Error("nothing was sealed");
      fs.stand(result.base);
      fs.vfs.published(result);
      await fs.publish();
      const texts = (await fs.list("")).map(async (name) => [name, await fs.text(name)] as const);
      const wanted = how === "unlinked" ? { f: "edited" } : { f: "edited", g: "mine" };
      expect(Object.fromEntries(await Promise.all(texts))).toEqual(wanted);
    },
  );

  test("appears again once the local file leaves its name", async () => {
    const fs = await VfsHarness.create();
    await fs.make("f", "base");
    const open = await fs.make("g", "theirs");
    await fs.publish();
    await fs.write(await fs.ino("f"), 0, "mine");
    await adopt(fs, async (other) => {
      await other.unlink("f");
      await other.rename("g", "f");
    });
    await fs.write(open, 0, "opened");
    await fs.rename("f", "h");
    expect([await fs.list(""), await fs.text("f"), await fs.text("h")]).toEqual([["f", "h"], "opened", "mine"]);
    await fs.unlink("f");
    expect(await fs.list("")).toEqual(["h"]);
    await fs.publish();
    expect([await fs.list(""), await fs.text("h")]).toEqual([["h"], "mine"]);
  });

  test("need not be read to remove and rename files created here", async () => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("d");
    await fs.publish();
    for (const path of ["d/mine", "d/other"]) await fs.make(path, "mine");
    const directory = await fs.ino("d");
    fs.vfs.persist();
    fs.restart();
    // No block is in memory now, and none may be asked for.
    fs.vfs.rename(directory, nameFromText("other"), directory, nameFromText("mine"), 0);
    fs.vfs.unlink(directory, nameFromText("mine"));
    expect(await fs.list("d")).toEqual([]);
  });

  test("is not mistaken for the local file that lost the conflict", async () => {
    const fs = await VfsHarness.create();
    const open = await fs.make("g", "theirs");
    await fs.publish();
    const ours = await fs.make("f", "ours");
    await adopt(fs, (other) => other.rename("g", "f"));
    const result = await fs.build();
    await fs.write(open, 0, "opened");
    // As a merge answers: theirs keeps the name, and ours has a conflict name.
    const base = await fs.others(async (other) => void (await other.make("f (conflict)", "ours")));
    const made = base.changes?.find((change) => change.kind === "dentry");
    const objects = [...(result?.objects ?? [])].map(([ino, object]) => {
      return [ino, ino === ours ? { ...object, id: made?.after ?? object.id } : object] as const;
    });
    if (result === undefined || made?.after === undefined) throw new Error("nothing was published");
    const lost = {
      kind: "dentry",
      parent: ROOT_ID,
      name: "f" as FileName,
      before: made.after,
      after: undefined,
    } as const;
    fs.vfs.published({
      ...result,
      objects: new Map(objects),
      base: { ...base, changes: [...(base.changes ?? []), lost] },
    });
    expect(await fs.list("")).toEqual(["f", "f (conflict)"]);
    expect(fs.invalidations.at(-1)?.entries).toContainEqual({ parent: ROOT_INO, name: "f" });
    await fs.unlink("f");
    await fs.publish();
    expect(await fs.find("f")).toBeUndefined();
    expect(await fs.text("f (conflict)")).toBe("ours");
  });

  test("local changes in a directory that was merged into another survive a restart, whatever a checkpoint wrote", async () => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("d");
    await fs.make("d/x", "old");
    await fs.publish();
    const made = await fs.makeDirectory("k");
    const result = await fs.build();
    await fs.write(await fs.ino("d/x"), 0, "our");
    const base = await fs.others((other) => other.rename("d", "k"));
    const moved = base.changes?.find((change) => change.kind === "dentry" && change.name === "k");
    if (result === undefined || moved?.kind !== "dentry" || moved.after === undefined) throw new Error("nothing moved");
    // As a merge answers: k folded into d, which is at k now.
    const { after: id } = moved;
    const objects = [...result.objects].map(
      ([ino, object]) => [ino, ino === made ? { ...object, id } : object] as const,
    );
    const checkpoint = fs.vfs.checkpoint();
    fs.vfs.published({ ...result, objects: new Map(objects), base });
    await checkpoint;
    fs.restart();
    expect([await fs.list(""), await fs.list("k"), await fs.text("k/x")]).toEqual([["k"], ["x"], "our"]);
    await fs.publish();
    expect([await fs.list(""), await fs.list("k"), await fs.text("k/x")]).toEqual([["k"], ["x"], "our"]);
  });

  test.each([0, 1, 40])(
    "a stat of a large directory reads for the %i directories created in it, but not for the others",
    async (made) => {
      const fs = await VfsHarness.create();
      await fs.makeDirectory("d");
      for (let n = 0; n < 1_000; n++) await fs.make(`d/file ${n}`);
      for (let n = 0; n < 50; n++) await fs.makeDirectory(`d/directory ${n}`);
      await fs.publish();
      for (let n = 0; n < made; n++) await fs.makeDirectory(`d/new ${n}`);
      // These two are one once they are merged.
      await adopt(fs, async (other) => void (await other.makeDirectory("d/new 0")));
      fs.vfs.persist();
      fs.restart();
      const ino = await fs.ino("d");
      fs.restart();
      fs.blocks.forgetCounts();
      const { nlink } = await fs.run((vfs) => vfs.getAttributes(ino));
      expect(nlink).toBe(2 + 50 + Math.max(made, 1));
      // The ways to the directory's own row and to the changed names, which are neighbours; the tree has 60 nodes.
      expect(fs.blocks.reads.length).toBeLessThanOrEqual(6);
    },
  );

  test("two objects of an epoch that exchange ids are both published", async () => {
    const fs = await VfsHarness.create();
    const f = await fs.make("f", "f");
    const g = await fs.make("g", "g");
    await fs.publish();
    await fs.write(f, 0, "F");
    await fs.write(g, 0, "G");
    const result = await fs.build();
    const objects = new Map(result?.objects);
    const [ofF, ofG] = [objects.get(f), objects.get(g)];
    if (result === undefined || ofF === undefined || ofG === undefined) throw new Error("nothing was sealed");
    fs.vfs.published({ ...result, objects: objects.set(f, ofG).set(g, ofF) });
    expect([fs.vfs.pending().files, fs.vfs.seal()]).toEqual([0, undefined]);
  });

  test.each(["apart", "inside"])(
    "keeps local changes in a directory that a new local one is merged into (%s)",
    async (where) => {
      const fs = await VfsHarness.create();
      const old = await fs.makeDirectory("d");
      await fs.make("d/x", "old");
      await fs.publish();
      const made = await fs.makeDirectory("k");
      await fs.make("k/new", "new");
      const result = await fs.build();
      await fs.write(await fs.ino("d/x"), 0, "our");
      await fs.make("d/y", "our");
      if (where === "inside") await fs.rename("k", "d/k");
      const base = await fs.others(async (other) => {
        await other.rename("d", "k");
        await other.make("k/new", "new");
      });
      if (result === undefined) throw new Error("nothing was sealed");
      // As a merge answers: k folded into d, which is at k now.
      const { changes = [] } = base;
      const idAt = (name: string) =>
        changes.flatMap((c) => (c.kind === "dentry" && c.name === name && c.after ? [c.after] : []))[0];
      const [directory, file] = [idAt("k"), idAt("new")];
      if (directory === undefined || file === undefined) throw new Error("nothing was made");
      const objects = [...result.objects].map(([ino, object]) => {
        if (ino === made) return [ino, { ...object, id: directory }] as const;
        const inside = { ...object, id: file, names: [{ parent: directory, name: "new" as FileName }] };
        return [ino, object.record.type === "file" ? inside : object] as const;
      });
      fs.vfs.published({ ...result, objects: new Map(objects), base });
      // The one that holds the other keeps its number, and is where it was until it is merged.
      const [stays, goes, path] = where === "inside" ? [old, made, "d"] : [made, old, "k"];
      expect(await fs.list(path)).toEqual(["new", "x", "y"]);
      expect([await fs.ino(path), await fs.text(`${path}/x`)]).toEqual([stays, "our"]);
      fs.vfs.persist();
      fs.restart();
      expect([await fs.ino(path), await fs.text(`${path}/y`), await fs.text(`${path}/new`)]).toEqual([
        stays,
        "our",
        "new",
      ]);
      await fs.publish();
      expect([await fs.list(""), await fs.list(path), await fs.text(`${path}/x`)]).toEqual([
        [path],
        ["new", "x", "y"],
        "our",
      ]);
      expect(await errnoOf(fs.run((vfs) => vfs.setAttributes(goes, { mode: 0o700 })))).toBe(ERRNO.ESTALE);
    },
  );

  test("counts subdirectories of both sides", async () => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("d");
    await fs.publish();
    await fs.makeDirectory("d/mine");
    await adopt(fs, async (other) => void (await other.makeDirectory("d/theirs")));
    expect((await fs.find("d"))?.nlink).toBe(4);
  });

  test("too many changes to list invalidate everything", async () => {
    const fs = await VfsHarness.create();
    await fs.make("f", "old");
    await fs.publish();
    expect(await fs.text("f")).toBe("old");
    const base = await fs.others(async (other) => other.write(await other.ino("f"), 0, "new"));
    fs.vfs.adopt({ ...base, changes: undefined });
    expect(fs.invalidations.at(-1)).toEqual({ entries: [], inodes: [], all: true });
    expect(await fs.text("f")).toBe("new");
  });
});

describe("an inode number", () => {
  test("stays with its object through publishing, renames and restarts, and is never reused", async () => {
    const fs = await VfsHarness.create();
    const numbers = new Set<Ino>();
    const first = await fs.make("a", "1");
    numbers.add(first);
    for (let round = 0; round < 10; round++) {
      await fs.rename(round % 2 === 0 ? "a" : "b", round % 2 === 0 ? "b" : "a");
      if (round % 3 === 0) await fs.publish();
      fs.vfs.persist();
      if (round % 4 === 1) fs.restart();
      const temporary = await fs.make("t");
      expect(numbers.has(temporary)).toBe(false);
      numbers.add(temporary);
      await fs.unlink("t");
      fs.vfs.forget(temporary);
      expect(await fs.ino(round % 2 === 0 ? "b" : "a")).toBe(first);
    }
  });

  test("follows an object that others moved, and is stale once they removed it", async () => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("d");
    const [moved, gone, dir] = [
      await fs.make("d/moved", "m"),
      await fs.make("d/gone", "g"),
      await fs.makeDirectory("e"),
    ];
    await fs.publish();
    await adopt(fs, async (other) => {
      await other.rename("d/moved", "e/moved");
      await other.rename("e", "d/e");
      await other.unlink("d/gone");
    });
    expect((await fs.read(moved)).toString()).toBe("m");
    expect((await fs.run((vfs) => vfs.getAttributes(dir))).ino).toBe(dir);
    expect(await errnoOf(fs.run((vfs) => vfs.getAttributes(gone)))).toBe(ERRNO.ESTALE);
    expect(await fs.ino("d/e/moved")).toBe(moved);
    await fs.run((vfs) => vfs.lookup(ROOT_INO, "d" as FileName));
    expect(fs.vfs.pathOf(moved)).toBe("/d/e/moved");
  });

  test("of a replaced file stays readable until released, and the name gets the new file's number", async () => {
    const fs = await VfsHarness.create();
    const old = await fs.make("f", "old");
    await fs.publish();
    const fresh = await fs.make(".f.tmp", "new");
    await fs.rename(".f.tmp", "f");
    await fs.publish();
    expect([await fs.ino("f"), await fs.text("f")]).toEqual([fresh, "new"]);
    expect((await fs.read(old)).toString()).toBe("old");
    fs.vfs.forget(old);
    expect(await errnoOf(fs.read(old))).toBe(ERRNO.ESTALE);
    fs.vfs.persist();
    fs.restart();
    expect([await fs.ino("f"), await fs.text("f")]).toEqual([fresh, "new"]);
  });
});

describe("publishing", () => {
  test("does not block writes: changes after the seal form the next epoch", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f", "first");
    await fs.make("gone", "x");
    const result = await fs.build();
    await fs.write(ino, 0, "second");
    await fs.unlink("gone");
    await fs.make("born", "new");
    expect(fs.vfs.heldEpochs).toHaveLength(2);
    if (result !== undefined) fs.vfs.published(result);
    expect([await fs.text("f"), await fs.list("")]).toEqual(["second", ["born", "f"]]);
    const next = fs.vfs.seal();
    expect(next?.objects.map(({ names }) => names[0]?.name ?? "").sort()).toEqual(["", "", "born", "f"]);
    expect(next?.objects.find((object) => object.ino === ino)?.base?.size).toBe(5);
  });

  test("frees the data files once the journal's record of it is durable", async () => {
    const clock = new ManualClock();
    const fs = await VfsHarness.create({}, clock);
    await fs.make("small", "s");
    await fs.write(await fs.make("large"), 0, Buffer.alloc(100_000, 1));
    await fs.publish();
    expect(fs.disk.list("data")).toHaveLength(2);
    await clock.advance(2_000);
    expect(fs.disk.list("data")).toEqual([]);
  });

  test("notifies the agent of writes now and then, and of the first close after each seal", async () => {
    const clock = new ManualClock();
    const fs = await VfsHarness.create({}, clock);
    const reasons: DirtyReason[] = [];
    fs.vfs.onDirty((reason) => reasons.push(reason));
    const inos = [await fs.make("a", "1"), await fs.make("b", "2"), await fs.make("c", "3")];
    for (const ino of inos) fs.vfs.closed(ino);
    expect(reasons).toEqual(["write", "close"]);
    await clock.advance(150);
    await fs.write(inos[0] ?? ROOT_INO, 0, "x");
    expect(reasons).toEqual(["write", "close", "write"]);
    const result = await fs.build();
    await fs.write(inos[0] ?? ROOT_INO, 0, "y");
    fs.vfs.closed(inos[0] ?? ROOT_INO);
    await fs.vfs.fsync(inos[0] ?? ROOT_INO);
    expect(reasons.slice(3)).toEqual(["write", "close"]);
    if (result !== undefined) fs.vfs.published(result);
    expect(reasons.slice(5)).toEqual(["close"]);
  });

  test.each([
    ["a removed name", (fs: VfsHarness) => fs.unlink("f")],
    ["a new directory", (fs: VfsHarness) => fs.makeDirectory("d")],
    ["a renamed file", (fs: VfsHarness) => fs.rename("f", "g")],
  ])("notifies the agent of %s as a change that no close follows", async (_, change: (fs: VfsHarness) => unknown) => {
    const fs = await VfsHarness.create();
    await fs.make("f", "text");
    await fs.publish();
    const reasons: DirtyReason[] = [];
    fs.vfs.onDirty((reason) => reasons.push(reason));
    await change(fs);
    expect(reasons).toEqual(["change"]);
  });

  test("a result that does not fit the sealed epoch changes nothing", async () => {
    const fs = await VfsHarness.create();
    await fs.make("f", "first");
    const result = await fs.build();
    const before = await fs.snapshot();
    if (result === undefined) throw new Error("nothing was sealed");
    expect(() => fs.vfs.published({ ...result, epoch: 99 })).toThrow("do not match the sealed epoch");
    expect(() => fs.vfs.published({ ...result, objects: new Map() })).toThrow("do not match the sealed epoch");
    fs.vfs.published(result);
    fs.restart();
    expect(await fs.snapshot()).toEqual(before);
  });
});

describe("loading blocks", () => {
  test("stops at the time limit, or when the caller aborts", async () => {
    const clock = new ManualClock();
    const fs = await VfsHarness.create({}, clock);
    fs.blocks.getMany = () => new Promise(() => {});
    const [cid] = fs.blocks.held.keys();
    if (cid === undefined) throw new Error("there are no blocks");
    const [outcome] = await Promise.allSettled([fs.vfs.load([cid]), clock.advance(30_000)]);
    expect(outcome).toMatchObject({ status: "rejected", reason: { code: "read_timeout" } });
    await clock.advance(1_000);
    const abort = new AbortController();
    const load = fs.vfs.load([cid], abort.signal);
    abort.abort(new Error("interrupted"));
    await expect(load).rejects.toThrow("interrupted");
  });

  test("reads ahead in a file that is read from its start", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f");
    for (let at = 0; at < 40; at++) await fs.write(ino, at * 100_000, noise(100_000, at));
    await fs.publish();
    fs.restart();
    let waits = 0;
    const { load } = fs.vfs;
    fs.vfs.load = (cids, signal) => (waits++, load.call(fs.vfs, cids, signal));
    for (let at = 0; at < 4_000_000; at += 65_536) await fs.read(ino, at, 65_536);
    const chunks = fs.blocks.reads.length;
    expect(chunks).toBeGreaterThan(30);
    expect(waits).toBeLessThan(chunks / 2);
  });

  test("fetches each block of a file that is read in order once, although the file is larger than memory", async () => {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f");
    const sizeMiB = (3 * CONTENT_BYTES) / MiB;
    for (let at = 0; at < sizeMiB; at++) await fs.write(ino, at * MiB, randomBytes(MiB));
    await fs.publish();
    fs.restart();
    fs.blocks.reads.length = 0;
    for (let at = 0; at < sizeMiB; at++) await fs.read(ino, at * MiB, MiB);
    expect(fs.blocks.reads.length).toBeGreaterThan(sizeMiB);
    expect(new Set(fs.blocks.reads).size).toBe(fs.blocks.reads.length);
    // What was read ahead for those who then read elsewhere does not displace what is used.
    for (let at = 0; at < 60; at++)
      for (const step of [0, 1, 2]) await fs.read(ino, ((at * 29) % 64) * MiB + step * 65_536, 65_536);
    const hot = async (times: number) => {
      fs.blocks.reads.length = 0;
      for (let at = 0; at < times; at++) await fs.read(ino, 20 * MiB + ((at * 37) % 640) * 16_384, 16_384);
      return fs.blocks.reads.length;
    };
    await hot(1_280);
    expect(await hot(640)).toBe(0);
  });
});

function noise(length: number, seed: number): Uint8Array {
  let state = seed + 1;
  return Uint8Array.from({ length }, () => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 24);
}
