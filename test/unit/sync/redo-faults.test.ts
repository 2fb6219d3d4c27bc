/** What can go wrong with the log of actions in the folder: it is durable before it is believed, goes on behind what failed, and wedges nothing. */
import { describe, expect, test } from "vitest";
import { NEW_PATH } from "../../../src/sync/disk/paths.ts";
import {
  bucketTree,
  killed,
  path,
  REDO_LOG,
  redoLogOf,
  settledTree,
  settle,
  twoFolders,
} from "../../support/sync-world.ts";

/** Each moment at which the process may die is tried with SYNCLINE_TEST_ALL; otherwise some of them. */
const isAll = process.env["SYNCLINE_TEST_ALL"] !== undefined;

describe.each(["at a time", "one by one"] as const)("%s", (places) => {
  async function incoming(names: readonly string[]) {
    const { world, a, b } = await twoFolders();
    if (places === "one by one") b.disk.placeAll = undefined;
    a.disk.write(path("0"), "0");
    await settle(world);
    a.disk.tick(3_000_000_000n);
    for (const each of names) a.disk.write(path(each), `new ${each}`);
    await a.sync();
    b.disk.tick(3_000_000_000n);
    return { world, a, b };
  }

  test("the log continues after a file whose place was taken", async () => {
    const names = ["f1", "f2", "f3", "f4", "f5", "f6"];
    let deleted = 0;
    for (let change = 30; ; change += isAll ? 1 : 5) {
      const { world, b } = await incoming(names);
      let told = false;
      b.disk.before = () => {
        if (told || b.disk.tree(NEW_PATH).get("redo")?.includes("placing") !== true) return;
        told = true;
        b.disk.write(path("f1"), "somebody's");
      };
      if (!(await killed(b, change))) break;
      b.disk.before = () => {};
      const arrived = names.slice(1).filter((each) => b.disk.tree().has(each));
      for (const each of arrived) b.disk.remove(path(each));
      const whole = await settledTree(world);
      for (const each of names.slice(1))
        expect([change, each, whole.has(each)]).toEqual([change, each, !arrived.includes(each)]);
      deleted += arrived.length;
    }
    expect(deleted).toBeGreaterThan(1);
  });

  test.each([
    ["a change in the log", "boot 1"],
    ["a change that no log records", "boot 2"],
  ])("%s is durable before the database records it", async (_, boot) => {
    const { b } = await incoming(["f1", "f2", "f3", "f4", "f5", "f6"]);
    let change = 0;
    for (; !(await redoLogOf(b)).match(/\.\n|\.$/); change++) await killed(b, 10 + change);
    b.disk.boot = boot;
    const synced: string[] = [];
    const sync = b.disk.syncDirectory.bind(b.disk);
    b.disk.syncDirectory = async (at) => {
      synced.push(at.join("/"));
      await sync(at);
    };
    const first = b.db.transaction;
    let before: string[] | undefined;
    b.db.transaction = async (work, told) =>
      first(async () => {
        const result = await work();
        before ??= [...synced];
        return result;
      }, told);
    await b.sync();
    expect(before).toContain("");
  });

  test("removing a directory that has just arrived deletes nothing that had not arrived yet", async () => {
    const names = ["made/1", "made/2", "made/3", "made/4", "made/5", "z1"];
    for (let change = 2; ; change += isAll ? 1 : 23) {
      const { world, a, b } = await incoming([]);
      a.disk.make(path("made"));
      for (const each of names) a.disk.write(path(each), `new ${each}`);
      await a.sync();
      b.disk.tick(3_000_000_000n);
      if (!(await killed(b, change))) break;
      const tree = b.disk.tree();
      const arrived = new Set(names.filter((each) => tree.has(each) && each.startsWith("made")));
      if (tree.has("made")) b.disk.remove(path("made"));
      const whole = await settledTree(world);
      for (const each of names) expect([change, each, whole.has(each)]).toEqual([change, each, !arrived.has(each)]);
    }
  });
});

test.each([0, 1])(
  "files that exchanged names and are edited then get no conflict copy, with %i log lines missing",
  async (missing) => {
    for (let change = 4; ; change += isAll ? 1 : 8) {
      const { world, a, b } = await twoFolders();
      for (const each of ["f", "g"]) a.disk.write(path(each), `old ${each}`);
      await settle(world);
      a.disk.tick(3_000_000_000n);
      a.disk.move(path("f"), path("h"));
      a.disk.move(path("g"), path("f"));
      a.disk.move(path("h"), path("g"));
      await a.sync();
      b.disk.tick(3_000_000_000n);
      if (!(await killed(b, change))) break;
      const lines = (await redoLogOf(b)).split("\n").filter((line) => line !== "");
      const kept = lines.slice(0, Math.max(lines.length - missing, 0));
      if (lines.length > 1) b.disk.write(REDO_LOG, kept.map((line) => `${line}\n`).join(""));
      for (const [each, text] of b.disk.tree()) b.disk.write(path(each), `edited ${text}`);
      expect([change, ...(await settledTree(world)).keys()].sort()).toEqual([change, "f", "g"].sort());
    }
  },
);

test("a replaced file that is deleted then stays deleted, even if the next run is killed too", async () => {
  let deleted = 0;
  for (let change = 8, died = true; died; change++) {
    for (const next of [2, 3, 4]) {
      const { world, a, b } = await twoFolders();
      a.disk.write(path("f"), "old");
      await settle(world);
      a.disk.tick(3_000_000_000n);
      a.disk.save(path("f"), "newer");
      await a.sync();
      b.disk.tick(3_000_000_000n);
      died = await killed(b, change);
      if (!died) break;
      await killed(b, next);
      if (b.disk.tree().get("f") !== "newer") continue;
      b.disk.remove(path("f"));
      deleted++;
      expect([change, next, ...(await settledTree(world)).keys()]).toEqual([change, next]);
    }
  }
  expect(deleted).toBeGreaterThan(0);
});

test.each([
  ["null", '["put",[null,"1","id","AAAA","","AAAA"]]'],
  ["an object", '["remove",[{},"x"]]'],
  ["a list", '["remove",[["a","b"],"x"]]'],
])("a log with %s instead of a string blocks nothing", async (_, line) => {
  const { world, a, b } = await twoFolders();
  for (const each of ["1", "2", "3", "4", "5"]) a.disk.write(path(each), each);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  for (const each of ["1", "2", "3", "4", "5"]) a.disk.save(path(each), `newer ${each}`);
  await a.sync();
  let change = 10;
  while ((await redoLogOf(b)).split("\n").length < 3) await killed(b, change++);
  const [header, ...rest] = (await redoLogOf(b)).split("\n");
  const put = rest.find((each) => each.startsWith('["exchanging"'));
  const entry = JSON.parse(put ?? "[]") as [string, string[]];
  const text = line.startsWith('["put"') ? JSON.stringify(["put", [null, ...entry[1].slice(1)]]) : line;
  b.disk.write(REDO_LOG, `${header}\n${text}\n`);
  const was = await bucketTree(world.bucket);
  expect(await settledTree(world)).toEqual(was);
});

test("an unreadable log blocks nothing", async () => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path("1"), "1");
  await settle(world);
  b.disk.write(REDO_LOG, "somebody's");
  const read = b.disk.read.bind(b.disk);
  b.disk.read = async (at) => {
    if (at.join() === REDO_LOG.join()) throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    return read(at);
  };
  await b.sync();
  expect(await b.disk.list(NEW_PATH)).toEqual([]);
});

test("a log that somebody removes during a pass does not fail it", async () => {
  const { world, a, b } = await twoFolders();
  await settle(world);
  for (const each of ["1", "2", "3", "4", "5"]) a.disk.write(path(each), each);
  await a.sync();
  b.disk.before = () => {
    if (b.disk.tree(NEW_PATH).get("redo")?.includes("placing") === true) b.disk.remove(REDO_LOG);
  };
  await b.sync();
  expect(b.disk.tree().size).toBe(5);
});
