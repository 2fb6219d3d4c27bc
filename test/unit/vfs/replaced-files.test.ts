/** A program that reads a file sees one version of it, whatever others do with the file. */
import { expect, test } from "vitest";
import type { Ino } from "../../../src/base/ids.ts";
import type { ChangedObject } from "../../../src/fstree/change-set.ts";
import type { KernelMount } from "../../../src/simulate/kernel-mount.ts";
import { VfsDriver } from "../../../src/simulate/vfs-driver.ts";
import { ReadingPrograms } from "../../support/reading-programs.ts";
import type { SimulatedAgent } from "../../support/simulated-agent.ts";
import { filesOf, type Files, world, write } from "../../support/unit-world.ts";

const [OLD, NEW] = ["old bytes", "new"];
/** Many chunks. */
const LONG = Array.from({ length: 40_000 }, (_, line) => `line ${line} of a log`).join("\n");

test.each(["adopted", "merged"])(
  "a program goes on reading what others replaced, and the name leads to theirs: %s",
  async (how) => {
    const { a, b, start, settle } = await world();
    await start({ f: OLD });
    const [program, ino] = await reading(b, "f");
    await saveThere(a, { f: NEW });
    if (how === "merged") await write(b, { unrelated: "b" });
    await b.flush();
    await b.catchUp();
    expect(await program.read(ino)).toEqual(Buffer.from(OLD));
    expect(await b.mount.show("f")).toMatchObject({ contents: Buffer.from(NEW) });
    b.mount.dropCaches();
    expect((await filesOf(b))["f"]).toBe(NEW);
    expect((await b.mount.stat("f")).ino).not.toBe(ino);
    expect(b.vfs.getAttributes(ino)).toMatchObject({ nlink: 0, size: OLD.length });

    await write(b, { f: "changed here" });
    await settle();
    expect((await filesOf(a))["f"]).toBe("changed here");
    expect(await program.read(ino)).toEqual(Buffer.from(OLD));
  },
);

test("a program goes on reading what others removed, until it closes the file", async () => {
  const { a, b, start } = await world();
  await start({ f: OLD });
  const [program, ino] = await reading(b, "f");
  await a.mount.unlink("f");
  await a.flush();
  await b.catchUp();
  expect(await filesOf(b)).toEqual({});
  expect(await program.read(ino)).toEqual(Buffer.from(OLD));
  program.close(ino);
  expect(() => b.vfs.getAttributes(ino)).toThrow("ESTALE");
});

test.each([
  ["a short file", "one\n", "one\ntwo\n"],
  ["a long file", LONG, `${LONG}the last line\n`],
  ["an empty file", "", "one\n"],
])("a program sees what others append to %s", async (_, before, after) => {
  const { a, b, start } = await world();
  await start({ f: before });
  const [program, ino] = await reading(b, "f");
  await saveThere(a, { f: after });
  await b.catchUp();
  expect(await program.read(ino)).toEqual(Buffer.from(after));
  expect((await b.mount.stat("f")).ino).toBe(ino);
});

test.each([
  ["end", `${LONG.slice(0, -1)}, and more\n`],
  ["beginning", `LINE${LONG.slice(4)}, and more\n`],
])("a longer file with another %s is another version", async (_, after) => {
  const { a, b, start } = await world();
  await start({ f: LONG });
  const [program, ino] = await reading(b, "f");
  await saveThere(a, { f: after });
  await b.catchUp();
  expect((await program.read(ino))?.equals(Buffer.from(LONG))).toBe(true);
  expect((await filesOf(b))["f"]).toBe(after);
});

test("a version whose bytes cannot be read is another version, and keeps nothing else back", async () => {
  const { a, b, start } = await world();
  await start({ f: OLD, chunk: LONG.slice(0, 40_000) });
  const [program, ino] = await reading(b, "f");
  await a.catchUp();
  const other = a.vfs.contentName((await a.mount.stat("chunk")).ino).name;
  const seal = a.vfs.seal.bind(a.vfs);
  a.vfs.seal = (anew) => {
    const sealed = seal(anew);
    const wrong = (object: ChangedObject): ChangedObject =>
      object.record === undefined || object.names[0]?.name !== "f" || other === undefined
        ? object
        : {
            ...object,
            record: { ...object.record, size: 100, content: { kind: "chunk", cid: other } },
            content: { kind: "same" },
          };
    return sealed && { ...sealed, objects: sealed.objects.map(wrong) };
  };
  await write(a, { f: NEW, later: NEW });
  await a.flush();
  await write(b, { mine: NEW });
  await b.flush();
  expect([b.trouble, b.vfs.pending().files, await b.mount.list("")]).toEqual([
    undefined,
    0,
    ["chunk", "f", "later", "mine"],
  ]);
  expect(await program.read(ino)).toEqual(Buffer.from(OLD));
});

test("a locked file keeps its number while others write to it, so that the next program to lock it meets the lock", async () => {
  const { a, b, start } = await world();
  await start({ lock: OLD, data: OLD });
  const inos = [(await b.mount.stat("lock")).ino, (await b.mount.stat("data")).ino];
  b.vfs.watchReaders({ has: (ino) => inos.includes(ino), all: () => inos, locked: () => new Set(inos.slice(0, 1)) });
  await saveThere(a, { lock: NEW, data: NEW });
  await b.catchUp();
  expect((await b.mount.stat("lock")).ino).toBe(inos[0]);
  expect((await b.mount.stat("data")).ino).not.toBe(inos[1]);
  await a.mount.unlink("lock");
  await a.flush();
  await b.catchUp();
  expect(b.vfs.getAttributes(inos[0] as Ino).nlink).toBe(0);
});

test("an agent that takes over keeps nothing back from files that its predecessor may have opened to write", async () => {
  const { a, b, start } = await world();
  await start({ f: OLD });
  const { ino } = await b.mount.stat("f");
  b.vfs.persist();
  await b.restart();
  b.vfs.watchReaders({ has: () => true, all: () => [ino] }, { held: [], isComplete: false });
  await saveThere(a, { f: NEW });
  await b.catchUp();
  expect((await new VfsDriver(b.vfs).read(ino)).toString()).toBe(NEW);
  expect((await b.mount.stat("f")).ino).toBe(ino);
});

test("others' changes of mode, names and times show at once", async () => {
  const { a, b, start } = await world();
  await start({ f: OLD });
  const [program, ino] = await reading(b, "f");
  await a.catchUp();
  await a.mount.rename("f", "g");
  await a.mount.chmod("g", 0o600);
  await a.flush();
  await b.catchUp();
  expect((await b.mount.stat("g")).ino).toBe(ino);
  expect(b.vfs.getAttributes(ino).mode & 0o777).toBe(0o600);
  expect(await program.read(ino)).toEqual(Buffer.from(OLD));
});

test.each([
  ["mode", (mount: KernelMount) => mount.chmod("f", 0o600), ["f"]],
  ["name", (mount: KernelMount) => mount.rename("f", "g"), ["g"]],
  ["links", (mount: KernelMount) => mount.link("f", "g"), ["f", "g"]],
])("a program goes on reading what others replaced while its %s changed here", async (_, change, names) => {
  const { a, b, start, settle } = await world();
  await start({ f: LONG });
  const [program, ino] = await reading(b, "f");
  await change(b.mount);
  await saveThere(a, { f: NEW });
  await b.flush();
  const shown = Object.fromEntries(names.map((name) => [name, NEW]));
  expect(await filesOf(b)).toEqual(shown);
  expect((await program.read(ino))?.equals(Buffer.from(LONG))).toBe(true);
  await write(b, { [names[0] ?? ""]: OLD });
  await settle();
  expect(await filesOf(a)).toEqual(Object.fromEntries(names.map((name) => [name, OLD])));
});

test("an earlier version cannot be written, linked or changed: the name is looked up again", async () => {
  const { a, b, start } = await world();
  await start({ f: OLD });
  const [, ino] = await reading(b, "f");
  const root = (await b.mount.stat("")).ino;
  await saveThere(a, { f: NEW });
  await b.catchUp();
  const { vfs } = b;
  const name = "g" as Parameters<typeof vfs.link>[2];
  for (const change of [
    () => vfs.checkWritable(ino),
    () => vfs.write(ino, 0, Buffer.from("x")),
    () => vfs.setAttributes(ino, { mode: 0o600 }),
    () => vfs.link(ino, root, name),
  ])
    expect(change).toThrow("ESTALE");
});

test("all names of a file lead to what replaced it", async () => {
  const { a, b, start } = await world();
  await start({ f: OLD });
  await b.mount.link("f", "g");
  await b.flush();
  const [program, ino] = await reading(b, "f");
  await b.mount.show("g");
  await saveThere(a, { g: NEW });
  await b.catchUp();
  expect(await program.read(ino)).toEqual(Buffer.from(OLD));
  expect(await filesOf(b)).toEqual({ f: NEW, g: NEW });
  expect((await b.mount.stat("f")).ino).toBe((await b.mount.stat("g")).ino);
});

test("once its writer has closed a file, its readers keep what they see, and the name leads to others' version", async () => {
  const { a, b, start } = await world();
  await start({ f: LONG });
  const [program, ino] = await reading(b, "f");
  await new VfsDriver(b.vfs).run((vfs) => vfs.holdVersion(ino));
  const theirs = `${NEW}${LONG}`;
  await saveThere(a, { f: theirs });
  await b.catchUp();
  expect((await filesOf(b))["f"]).toBe(LONG);
  b.vfs.releaseVersion(ino);
  expect((await filesOf(b))["f"]).toBe(theirs);
  expect((await program.read(ino))?.equals(Buffer.from(LONG))).toBe(true);
});

test("who reads a database that others change goes on reading, while a program writes to it here and after that", async () => {
  const { a, b, start } = await world();
  await start({ "app.db": OLD, "app.db-wal": OLD });
  const [program, ino] = await reading(b, "app.db");
  const wal = (await b.mount.stat("app.db-wal")).ino;
  await new VfsDriver(b.vfs).run((vfs) => vfs.holdVersion(wal));
  await saveThere(a, { "app.db": NEW, "app.db-wal": NEW });
  await b.catchUp();
  expect(await filesOf(b)).toEqual({ "app.db": OLD, "app.db-wal": OLD });
  expect((await b.mount.stat("app.db")).ino).toBe(ino);
  b.vfs.releaseVersion(wal);
  expect(await filesOf(b)).toEqual({ "app.db": NEW, "app.db-wal": NEW });
  expect(await program.read(ino)).toEqual(Buffer.from(OLD));
});

test.each(["killed", "stopped"])("an earlier version stays for the next agent: %s", async (how) => {
  const { a, b, start } = await world();
  await start({ f: OLD, g: OLD });
  const [, f] = await reading(b, "f");
  const [, g] = await reading(b, "g", f);
  await saveThere(a, { f: NEW });
  await a.mount.unlink("g");
  await a.flush();
  await b.catchUp();
  if (how === "stopped") await b.vfs.checkpoint();
  await b.restart();
  const orphans: Ino[] = [];
  b.vfs.watchOrphans((ino) => orphans.push(ino));
  expect(orphans.toSorted()).toEqual([f, g].toSorted());
  for (const ino of orphans) {
    expect((await new VfsDriver(b.vfs).read(ino)).toString()).toBe(OLD);
    b.vfs.forget(ino);
    expect(() => b.vfs.getAttributes(ino)).toThrow("ESTALE");
  }
  expect(await filesOf(b)).toEqual({ f: NEW });
  expect(b.contentsInUse.contents).toEqual([]);
});

async function reading(agent: SimulatedAgent, path: string, ...more: Ino[]): Promise<[ReadingPrograms, Ino]> {
  const { ino } = await agent.mount.stat(path);
  const program = new ReadingPrograms(agent);
  for (const each of [ino, ...more]) await program.open(each);
  return [program, ino];
}

async function saveThere(agent: SimulatedAgent, files: Files): Promise<void> {
  await agent.catchUp();
  await write(agent, files);
  await agent.flush();
}
