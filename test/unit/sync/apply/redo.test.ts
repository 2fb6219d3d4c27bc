/** A process that is killed between an action in the folder and its note in the database: what somebody does then counts as done to what was there. */
import { describe, expect, test } from "vitest";
import { ROOT_ID, type FileName } from "../../../../src/base/ids.ts";
import { NEW_PATH } from "../../../../src/sync/disk/paths.ts";
import {
  bucketTree,
  killed,
  path,
  REDO_LOG,
  redoLogOf,
  settledTree,
  type SyncedFolder,
  type SyncWorld,
  settle,
  twoFolders,
} from "../../../support/sync-world.ts";

const NEW = ["d/1", "d/2", "d/3", "d/4", "d/5", "lone", "made/6"];
const NEWER = ["old/1", "old/2", "old/3"];

interface Incoming {
  readonly world: SyncWorld;
  readonly a: SyncedFolder;
  readonly b: SyncedFolder;
}

/** `b` is about to get new files, newer versions, a directory, a file at another name, and to lose one. */
async function incoming(places: "at a time" | "one by one"): Promise<Incoming> {
  const { world, a, b } = await twoFolders();
  if (places === "one by one") b.disk.placeAll = undefined;
  for (const each of ["d", "old"]) a.disk.make(path(each));
  for (const each of [...NEWER, "gone", "moved"]) a.disk.write(path(each), `first ${each}`);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  a.disk.make(path("made"));
  for (const each of NEW) a.disk.write(path(each), `new ${each}`);
  for (const each of NEWER) a.disk.save(path(each), `newer ${each}`);
  a.disk.remove(path("gone"));
  a.disk.move(path("moved"), path("made/moved"), "free");
  await a.sync();
  b.disk.tick(3_000_000_000n);
  return { world, a, b };
}

/** Each moment at which the process may die, or with SYNCLINE_TEST_ALL unset every seventh. */
async function atEachMoment(
  places: "at a time" | "one by one",
  judge: (moment: Incoming) => Promise<void>,
): Promise<number> {
  for (let change = 0; ; change += STEP) {
    const moment = await incoming(places);
    if (!(await killed(moment.b, change))) return change;
    await judge(moment);
  }
}

/** What came to the folder before the process died. */
function arrivedIn({ disk }: SyncedFolder): string[] {
  const tree = disk.tree();
  return [...NEW, ...NEWER].filter((each) => /^newe?r? /.test(tree.get(each) ?? ""));
}

describe.each(["at a time", "one by one"] as const)("when files are placed %s", (places) => {
  test("files deleted after a crash stay deleted, and files not placed yet arrive", async () => {
    let deleted = 0;
    const moments = await atEachMoment(places, async ({ world, b }) => {
      const arrived = arrivedIn(b);
      for (const each of arrived) b.disk.remove(path(each));
      const whole = await settledTree(world);
      for (const each of [...NEW, ...NEWER]) expect([each, whole.has(each)]).toEqual([each, !arrived.includes(each)]);
      expect(whole.get("made/moved")).toBe("first moved");
      expect([...whole.values()].filter((text) => text.startsWith("first"))).toEqual(["first moved"]);
      deleted += arrived.length;
    });
    expect(moments).toBeGreaterThan(30);
    expect(deleted).toBeGreaterThan(10);
  });

  test("files replaced after a crash get no conflict copy", async () => {
    await atEachMoment(places, async ({ world, b }) => {
      const arrived = arrivedIn(b);
      for (const each of arrived) b.disk.save(path(each), `newest ${each}`);
      const whole = await settledTree(world);
      expect([...whole.keys()].filter((each) => each.includes("conflict"))).toEqual([]);
      for (const each of arrived) expect(whole.get(each)).toBe(`newest ${each}`);
    });
  });

  test("files that had not arrived are not taken for deleted, however much of the log survives", async () => {
    await atEachMoment(places, async ({ world, b }) => {
      const was = await bucketTree(world.bucket);
      const log = await b.disk.look(REDO_LOG);
      if (log !== undefined)
        await (await b.disk.read(REDO_LOG)).truncate(Number(b.disk.nowNs() % BigInt(log.size + 1)));
      expect(await settledTree(world)).toEqual(was);
    });
  });

  test("after a reboot the log is not trusted, since it may hold more than the folder", async () => {
    await atEachMoment(places, async ({ world, b }) => {
      // Noted already: what is gone was deleted.
      if (b.db.at({ parent: ROOT_ID, name: "lone" as FileName }) !== undefined) return;
      const was = await bucketTree(world.bucket);
      for (const each of arrivedIn(b).filter((name) => NEW.includes(name))) b.disk.remove(path(each));
      b.disk.boot = "boot 2";
      expect(await settledTree(world)).toEqual(was);
    });
  });
});

test("a file that came back into sight just before a crash is compared with the bucket again", async () => {
  let [back, dead] = [0, true];
  for (let change = 0; dead; change++) {
    const { world, a, b } = await twoFolders();
    const files = ["a.bin", "f.bin", "g.bin", "z.bin"];
    a.disk.make(path("d"));
    for (const name of files) a.disk.write(path(name), "old");
    await settle(world);
    a.disk.tick(3_000_000_000n);
    for (const name of files) a.disk.remove(path(name));
    a.disk.move(path("d"), path("f.bin"));
    await a.sync();
    const mtimeNs = (await b.disk.look(path("f.bin")))?.mtimeNs ?? 0n;
    let isWritten = false;
    b.disk.before = () => {
      if (isWritten || !b.hasScanned) return;
      isWritten = true;
      b.disk.tick();
      b.disk.write(path("f.bin"), "new");
    };
    dead = await killed(b, change);
    b.disk.before = () => {};
    const inSight = [...b.disk.tree()].flatMap(([name, text]) => (text === "new" ? [name] : []));
    for (const name of inSight) {
      b.disk.write(path(name), "old");
      await b.disk.setModified(path(name), mtimeNs);
      back++;
    }
    const left = [...(await settledTree(world)).values()].filter((text) => text !== "dir");
    expect([change, left]).toEqual([change, isWritten && inSight.length === 0 ? ["new"] : []]);
  }
  expect(back).toBeGreaterThan(5);
});

test("a log of another state of the folder is not trusted", async () => {
  const { world, a, b } = await incoming("at a time");
  expect(await killed(b, MIDDLE)).toBe(true);
  const text = await redoLogOf(b);
  expect(text).toContain("placing");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  for (const each of NEW) a.disk.save(path(each), `later ${each}`);
  await settle(world);
  b.disk.write(REDO_LOG, text);
  const was = await bucketTree(world.bucket);
  expect(await settledTree(world)).toEqual(was);
});

test.each([
  ["invalid JSON", "{"],
  ["a value that is not a list", "7"],
  ["an unknown word", '["erase",["x","y"]]'],
  ["a truncated row", '["put",["d","1"]]'],
  ["an invalid record", '["put",["d","1","id","AAAA","","AAAA"]]'],
  ["numbers instead of strings", '["remove",[1,2]]'],
  ["marks without an action", "....."],
])("a log that holds %s is ignored and removed", async (_, line) => {
  const { world, b } = await incoming("at a time");
  expect(await killed(b, MIDDLE)).toBe(true);
  const [header] = (await redoLogOf(b)).split("\n");
  b.disk.write(REDO_LOG, `${header}\n${line}\n`);
  const was = await bucketTree(world.bucket);
  expect(await settledTree(world)).toEqual(was);
  expect(await b.disk.look(REDO_LOG)).toBeUndefined();
});

test("a directory in the log's place prevents a log, and everything still arrives", async () => {
  const { world, b } = await incoming("at a time");
  b.disk.make(REDO_LOG);
  const was = await bucketTree(world.bucket);
  await b.sync();
  expect(b.disk.tree()).toEqual(was);
});

test.each([0, 3, 9])(
  "on a disk that is full after %i lines everything arrives, and the log ends up empty",
  async (lines) => {
    const { world, b } = await incoming("one by one");
    const { openAppend } = b.disk;
    let left = lines;
    b.disk.openAppend = (at) => {
      const file = openAppend(at);
      const append = (text: string) => {
        if (left-- > 0) return file.append(text);
        throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
      };
      return { ...file, append };
    };
    const was = await bucketTree(world.bucket);
    await b.sync();
    expect(b.disk.tree()).toEqual(was);
    expect((await b.disk.look(REDO_LOG))?.size).toBe(0);
  },
);

test("a pass leaves no log behind", async () => {
  const { b } = await incoming("at a time");
  await b.sync();
  expect(await b.disk.list(NEW_PATH)).toEqual([]);
});

const STEP = process.env["SYNCLINE_TEST_ALL"] === undefined ? 7 : 1;
/** A change of the disk at which some have their places and some not. */
const MIDDLE = 60;
