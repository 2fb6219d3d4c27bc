/**
 * A program that has a database open to write goes on in the conflict copy of its version, and so do the names that it
 * knows: the journal that it creates, looks for and removes is the copy's.
 */
import { expect, test } from "vitest";
import type { SimulatedAgent } from "../../support/simulated-agent.ts";
import { filesOf, openToWrite, saveThere, whileSwapping, world, write, type Files } from "../../support/unit-world.ts";

/** What the other side publishes: a finished transaction, or half of one. */
const THEIRS = [{ "app.db": "aaaa" }, { "app.db": "aaaa", "app.db-journal": "undo a" }];

test.each(THEIRS)("a transaction during which its database loses the conflict is committed: %j", async (theirs) => {
  const { a, b, start, settle } = await world();
  await start({ "app.db": "0000" });
  const main = await openToWrite(b, "app.db");
  await write(b, { "app.db-journal": "undo b" });
  const journal = await openToWrite(b, "app.db-journal");
  await main.write(0, "1");
  await saveTwice(a, theirs);
  await b.flush();
  expect(at(await filesOf(b))).toEqual({ "app.db": "1000", "app.db-journal": "undo b" });
  await main.write(1, "2");
  await b.mount.unlink("app.db-journal");
  journal.close();
  expect(await copies(b)).toEqual({ "": "1200" });

  // The next transaction begins a journal at the name that the program knows.
  expect(await b.mount.show("app.db-journal")).toBeUndefined();
  await write(b, { "app.db-journal": "undo 1" });
  expect(await copies(b)).toEqual({ "": "1200", "-journal": "undo 1" });
  await b.flush();
  await main.write(2, "3");
  expect(at(await filesOf(a))).toEqual(theirs);
  await b.mount.unlink("app.db-journal");
  expect(await copies(b)).toEqual({ "": "1230" });

  main.close();
  expect(at(await filesOf(b))).toEqual(theirs);
  b.mount.dropCaches();
  expect(at(await filesOf(b))).toEqual(theirs);
  await settle();
  expect(at(await filesOf(a))).toEqual(theirs);
  expect(await copies(a)).toEqual({ "": "1230" });
});

test.each(["before the swap", "after it"])(
  "a journal that is begun while a database without journals loses the conflict is the copy's: %s",
  async (when) => {
    const { remote, a, b, start, settle } = await world();
    await start({ "app.db": "0000" });
    const main = await openToWrite(b, "app.db");
    await main.write(0, "1");
    await whileSwapping(remote, b, async () => {
      await saveTwice(a, { "app.db": "aaaa" });
      if (when === "before the swap") await write(b, { "app.db-journal": "undo b" });
    });
    if (when === "after it") await write(b, { "app.db-journal": "undo b" });
    expect(at(await filesOf(b))).toEqual({ "app.db": "1000", "app.db-journal": "undo b" });
    main.close();
    await settle();
    expect(at(await filesOf(a))).toEqual({ "app.db": "aaaa" });
    expect(await copies(a)).toEqual({ "": "1000", "-journal": "undo b" });
  },
);

test("a database without a program that writes it shows the version that was kept", async () => {
  const { a, b, start } = await world();
  await start({ "app.db": "0000", "app.db-wal": "0000" });
  const log = await openToWrite(b, "app.db-wal");
  await log.write(0, "1");
  log.close();
  await saveTwice(a, { "app.db": "aaaa" });
  await b.flush();
  expect(at(await filesOf(b))).toEqual({ "app.db": "aaaa", "app.db-wal": "0000" });
});

test("the names lead to the copy until the last of its files is closed, and the copy may lose again", async () => {
  const { a, b, start, settle } = await world();
  await start({ "app.db": "0000", "app.db-wal": "0000" });
  const [main, log] = [await openToWrite(b, "app.db"), await openToWrite(b, "app.db-wal")];
  await log.write(0, "1");
  await saveTwice(a, { "app.db": "aaaa" });
  await b.flush();
  expect(at(await filesOf(b))).toEqual({ "app.db": "0000", "app.db-wal": "1000" });
  const copy = await copyOf(b);
  await log.write(1, "2");
  await saveTwice(a, { [copy]: "cccc" });
  await b.flush();
  expect(at(await filesOf(b))).toEqual({ "app.db": "0000", "app.db-wal": "1200" });
  expect((await b.mount.show(copy))?.contents.toString()).toBe("0000");
  await b.mount.unlink("app.db-wal");
  await write(b, { "app.db-wal": "new" });
  log.close();
  expect(at(await filesOf(b))).toEqual({ "app.db": "0000", "app.db-wal": "new" });
  main.close();
  expect(at(await filesOf(b))).toEqual({ "app.db": "aaaa", "app.db-wal": "0000" });
  const { databases } = await settle();
  expect(databases).toEqual([
    { "": "0000", "-wal": "new" },
    { "": "aaaa", "-wal": "0000" },
    { "": "cccc", "-wal": "1000" },
  ]);
});

test.each(["its own name", "the name that was lost"])(
  "a copy in use that is removed by %s gives the name back",
  async (how) => {
    const { a, b, start, settle } = await world();
    await start({ "app.db": "0000" });
    const main = await openToWrite(b, "app.db");
    await main.write(0, "1");
    await saveTwice(a, { "app.db": "aaaa" });
    await b.flush();
    expect(at(await filesOf(b))).toEqual({ "app.db": "1000" });
    await b.mount.unlink(how === "its own name" ? await copyOf(b) : "app.db");
    expect(await filesOf(b)).toEqual({ "app.db": "aaaa" });
    await settle();
    expect(await filesOf(a)).toEqual({ "app.db": "aaaa" });
  },
);

test.each(["written on", "closed"])("others give a copy in use the name, and it is %s", async (what) => {
  const { a, b, start, settle } = await world();
  await start({ "app.db": "0000" });
  const main = await openToWrite(b, "app.db");
  await main.write(0, "1");
  await saveTwice(a, { "app.db": "aaaa" });
  await b.flush();
  await a.catchUp();
  await a.mount.rename(await copyOf(a), "app.db");
  await a.flush();
  await b.catchUp();
  expect(at(await filesOf(b))).toEqual({ "app.db": "1000" });
  if (what === "written on") await main.write(1, "2");
  else main.close();
  await settle();
  expect(await filesOf(b)).toEqual({ "app.db": what === "closed" ? "1000" : "1200" });
});

async function saveTwice(agent: SimulatedAgent, files: Files): Promise<void> {
  await saveThere(agent, Object.fromEntries(Object.keys(files).map((path) => [path, "before"])));
  await saveThere(agent, files);
}

/** The files at the names that were lost. */
function at(files: Files): Files {
  return Object.fromEntries(Object.entries(files).filter(([path]) => path.startsWith("app.db")));
}

/** The files of the only copy, by suffix. */
async function copies(agent: SimulatedAgent): Promise<Files> {
  const main = await copyOf(agent);
  const files = Object.entries(await filesOf(agent)).filter(([path]) => path.startsWith(main));
  return Object.fromEntries(files.map(([path, text]) => [path.slice(main.length), text]));
}

async function copyOf(agent: SimulatedAgent): Promise<string> {
  const mains = Object.keys(await filesOf(agent)).filter((path) => /conflict.*\.db$/.test(path));
  expect(mains).toHaveLength(1);
  return mains[0] ?? "";
}
