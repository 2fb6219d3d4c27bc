/** Renames in a folder without the addon, while a program saves the same file. */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { ROOT_ID, type FileId, type FileName } from "../../../../src/base/ids.ts";
import { newRecord } from "../../../../src/format/files/record.ts";
import { Crash } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import { clearIncoming } from "../../../../src/sync/apply/saved-meanwhile.ts";
import { parkedPath, PARKED_PATH, NEW_PATH } from "../../../../src/sync/disk/paths.ts";
import { PortableDisk } from "../../../../src/sync/disk/portable-disk.ts";
import { SyncDatabase } from "../../../../src/sync/known/database.ts";
import { seenOf } from "../../../../src/sync/known/seen.ts";
import { path } from "../../../support/sync-world.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

/** What a program may put in the place of the file. */
const SAVES: Record<string, (file: string) => void> = {
  file: (file) => {
    writeFileSync(`${file}.saving`, "saved");
    renameSync(`${file}.saving`, file);
  },
  symlink: (file) => {
    rmSync(file, { force: true });
    symlinkSync("saved", file);
  },
  directory: (file) => {
    rmSync(file, { force: true });
    mkdirSync(file);
    writeFileSync(join(file, "in"), "saved");
  },
};

/** Runs before each call that changes or looks at a name. */
const program = vi.hoisted(() => ({ before: () => {} }));
vi.mock(import("node:fs/promises"), async (original) => {
  const fs = await original();
  const watched = (call: (...args: never[]) => unknown) =>
    ((...args: never[]) => {
      program.before();
      return call(...args);
    }) as never;
  const { link, lstat, rename, unlink } = fs;
  return { ...fs, link: watched(link), lstat: watched(lstat), rename: watched(rename), unlink: watched(unlink) };
});

/** Runs with actions of others before the calls of these numbers. False: the process died. */
async function amid(actions: Record<number, () => void>, work: () => Promise<void>): Promise<boolean> {
  let count = 0;
  program.before = () => actions[count++]?.();
  try {
    await work();
    program.before();
    return true;
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
    return false;
  } finally {
    program.before = () => {};
  }
}

/** More than any rename has. */
const CALLS = 20;
const dies = () => {
  throw new Crash("The process died.");
};

describe.each(Object.entries(SAVES))("a %s that is saved while the file at its name moves", (_, save) => {
  test.each([
    ["to another name", path("b")],
    ["out of sight", parkedPath("id" as FileId)],
  ])("%s is there afterwards, whenever that was", async (__, to) => {
    for (let moment = 0; moment < CALLS; moment++) {
      const { root, disk } = await folder();
      let isSaved = false;
      const saves = () => {
        save(join(root, "a"));
        isSaved = true;
      };
      await amid({ [moment]: saves }, () => disk.rename(path("a"), to, "free"));
      expect(readdirSync(join(root, ...NEW_PATH))).toEqual([]);
      if (!isSaved) break;
      expect([path("a"), to].map((each) => textAt(join(root, ...each)))).toContain("saved");
    }
  });

  test("is in sight after the next start if the process dies meanwhile, whenever that was", async () => {
    let left = 0;
    for (let moment = 0; moment < CALLS; moment++) {
      for (let death = moment + 1; death < CALLS; death++) {
        const { root, disk, db } = await folder();
        const actions = { [moment]: () => save(join(root, "a")), [death]: dies };
        if (await amid(actions, () => disk.rename(path("a"), path("b"), "free"))) break;
        left += readdirSync(join(root, ...NEW_PATH)).length;
        await clearIncoming(db, disk);
        const shown = readdirSync(root).map((name) => textAt(join(root, name)));
        expect(shown, `saved before call ${moment}, died before ${death}`).toContain("saved");
        expect(readdirSync(join(root, ...NEW_PATH))).toEqual([]);
      }
    }
    expect(left).toBeGreaterThan(0);
  });
});

/** With a file that is known. */
async function folder() {
  const root = await temporaryFolder();
  for (const each of [NEW_PATH, PARKED_PATH]) mkdirSync(join(root, ...each), { recursive: true });
  writeFileSync(join(root, "a"), "old");
  const disk = new PortableDisk(root);
  const db = new SyncDatabase(":memory:");
  const stat = await disk.look(path("a"));
  if (stat === undefined) throw new Error("The file is not there.");
  const record = newRecord("file", { mode: 0o644, uid: 0, gid: 0, timeNs: 1n });
  const id = "a".repeat(32) as FileId;
  db.put({ parent: ROOT_ID, name: "a" as FileName, id, record, seen: seenOf(stat, "", 0n) });
  return { root, disk, db };
}

/** What a file says, or the file in a directory, or where a link leads. */
function textAt(file: string): string | undefined {
  const stat = lstatSync(file, { throwIfNoEntry: false });
  if (stat?.isDirectory() === true) return textAt(join(file, "in"));
  if (stat?.isSymbolicLink() === true) return readlinkSync(file);
  return stat && readFileSync(file, "utf8");
}
