/**
 * A program that has a file open to write in place has one version throughout: others' changes do not mix with what it
 * writes, and its version and theirs both stay.
 */
import { expect, test } from "vitest";
import { filesOf, openToWrite, saveThere, whileSwapping, world, write } from "../../support/unit-world.ts";

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
  await saveThere(a, { [DISK]: "aaaa" });
  await b.catchUp();
  expect(await open.read()).toBe("1000");
  expect((await filesOf(b))[DISK]).toBe("1000");
  await open.write(1, "2");
  await b.flush();
  // If its version lost, the program goes on with the conflict copy.
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
  await whileSwapping(remote, b, () => saveThere(a, { [DISK]: "aaaa" }));
  expect(await open.read()).toBe("1000");
  await open.write(1, "2");
  await b.flush();
  expect(await open.read()).toBe("1200");
  open.close();
  await settle();
  expect(versions(await filesOf(a))).toEqual(["1200", "aaaa"]);
});

test.each(["read", "emptied"])(
  "what others save before the first write stays apart: %s by the program",
  async (how) => {
    const { a, b, start, settle } = await world();
    await start({ [DISK]: "0000" });
    const open = await openToWrite(b, DISK);
    if (how === "emptied") open.truncate();
    await b.flush();
    await saveThere(a, { [DISK]: "aaaa" });
    await b.catchUp();
    expect(await open.read()).toBe(how === "emptied" ? "" : "0000");
    await open.write(0, "12");
    open.close();
    await settle();
    expect(versions(await filesOf(a))).toEqual([how === "emptied" ? "12" : "1200", "aaaa"]);
  },
);

test("a file that others renamed is at its new name alone, also when it is written, and can be moved and removed there", async () => {
  const { a, b, start, settle } = await world();
  await start({ f: "0000", g: "0000", h: "0000" });
  const [f, g, h] = [await openToWrite(b, "f"), await openToWrite(b, "g"), await openToWrite(b, "h")];
  for (const file of [f, g, h]) await file.write(0, "1");
  await b.flush();
  await a.catchUp();
  for (const name of ["f", "g", "h"]) await a.mount.rename(name, `${name}2`);
  await a.flush();
  await b.catchUp();
  expect(Object.keys(await filesOf(b))).toEqual(["f2", "g2", "h2"]);
  await f.write(1, "2");
  await b.mount.rename("g2", "g3");
  await b.mount.unlink("h2");
  b.mount.dropCaches();
  expect(await filesOf(b)).toEqual({ f2: "1200", g3: "1000" });
  await b.mount.unlink("f2");
  await settle();
  expect(await filesOf(a)).toEqual({ g3: "1000" });
});

test.each(SEEDS)(
  "a program that has a file open which lost goes on beside a file of equal bytes: %j",
  async (seeds) => {
    const { a, b, start, settle } = await world(seeds);
    await start({ "f.bin": "0000" });
    const programs = [];
    for (const round of [1, 2]) {
      const open = await openToWrite(b, "f.bin");
      programs.push(open);
      await open.write(0, "bbbb");
      for (const letter of ["x", "y"]) await saveThere(a, { "f.bin": `${letter}aa${round}` });
      await b.flush();
    }
    for (const [at, open] of programs.entries()) await open.write(at, String(at + 1));
    await settle();
    const kept = Object.values(await filesOf(a));
    expect(kept).toEqual(expect.arrayContaining(["1bbb", "b2bb", "yaa2"]));
  },
);

test.each(SEEDS)(
  "a database that lost is written on in its copy, also where others changed nothing: %j",
  async (seeds) => {
    const { a, b, start, settle } = await world(seeds);
    await start({ "app.db": "0000", "app.db-wal": "0000" });
    const [main, log] = [await openToWrite(b, "app.db"), await openToWrite(b, "app.db-wal")];
    await main.write(0, "1");
    await b.flush();
    await log.write(0, "1");
    for (const text of ["aaaa", "aaab"]) await saveThere(a, { "app.db-wal": text });
    await b.flush();
    for (const file of [main, log]) await file.write(1, "2");
    for (const file of [main, log]) file.close();
    const { databases } = await settle();
    expect(databases).toEqual([
      { "": "1000", "-wal": "aaab" },
      { "": "1200", "-wal": "1200" },
    ]);
  },
);

test("shows what others saved once the program closes the file, also to who cached it", async () => {
  const { a, b, start } = await world();
  await start({ [DISK]: "0000" });
  const open = await openToWrite(b, DISK);
  await open.write(0, "1");
  await b.flush();
  await saveThere(a, { [DISK]: "aaaa" });
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
  await saveThere(a, { "notes.txt": "ONE\ntwo\nTHREE\n" });
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

/** As SQLite does: the database first, then its log or journal. */
const FAMILY = { "app.db": "0000", "app.db-wal": "0000" };

test.each(SEEDS)(
  "a database in use stays as it was, and what is written to it next is a version as a whole: %j",
  async (seeds) => {
    const { a, b, start, settle } = await world(seeds);
    await start({ ...FAMILY, "other.db": "0000" });
    const open = await openToWrite(b, "app.db");
    expect(await open.read()).toBe("0000");
    await a.catchUp();
    await write(a, { "app.db": "aaaa", "app.db-journal": "aaaa", "other.db": "aaaa" });
    await a.mount.unlink("app.db-wal");
    await a.flush();
    await b.catchUp();
    expect(await filesOf(b)).toEqual({ ...FAMILY, "other.db": "aaaa" });
    expect(await open.read()).toBe("0000");
    await write(a, { "app.db": "aaab", "app.db-shm": "aaab" });
    await a.flush();
    await b.catchUp();
    expect(await filesOf(b)).toEqual({ ...FAMILY, "other.db": "aaaa" });
    await write(b, { "app.db-wal": "0001" });
    await open.write(0, "1");
    b.mount.dropCaches();
    expect(await filesOf(b)).toEqual({ "app.db": "1000", "app.db-wal": "0001", "other.db": "aaaa" });
    const { databases } = await settle();
    expect(databases).toEqual(
      [{ "": "1000", "-wal": "0001" }, { "": "aaab", "-journal": "aaaa", "-shm": "aaab" }, { "": "aaaa" }].toSorted(
        (x, y) => (JSON.stringify(Object.entries(x)) < JSON.stringify(Object.entries(y)) ? -1 : 1),
      ),
    );
  },
);

test("a database whose log is removed while others' change is merged shows what is written to it next", async () => {
  const { remote, a, b, start, settle } = await world();
  await start(FAMILY);
  const open = await openToWrite(b, "app.db");
  await saveThere(a, { "app.db": "aaaa" });
  await write(b, { unrelated: "b" });
  await whileSwapping(remote, b, () => b.mount.unlink("app.db-wal"));
  for (const [offset, text] of ["1000", "1200"].entries()) {
    await open.write(offset, String(offset + 1));
    await b.flush();
    expect(await open.read()).toBe(text);
  }
  open.close();
  const { databases } = await settle();
  expect(databases).toEqual([{ "": "1200" }, { "": "aaaa", "-wal": "0000" }]);
});

test("a journal that is begun makes a database in use a version as a whole", async () => {
  const { a, b, start, settle } = await world();
  await start({ "app.db": "0000" });
  const open = await openToWrite(b, "app.db");
  await saveThere(a, { "app.db-journal": "aaaa" });
  await b.catchUp();
  expect(await filesOf(b)).toEqual({ "app.db": "0000" });
  await write(b, { "app.db-journal": "bbbb" });
  expect(await filesOf(b)).toEqual({ "app.db": "0000", "app.db-journal": "bbbb" });
  open.close();

  const { databases } = await settle();
  expect(databases).toEqual([
    { "": "0000", "-journal": "aaaa" },
    { "": "0000", "-journal": "bbbb" },
  ]);
});

test.each(["adopted", "merged"])(
  "a database that is closed unchanged shows what others made of it: %s",
  async (how) => {
    const { a, b, start } = await world();
    await start(FAMILY);
    const [main, log] = [await openToWrite(b, "app.db"), await openToWrite(b, "app.db-wal")];
    await b.mount.show("app.db");
    await a.catchUp();
    await write(a, { "app.db": "aaaa", "app.db-journal": "aaaa" });
    await a.mount.unlink("app.db-wal");
    await a.flush();
    if (how === "merged") await write(b, { unrelated: "b" });
    await b.flush();
    await b.catchUp();
    const rest = how === "merged" ? { unrelated: "b" } : {};
    expect(await filesOf(b)).toEqual({ ...FAMILY, ...rest });
    main.close();
    expect(await filesOf(b)).toEqual({ ...FAMILY, ...rest });
    log.close();
    expect(await filesOf(b)).toEqual({ "app.db": "aaaa", "app.db-journal": "aaaa", ...rest });
    b.mount.dropCaches();
    expect(await filesOf(b)).toEqual({ "app.db": "aaaa", "app.db-journal": "aaaa", ...rest });
  },
);

test("a database in use that others rename is at its old name alone until it is closed, and its directory is not empty", async () => {
  const { a, b, start } = await world();
  await start({ "d/app.db": "0000", "d/app.db-wal": "0000" });
  const open = await openToWrite(b, "d/app.db");
  await a.catchUp();
  for (const name of ["app.db", "app.db-wal"]) await a.mount.rename(`d/${name}`, `there.${name}`);
  await write(a, { "there.app.db": "aaaa" });
  await a.flush();
  await b.catchUp();
  expect(await filesOf(b)).toEqual({ "d/app.db": "0000", "d/app.db-wal": "0000" });
  await expect(b.mount.removeDirectory("d")).rejects.toThrow("ENOTEMPTY");
  expect(await b.mount.show("there.app.db")).toBeUndefined();
  open.close();
  expect(await filesOf(b)).toEqual({ "there.app.db": "aaaa", "there.app.db-wal": "0000" });
});

test.each([{ "disk.img": "1111" }, { "app.db": "1111", "app.db-wal": "wal 1" }])(
  "a program that opens a file after its last holder closed it sees the new version, also after a kill: %j",
  async (files) => {
    const { a, b, start } = await world();
    await start(files);
    const [path = ""] = Object.keys(files);
    const theirs = Object.fromEntries(Object.keys(files).map((name) => [name, "2222"]));
    const first = await openToWrite(b, path);
    await saveThere(a, theirs);
    await b.catchUp();
    expect(await filesOf(b)).toEqual(files);
    first.close();
    const second = await openToWrite(b, path);
    expect(await second.read()).toBe("2222");
    await b.replace();
    expect(await filesOf(b)).toEqual(theirs);
  },
);

test.each(["mode", "time", "attribute", "mode of its log"])(
  "a database in use of which only the %s changed here stays as its program saw it",
  async (what) => {
    const { a, b, start, settle } = await world();
    await start({ "app.db": "old old old", "app.db-wal": "log" });
    const open = await openToWrite(b, "app.db");
    if (what === "mode") await b.mount.chmod("app.db", 0o600);
    if (what === "time") b.vfs.setAttributes(open.ino, { mtimeNs: 5n });
    if (what === "attribute") b.vfs.setXattr(open.ino, "user.x", Buffer.from("1"), 0);
    if (what === "mode of its log") await b.mount.chmod("app.db-wal", 0o600);
    b.vfs.persist();
    await saveThere(a, { "app.db": "theirs is new" });
    await b.flush();
    await b.catchUp();
    expect([await open.read(), (await filesOf(b))["app.db"]]).toEqual(["old old old", "old old old"]);
    await open.write(0, "mine");
    await settle();
    expect(await open.read()).toBe("mineold old");
    open.close();
    const { databases } = await settle();
    expect(databases.map((files) => files[""])).toEqual(["mineold old", "theirs is new"]);
  },
);

test("a database in use with a hard link keeps that", async () => {
  const { a, b, start, settle } = await world();
  await start(FAMILY);
  await b.mount.link("app.db", "backup.bin");
  await b.flush();
  const open = await openToWrite(b, "app.db");
  await saveThere(a, { "app.db-wal": "aaaa" });
  await b.catchUp();
  await open.write(0, "1");
  await settle();
  expect((await filesOf(a))["backup.bin"]).toBe("1000");
});

test("a database that nobody uses shows others' changes at once, with all that belongs to it", async () => {
  const { a, b, start } = await world();
  await start({ "app.db": "0000", "app.db-wal": "0000" });
  const open = await openToWrite(b, "app.db-wal");
  await open.write(0, "1");
  open.close();
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
