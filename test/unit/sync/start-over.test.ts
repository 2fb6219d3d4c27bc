/** A synced folder that is newer than its bucket, which somebody accepted. */
import { expect, test } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { resetFolder } from "../../../src/sync/start-over.ts";
import { pair, path, settle, settledTree, syncWorld } from "../../support/sync-world.ts";

test("a folder newer than its bucket merges with the older state: its own files come back, and nothing is lost", async () => {
  const world = await syncWorld(2);
  const [a, b] = pair(world);
  for (const name of ["same", "changed", "removed"]) a.disk.write(path(name), `old ${name}`);
  await settle(world);
  const old = (await world.bucket.head()).commit.cid;
  a.disk.write(path("changed"), "new changed");
  a.disk.write(path("new"), "new");
  a.disk.remove(path("removed"));
  await a.sync();
  world.remote.forceRoot(old);
  await expect(a.sync()).rejects.toMatchObject({ code: "root_rolled_back" });
  b.disk.write(path("of b"), "of b");
  await b.sync();
  a.disk.tick(3_000_000_000n);
  await a.sync({ accept: true });
  const tree = await settledTree(world);
  const named = [...tree].map(([name, text]) => [name.replace(/conflict [0-9a-f]+/, "conflict"), text] as const);
  const { changed, "changed (conflict)": other, ...rest } = Object.fromEntries(named);
  expect([changed, other].sort()).toEqual(["new changed", "old changed"]);
  expect(rest).toEqual({ same: "old same", new: "new", removed: "old removed", "of b": "of b" });
});

test("a folder continues as it was if its bucket is not older, or was never synced", async () => {
  const world = await syncWorld(1);
  const [a] = world.folders;
  if (a === undefined) throw new Error("there is a folder");
  expect(await resetFolder(a.db, world.bucket, silentLog)).toBe(false);
  a.disk.write(path("file"), "file");
  await settle(world);
  const entries = [...a.db.entries()];
  expect(await resetFolder(a.db, world.bucket, silentLog)).toBe(false);
  expect([...a.db.entries()]).toEqual(entries);
});
