/** Others have moved a directory to a path that is ignored here, and it has not left the folder yet. */
import { expect, test } from "vitest";
import { bucketTree, killed, pair, path, settle, syncWorld } from "../../../support/sync-world.ts";

const RULES = path(".synclineignore");
/** Kills at every fifth change of the disk, or at each one. */
const STEP = process.env["SYNCLINE_TEST_ALL"] === undefined ? 5 : 1;

/** A folder that ignores its archive. `move`: others move `p` into the archive. */
async function aboutToMove(names: readonly string[], rules = "/archive/\n") {
  const world = await syncWorld(2);
  const [a, c] = pair(world);
  c.disk.write(RULES, "/.synclineignore\n");
  await settle(world);
  for (const name of ["archive", "p", "p/q", "p/.git"]) c.disk.make(path(name));
  for (const name of names) c.disk.write(path(name), name);
  await settle(world);
  a.disk.write(RULES, rules);
  await settle(world);
  for (const { disk } of [a, c]) disk.tick(3_000_000_000n);
  const move = async () => {
    c.disk.move(path("p"), path("archive/p"));
    await c.sync();
  };
  return { world, a, move };
}

/** So many files that the move awaits approval. */
const MANY = Array.from({ length: 150 }, (_, each) => `p/f${each}`);

test("a database that goes on without its log does so in the bucket, too", async () => {
  const { world, a, move } = await aboutToMove(["p/x.db", "p/x.db-wal", ...MANY]);
  await move();
  expect((await a.sync()).held).toBeDefined();
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("p/x.db"), "all that the log had");
  a.disk.remove(path("p/x.db-wal"));
  await settle(world);
  const tree = await bucketTree(world.bucket);
  expect(tree.get("archive/p/x.db")).toBe("all that the log had");
  expect(tree.has("archive/p/x.db-wal")).toBe(false);
});

test("files that a program removed from a repository are removed in the bucket, too", async () => {
  const { world, a, move } = await aboutToMove(["p/.git/HEAD", "p/.git/MERGE_HEAD", ...MANY]);
  await move();
  expect((await a.sync()).held).toBeDefined();
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("p/.git/HEAD"), "after the merge");
  a.disk.remove(path("p/.git/MERGE_HEAD"));
  await settle(world);
  const tree = await bucketTree(world.bucket);
  expect(tree.get("archive/p/.git/HEAD")).toBe("after the merge");
  expect(tree.has("archive/p/.git/MERGE_HEAD")).toBe(false);
});

test("a database and its log that are removed here together stay in the bucket", async () => {
  const { world, a, move } = await aboutToMove(["p/x.db", "p/x.db-wal", ...MANY]);
  await move();
  expect((await a.sync()).held).toBeDefined();
  a.disk.tick(3_000_000_000n);
  a.disk.remove(path("p"));
  await settle(world);
  expect([...(await bucketTree(world.bucket)).keys()]).toEqual(
    expect.arrayContaining(["archive/p/x.db", "archive/p/x.db-wal"]),
  );
});

test.each(["p", "p/q"])(
  "a pass dies on the way, then %s is removed: ignored files in it stay in the bucket",
  async (what) => {
    for (let notes = 0; ; notes++) {
      const { world, a, move } = await aboutToMove(["p/x.log", "p/q/y.log", "p/q/2", "p/1"], "/archive/\n*.log\n");
      await move();
      a.notes = notes;
      const hasDied = await a.sync().then(
        () => false,
        () => true,
      );
      if (!hasDied) break;
      a.notes = undefined;
      if (!a.disk.tree().has(what)) continue;
      a.disk.tick(3_000_000_000n);
      a.disk.remove(path(what));
      await settle(world);
      const tree = await bucketTree(world.bucket);
      expect([...tree.keys()], `died at ${notes}`).toEqual(
        expect.arrayContaining(["archive/p/x.log", "archive/p/q/y.log"]),
      );
    }
  },
);

test.each(["there is a log", "there is no log"])(
  "a pass dies while the directory leaves, and a program goes on: %s",
  async (log) => {
    const names = ["p/.git/HEAD", "p/.git/index", "p/.git/object", "p/x.db", "p/x.db-wal"];
    for (let change = 0; ; change += STEP) {
      const { world, a, move } = await aboutToMove(names);
      await move();
      if (log === "there is no log") Object.assign(a.disk, { boot: undefined });
      if (!(await killed(a, change))) break;
      if (log === "there is a log") Object.assign(a.disk, { boot: `boot ${change}` });
      const isThere = (name: string) => a.disk.tree().has(name);
      if (isThere("p/.git/HEAD") && isThere("p/.git/index")) a.disk.write(path("p/.git/index"), "program");
      await a.sync({ again: true });
      await settle(world);
      const there = [...(await bucketTree(world.bucket)).keys()];
      expect(there, `killed at ${change}`).toEqual(expect.arrayContaining(names.map((name) => `archive/${name}`)));
    }
  },
);
