/**
 * A program that rewrites a file which it keeps open has one version throughout: others' changes do not mix with what it
 * writes, and its version and theirs both stay.
 */
import { expect, test } from "vitest";
import type { Ino } from "../../../src/base/ids.ts";
import { VfsDriver } from "../../../src/simulate/vfs-driver.ts";
import type { SimulatedAgent } from "../../support/simulated-agent.ts";
import { filesOf, whileSwapping, world, write } from "../../support/unit-world.ts";

const DISK = "disk.img";

/** Which change wins if both have the same counter; the other gets a conflict copy. */
const SEEDS = [
  { a: 11, b: 12 },
  { a: 12, b: 11 },
];

test.each(SEEDS)("what others save between two writes stays apart: %j", async (seeds) => {
  const { a, b, start, settle } = await world(seeds);
  await start({ [DISK]: "0000" });
  const open = await openToWrite(b, DISK);
  await open.write(0, "1");
  await b.flush();
  await saveThere(a, "aaaa");
  await b.catchUp();
  expect(await open.read()).toBe("1000");
  expect((await filesOf(b))[DISK]).toBe("1000");
  await open.write(1, "2");
  await b.flush();
  // Its conflict copy, if it lost, is what the program goes on with.
  for (const digit of ["3", "4"]) {
    await open.write(Number(digit) - 1, digit);
    await b.flush();
  }
  expect(await open.read()).toBe("1234");
  open.close();
  await settle();
  expect(versions(await filesOf(a))).toEqual(["1234", "aaaa"]);
});

test.each(SEEDS)("what others save while an epoch is on its way stays apart: %j", async (seeds) => {
  const { remote, a, b, start, settle } = await world(seeds);
  await start({ [DISK]: "0000" });
  const open = await openToWrite(b, DISK);
  await open.write(0, "1");
  await whileSwapping(remote, b, () => saveThere(a, "aaaa"));
  expect(await open.read()).toBe("1000");
  await open.write(1, "2");
  await b.flush();
  expect(await open.read()).toBe("1200");
  open.close();
  await settle();
  expect(versions(await filesOf(a))).toEqual(["1200", "aaaa"]);
});

test("shows what others saved once the program closes the file, also to who cached it", async () => {
  const { a, b, start } = await world();
  await start({ [DISK]: "0000" });
  const open = await openToWrite(b, DISK);
  await open.write(0, "1");
  await b.flush();
  await saveThere(a, "aaaa");
  await b.catchUp();
  expect((await b.mount.show(DISK))?.contents.toString()).toBe("1000");
  open.close();
  expect((await b.mount.show(DISK))?.contents.toString()).toBe("aaaa");
});

test("merges lines that others changed in a text meanwhile, again and again", async () => {
  const { a, b, start, settle } = await world();
  await start({ "notes.txt": "one\ntwo\nthree\n" });
  const open = await openToWrite(b, "notes.txt");
  await open.write(0, "ONE");
  await b.flush();
  await saveThere(a, "ONE\ntwo\nTHREE\n", "notes.txt");
  await b.catchUp();
  expect(await open.read()).toBe("ONE\ntwo\nthree\n");
  for (const first of ["1ne", "12e"]) {
    await open.write(0, first);
    await b.flush();
  }
  open.close();
  await settle();
  expect(await filesOf(a)).toEqual({ "notes.txt": "12e\ntwo\nTHREE\n" });
});

test("a file that others removed or renamed meanwhile is written on, and comes back", async () => {
  const { a, b, start, settle } = await world();
  await start({ gone: "0000", "dir/moved": "0000", untouched: "0000" });
  const opened = { gone: await openToWrite(b, "gone"), moved: await openToWrite(b, "dir/moved") };
  const untouched = await openToWrite(b, "untouched");
  for (const file of [...Object.values(opened), untouched]) await file.write(0, "1");
  await b.flush();
  await a.catchUp();
  for (const path of ["gone", "untouched"]) await a.mount.unlink(path);
  await a.mount.rename("dir/moved", "there");
  await a.mount.removeDirectory("dir");
  await a.flush();
  await b.catchUp();
  expect(Object.keys(await filesOf(b))).toEqual(["there"]);
  for (const file of Object.values(opened)) await file.write(1, "2");
  expect(await untouched.read()).toBe("1000");
  for (const file of [...Object.values(opened), untouched]) file.close();
  await settle();
  expect(await filesOf(a)).toEqual({ gone: "1200", there: "1200" });
});

test("a database shows others' changes at once, with all that belongs to it", async () => {
  const { a, b, start } = await world();
  await start({ "app.db": "0000", "app.db-wal": "0000" });
  const open = await openToWrite(b, "app.db-wal");
  await open.write(0, "1");
  await b.flush();
  await a.catchUp();
  await write(a, { "app.db": "aaaa", "app.db-wal": "aaaa" });
  await a.flush();
  await b.catchUp();
  expect(await filesOf(b)).toEqual({ "app.db": "aaaa", "app.db-wal": "aaaa" });
});

function versions(files: Readonly<Record<string, string>>): string[] {
  return Object.values(files).toSorted();
}

async function saveThere(agent: SimulatedAgent, text: string, path = DISK): Promise<void> {
  await agent.catchUp();
  await write(agent, { [path]: text });
  await agent.flush();
}

/** As the FUSE door does for a program. */
async function openToWrite({ vfs, mount }: SimulatedAgent, path: string) {
  const { ino } = await mount.stat(path);
  const driver = new VfsDriver(vfs);
  return {
    write: async (offset: number, text: string) => {
      await driver.write(ino, offset, text);
      vfs.holdVersion(ino);
      vfs.persist();
    },
    read: () => contents(driver, ino),
    close: () => vfs.releaseVersion(ino),
  };
}

async function contents(driver: VfsDriver, ino: Ino): Promise<string> {
  const bytes = Buffer.alloc(64);
  const count = await driver.run((vfs) => vfs.read(ino, 0, bytes.length, bytes));
  return bytes.toString("latin1", 0, count);
}
