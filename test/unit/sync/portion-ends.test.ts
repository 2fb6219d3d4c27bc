/** Portions of runs that ended early, beside deletions that wait for approval, and in directories to which others did something. */
import { describe, expect, test } from "vitest";
import type { MemorySyncDisk } from "../../../src/simulate/folder/memory-sync-disk.ts";
import { byNumber, settled, write } from "../../support/portions.ts";
import {
  bucketTree,
  path,
  removeUnasked,
  settledTree,
  killed,
  twoFolders,
  type SyncedFolder,
} from "../../support/sync-world.ts";

function boundLists(disk: MemorySyncDisk, most = 500) {
  const list = disk.list.bind(disk);
  let reads = 0;
  disk.list = async (at) => {
    if (++reads > most) throw new Error("It goes on for ever.");
    return list(at);
  };
}

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  "a file that outgrows a portion at read %i, while it is still being written, does not hold others back",
  async (at0) => {
    const { world, a } = await settled({ "d/old": "old" });
    a.portion = { things: 100, bytes: 100 };
    write(a.disk, { big: "x".repeat(50), "d/other": "1" });
    const read = a.disk.read.bind(a.disk);
    let reads = 0;
    a.disk.read = async (at) => {
      const file = await read(at);
      if (at.join("/") === "big") {
        reads++;
        a.disk.write(at, "x".repeat(reads >= at0 ? 200 + reads : 50 + reads));
      }
      a.disk.tick(100_000_000n);
      return file;
    };
    boundLists(a.disk);
    const { unstable } = await a.sync();
    expect(unstable.map((at) => at.join("/"))).toEqual(["big"]);
    expect([...(await bucketTree(world.bucket)).keys()].sort()).toEqual(["d", "d/old", "d/other"]);
  },
);

/** A pass that is ended when so many places of the folder were settled. */
async function endedAfter(folder: SyncedFolder, places: number): Promise<void> {
  const ending = new AbortController();
  let came = 0;
  const applied = () => {
    if (++came === places) ending.abort(new Error("It was ended."));
  };
  await folder.sync({ signal: ending.signal, progress: { applied } }).catch(() => {});
  if (!ending.signal.aborted) throw new Error("Nothing ended the pass.");
}

/** A pass that dies with some of what comes to `n` there. */
async function killedSoon(folder: SyncedFolder): Promise<void> {
  for (let at = 1; (await folder.disk.look(path("n/2"))) === undefined; at++) await killed(folder, at);
}

describe("directories that a run left unfinished get their modes while deletions wait", () => {
  test.each(["failed", "killed"])("%s", async (how) => {
    const old = Object.fromEntries(Array.from({ length: 150 }, (_, at) => [`old/${at}`, `${at}`]));
    const { a, b } = await settled(old);
    await removeUnasked(a, Object.keys(old));
    write(a.disk, { "n/1": "1", "n/2": "2", "n/3": "3" });
    await a.sync();
    b.portion = byNumber(1);
    if (how === "failed") await endedAfter(b, 2);
    else await killedSoon(b);
    expect((await b.sync()).held?.files).toBe(150);
    const first = (await b.disk.look(path("n")))?.mode;
    expect((await b.sync()).held?.files).toBe(150);
    b.disk.tick(3_000_000_000n);
    write(b.disk, { "n/mine": "mine" });
    await b.sync();
    await a.sync();
    expect([first, (await b.disk.look(path("n")))?.mode, (await a.disk.look(path("n")))?.mode]).toEqual([
      0o755, 0o755, 0o755,
    ]);
  });
});

describe.each([undefined, byNumber(1)])(
  "a directory that a later portion goes into, changed by others: %j",
  (portion) => {
    async function go(change: (b: SyncedFolder) => void, extra: (a: SyncedFolder) => void = () => {}) {
      const { world, a, b } = await settled({ "d1/old": "o1", "d2/old": "o2", "d2/e/old": "o3" });
      a.portion = portion;
      write(a.disk, { "d1/n1": "1", "d1/n2": "2", "d2/n3": "3", "d2/e/n4": "4", "d2/e/n5": "5" });
      extra(a);
      change(b);
      await b.sync();
      await a.sync();
      return { tree: [...(await settledTree(world)).keys()].sort(), a, b, world };
    }
    const rm = (b: SyncedFolder) => {
      for (const at of ["d2/e/old", "d2/e", "d2/old", "d2"]) b.disk.remove(path(at));
    };
    test("removed", async () => {
      const { tree } = await go(rm);
      expect(tree).toEqual(["d1", "d1/n1", "d1/n2", "d1/old", "d2", "d2/e", "d2/e/n4", "d2/e/n5", "d2/n3"]);
    });
    test("replaced by a file", async () => {
      const { tree } = await go((b) => {
        rm(b);
        b.disk.write(path("d2"), "file");
      });
      for (const n of ["n3", "n4", "n5"]) expect([n, tree.some((at) => at.endsWith(n))]).toEqual([n, true]);
      expect(tree.length).toBeGreaterThan(8);
    });
    test("replaced by another directory", async () => {
      const { tree } = await go((b) => {
        rm(b);
        write(b.disk, { "d2/theirs": "t" });
      });
      for (const n of ["n3", "n4", "n5", "theirs"]) expect([n, tree.some((at) => at.endsWith(n))]).toEqual([n, true]);
    });
    test("moved into another directory, with a new one in its place", async () => {
      const { tree } = await go((b) => {
        b.disk.make(path("z"));
        b.disk.move(path("d2"), path("z/d2"));
        write(b.disk, { "d2/theirs": "t" });
      });
      for (const n of ["z/d2/n3", "z/d2/e/n4", "z/d2/e/n5", "d2/theirs"])
        expect([n, tree.includes(n), tree]).toEqual([n, true, tree]);
    });
    test("moved, with a file edited on both sides: both versions survive", async () => {
      const { tree, world } = await go(
        (b) => {
          b.disk.move(path("d2"), path("d1/x"));
          b.disk.write(path("d1/old"), "theirs");
        },
        (a) => {
          a.disk.write(path("d1/old"), "mine!!");
        },
      );
      const all = [...(await bucketTree(world.bucket)).values()].join(" ");
      expect([/theirs/.test(all), /mine!!/.test(all), tree]).toEqual([true, true, tree]);
    });
    test("its mode and a subdirectory's changed on different sides", async () => {
      const { a, b } = await go(
        (b) => b.disk.chmod(path("d2"), 0o750),
        (a) => a.disk.chmod(path("d2/e"), 0o711),
      );
      for (const { disk } of [a, b]) {
        expect((await disk.look(path("d2")))?.mode).toBe(0o750);
        expect((await disk.look(path("d2/e")))?.mode).toBe(0o711);
      }
    });
  },
);

const OLD = Array.from({ length: 150 }, (_, at) => `old/${at}`);

test.each([undefined, byNumber(100)])("a pass with held deletions announces no writes: %j", async (portion) => {
  const { a, b } = await settled(Object.fromEntries(OLD.map((each) => [each, each])));
  await removeUnasked(a, OLD);
  b.portion = portion;
  expect((await b.sync()).held?.files).toBe(150);
  const told: number[] = [];
  for (let pass = 0; pass < 3; pass++) await b.sync({ progress: { applying: (places) => void told.push(places) } });
  expect(told).toEqual([]);
});

test.each([undefined, byNumber(100)])("held deletions cause no repeated downloads: %j", async (portion) => {
  const { a, b } = await settled(Object.fromEntries(OLD.map((each) => [each, each])));
  b.disk.foldsCase = true;
  await removeUnasked(a, OLD);
  write(a.disk, { A: "A", a: "large" });
  await a.sync();
  b.portion = portion;
  let created = 0;
  const create = b.disk.create.bind(b.disk);
  b.disk.create = async (at) => (created++, create(at));
  await b.sync();
  created = 0;
  for (let pass = 0; pass < 5; pass++) expect((await b.sync()).held?.files).toBe(150);
  expect(created).toBe(0);
});

test.each(["killed", "ended"])(
  "a first sync that was %s still holds deletions of more than half of its files, despite many new ones",
  async (how) => {
    const { a, b } = await twoFolders();
    write(a.disk, Object.fromEntries(Array.from({ length: 150 }, (_, at) => [`old/${at}`, `${at}`])));
    await a.sync();
    b.portion = byNumber(20);
    if (how === "killed") await endedAfter(b, 141);
    else await b.sync();
    const files = b.db.countFiles();
    expect(files).toBeGreaterThan(120);
    a.disk.tick(3_000_000_000n);
    b.disk.tick(3_000_000_000n);
    await removeUnasked(a, OLD);
    write(a.disk, Object.fromEntries(Array.from({ length: 400 }, (_, at) => [`new/${at}`, `n${at}`])));
    await a.sync();
    const got = await b.sync();
    expect([got.held?.files, got.applied.removed]).toEqual([files, 0]);
  },
);
