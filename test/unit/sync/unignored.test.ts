/** What was removed at an ignored path stays in the bucket, also once the path is ignored no longer. */
import { expect, test } from "vitest";
import type { Bucket } from "../../../src/bucket/bucket.ts";
import { blake3 } from "../../../src/crypto/hash.ts";
import { parseRules } from "../../../src/sync/scan/ignore-rules.ts";
import { afterListing, bucketTree, path, settle, twoFolders } from "../../support/sync-world.ts";

const RULES = path(".synclineignore");
const ALL = ["archive/1", "archive/2", "archive/3", "archive/in/4"];

/** Two folders that have an archive, which the first one ignores. */
async function ignoredArchive() {
  const { world, a, b } = await twoFolders();
  for (const directory of ["archive", "archive/in"]) a.disk.make(path(directory));
  for (const file of ALL) a.disk.write(path(file), file);
  await settle(world);
  a.disk.write(RULES, "archive/\n");
  await settle(world);
  const bucket = async (below: string) =>
    [...(await bucketTree(world.bucket)).keys()].filter((name) => name.startsWith(below)).sort();
  return { world, a, b, bucket };
}

test.each(["here", "elsewhere"])("its rule is removed %s after a pass: all comes back", async (where) => {
  const { world, a, b, bucket } = await ignoredArchive();
  for (const file of ALL) a.disk.remove(path(file));
  for (const directory of ["archive/in", "archive"]) a.disk.remove(path(directory));
  await settle(world);
  (where === "here" ? a : b).disk.remove(RULES);
  await settle(world);
  expect(await bucket("archive/")).toEqual(expect.arrayContaining(ALL));
  for (const { disk } of [a, b]) expect([...disk.tree().keys()]).toEqual(expect.arrayContaining(ALL));
});

test("its rule is removed in the same pass: all comes back, and what is removed afterwards goes", async () => {
  const { world, a, b, bucket } = await ignoredArchive();
  for (const file of ["archive/1", "archive/in/4"]) a.disk.remove(path(file));
  a.disk.remove(RULES);
  await settle(world);
  expect(await bucket("archive/")).toEqual(expect.arrayContaining(ALL));
  expect([...a.disk.tree().keys()]).toEqual(expect.arrayContaining(ALL));
  a.disk.remove(path("archive/1"));
  await settle(world);
  expect(await bucket("archive/1")).toEqual([]);
  expect(b.disk.tree().has("archive/1")).toBe(false);
});

test("its directory is moved out of the ignored path: what had gone from it comes back there", async () => {
  const { world, a, b, bucket } = await ignoredArchive();
  a.disk.remove(path("archive/1"));
  await settle(world);
  a.disk.remove(path("archive/in/4"));
  a.disk.move(path("archive"), path("photos"));
  await settle(world);
  const moved = ALL.map((name) => name.replace("archive", "photos"));
  expect(await bucket("photos/")).toEqual(expect.arrayContaining(moved));
  for (const { disk } of [a, b]) expect([...disk.tree().keys()]).toEqual(expect.arrayContaining(moved));
});

test("it was moved away: it keeps its identity, and does not come back", async () => {
  const { world, a, bucket } = await ignoredArchive();
  a.disk.move(path("archive/1"), path("1"));
  a.disk.remove(RULES);
  expect((await a.sync()).local.map(({ action }) => action)).toContain("moved");
  expect(await bucket("archive/1")).toEqual([]);
  expect((await bucketTree(world.bucket)).get("1")).toBe("archive/1");
});

test("an earlier version kept only a digest of the rules: what is gone when they change may have been ignored", async () => {
  const { world, a, bucket } = await ignoredArchive();
  a.disk.remove(path("archive/1"));
  const { digest } = await parseRules("archive/\n");
  expect(a.db.fact("rules")).toBe(digest);
  a.db.setFact("rules source", undefined);
  a.disk.remove(RULES);
  await settle(world);
  expect(await bucket("archive/")).toEqual(expect.arrayContaining(ALL));
});

test("an upgrade alone brings nothing back", async () => {
  const { world, a, bucket } = await ignoredArchive();
  a.disk.write(path("plain"), "1");
  await settle(world);
  a.db.setFact("rules source", undefined);
  a.disk.remove(path("plain"));
  await settle(world);
  expect(await bucket("plain")).toEqual([]);
});

test("its rule is narrowed: what the new rule ignores stays in the bucket, too", async () => {
  const { world, a, bucket } = await ignoredArchive();
  for (const name of ["archive/in", "archive"]) a.disk.remove(path(name));
  await settle(world);
  a.disk.write(RULES, "/archive/1\n/archive/in/4\n");
  await settle(world);
  expect(await bucket("archive/")).toEqual(expect.arrayContaining(ALL));
});

test("its rule goes while its directory cannot be read: what is gone stays in the bucket", async () => {
  const { world, a, bucket } = await ignoredArchive();
  a.disk.remove(path("archive/in/4"));
  await settle(world);
  a.disk.remove(RULES);
  const { list } = a.disk;
  a.disk.list = async (at) => {
    if (at.join("/") === "archive") throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    return list.call(a.disk, at);
  };
  await a.sync();
  a.disk.list = list;
  await settle(world);
  expect(await bucket("archive/")).toEqual(expect.arrayContaining(ALL));
});

test("a log does not come back beside a database that went on without it", async () => {
  const { world, a } = await twoFolders();
  for (const name of ["x.db", "x.db-wal"]) a.disk.write(path(name), name);
  await settle(world);
  a.disk.write(RULES, "*-wal\n");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("x.db"), "with all that the log had");
  a.disk.remove(path("x.db-wal"));
  await settle(world);
  a.disk.remove(RULES);
  await settle(world);
  expect(Object.fromEntries(a.disk.tree())).toEqual({ "x.db": "with all that the log had" });
});

test("a file that moves while its rule goes and the walk misses it keeps its identity", async () => {
  const { a, bucket } = await ignoredArchive();
  a.disk.write(RULES, "another\n");
  const { list } = a.disk;
  let hasMoved = false;
  a.disk.list = async (at) => {
    // The walk has listed the top by now.
    if (at.join("/") === "archive" && !hasMoved) {
      hasMoved = true;
      a.disk.move(path("archive/1"), path("1"));
    }
    return list.call(a.disk, at);
  };
  expect((await a.sync()).local.map(({ action }) => action)).toContain("moved");
  await a.sync();
  expect([hasMoved, await bucket("1"), await bucket("archive/1")]).toEqual([true, ["1"], []]);
});

test("a deletion goes through after a pass in which the rule went and files kept moving", async () => {
  const { world, a, bucket } = await ignoredArchive();
  a.disk.make(path("busy"));
  for (let each = 1; each <= 5; each++) a.disk.write(path(`busy/${each}`), `${each}`);
  await settle(world);
  a.disk.remove(path("archive/2"));
  a.disk.write(RULES, "another\n");
  let walks = 0;
  {
    using _ = afterListing(a, "busy", () => {
      if (++walks <= 5) a.disk.remove(path(`busy/${walks}`));
    });
    expect((await a.sync()).unstable.length).toBeGreaterThan(0);
  }
  a.disk.tick(3_000_000_000n);
  a.disk.remove(path("archive/1"));
  await settle(world);
  expect([await bucket("archive/1"), await bucket("archive/2")]).toEqual([[], ["archive/2"]]);
});

test("what stays in the bucket does not count as waiting while the bucket is out of reach", async () => {
  const { world, a } = await ignoredArchive();
  a.disk.remove(path("archive/1"));
  await a.sync();
  a.disk.write(RULES, "another\n");
  a.disk.tick(3_000_000_000n);
  const counted: number[] = [];
  const waiting = ({ files }: { readonly files: number }) => void counted.push(files);
  const bucket: Bucket = Object.assign(Object.create(world.bucket), {
    head: () => Promise.reject(new Error("offline")),
  });
  await expect(a.sync({ bucket, progress: { mayCount: () => true, waiting } })).rejects.toThrow("offline");
  // The file of rules alone.
  expect(counted.at(-1)).toBe(1);
  await settle(world);
  expect(a.disk.tree().has("archive/1")).toBe(true);
});

test("rules that are only comments are the same to an earlier version", async () => {
  const { world, a } = await twoFolders();
  a.disk.write(RULES, "# nothing yet\n");
  a.disk.write(path("1"), "1");
  await settle(world);
  a.db.setFact("rules source", undefined);
  expect(a.db.fact("rules")).toBe(Buffer.from(blake3(Buffer.from("# nothing yet\n"))).toString("hex", 0, 16));
  a.disk.remove(path("1"));
  await settle(world);
  expect((await bucketTree(world.bucket)).has("1")).toBe(false);
});
