/** The WebDAV door: copying a folder while others change it. */
import { describe, expect, test } from "vitest";
import { type FileName, type Ino, ROOT_INO } from "../../../src/base/ids.ts";
import type { FileSystem } from "../../../src/vfs/filesystem.ts";
import type { Vfs } from "../../../src/vfs/vfs.ts";
import { overriding } from "../../../src/vfs/overriding.ts";
import { createContentConfig } from "../../../src/content/config.ts";
import { syncByTrees } from "../../../src/webdav/sync-source.ts";
import { cyclicRows } from "../../support/cyclic-rows.ts";
import { DavServer } from "../../support/dav-server.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const OWNER = { uid: 0, gid: 0 };

/** A door that calls `listed` each time a part of a folder was listed with attributes, as COPY does. */
async function serve(listed: (vfs: Vfs, folder: Ino) => void): Promise<DavServer> {
  const fs = await VfsHarness.create();
  const watched: FileSystem = overriding(fs.vfs, {
    readDirectory(ino, cookie, withAttributes, emit) {
      fs.vfs.readDirectory(ino, cookie, withAttributes, emit);
      if (withAttributes) listed(fs.vfs, ino);
    },
  });
  return DavServer.start({ fs: watched }, { fs });
}

function save(vfs: Vfs, folder: Ino, name: string, text: string): void {
  const temporary = `${name}.new` as FileName;
  const { ino } = vfs.makeNode(folder, temporary, 0o100644, 0, OWNER);
  vfs.write(ino, 0, Buffer.from(text));
  vfs.rename(folder, temporary, folder, name as FileName, 0);
}

function copy(dav: DavServer): Promise<number> {
  return dav.status("COPY", "/a/", { destination: `${dav.origin}/b`, host: `127.0.0.1:${dav.port}` });
}

/** What is in "b", with the contents of files. */
async function copied(dav: DavServer): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const path of (await dav.fs.snapshot()).keys()) {
    if (!path.startsWith("b/")) continue;
    const isFile = ((await dav.fs.find(path))?.mode ?? 0) & 0o100000;
    found[path.slice(2)] = isFile ? await dav.fs.text(path) : "/";
  }
  return found;
}

test("files that are saved during the copy are in it; only removed ones are not", async () => {
  let isChanged = false;
  await using dav = await serve((vfs, folder) => {
    if (isChanged) return;
    isChanged = true;
    for (const name of ["saved", "z"]) save(vfs, folder, name, "new");
    for (const name of ["gone", "folder"]) vfs.unlink(folder, name as FileName);
    const inner = vfs.makeDirectory(folder, "folder" as FileName, 0o755, OWNER);
    save(vfs, inner.ino, "in", "it");
  });
  await dav.fs.makeDirectory("a");
  for (const name of ["begun", "folder", "gone", "saved", "same", "z"]) await dav.fs.make(`a/${name}`, "old");
  expect(await copy(dav)).toBe(201);
  expect(await copied(dav)).toEqual({
    begun: "old",
    folder: "/",
    "folder/in": "it",
    saved: "new",
    same: "old",
    z: "new",
  });
});

test("a folder that is replaced during the copy is copied as it is now", async () => {
  let lists = 0;
  await using dav = await serve((vfs, folder) => {
    // "a" was listed, then "x" in it, and then "y" in that.
    if (++lists !== 3) return;
    const a = vfs.lookup(ROOT_INO, "a" as FileName)?.ino as Ino;
    const old = vfs.lookup(a, "x" as FileName)?.ino as Ino;
    for (const name of ["1", "2"]) vfs.unlink(folder, name as FileName);
    vfs.removeDirectory(old, "y" as FileName);
    vfs.unlink(old, "0" as FileName);
    vfs.rename(ROOT_INO, "spare" as FileName, a, "x" as FileName, 0);
  });
  for (const folder of ["a", "a/x", "a/x/y", "spare", "spare/y"]) await dav.fs.makeDirectory(folder);
  for (const path of ["a/x/0", "a/x/y/1", "a/x/y/2"]) await dav.fs.make(path, "old");
  for (const path of ["spare/y/2", "spare/3"]) await dav.fs.make(path, "new");
  expect(await copy(dav)).toBe(201);
  expect(await copied(dav)).toEqual({ x: "/", "x/3": "new", "x/y": "/", "x/y/2": "new" });
});

test.each([true, false])(
  "a source that is replaced or removed is what it is now (replaced: %s)",
  async (isReplaced) => {
    let isChanged = false;
    await using dav = await serve((vfs, folder) => {
      if (isChanged) return;
      isChanged = true;
      for (const name of ["e", "f"]) vfs.unlink(folder, name as FileName);
      vfs.removeDirectory(ROOT_INO, "a" as FileName);
      if (isReplaced) vfs.rename(ROOT_INO, "spare" as FileName, ROOT_INO, "a" as FileName, 0);
    });
    for (const folder of ["a", "spare"]) await dav.fs.makeDirectory(folder);
    for (const name of ["a/e", "a/f", "spare/g"]) await dav.fs.make(name, "x");
    expect(await copy(dav)).toBe(isReplaced ? 201 : 404);
    const paths = [...(await dav.fs.snapshot()).keys()].filter(Boolean).sort();
    expect(paths).toEqual(isReplaced ? ["a", "a/g", "b", "b/g"] : ["spare", "spare/g"]);
  },
);

/** A door that calls `copied` once, after the first bytes of a file were copied. */
async function serveCopies(fs: VfsHarness, copied: () => void): Promise<DavServer> {
  let isCopied = false;
  const watched: FileSystem = overriding(fs.vfs, {
    copyRange(...parts) {
      const count = fs.vfs.copyRange(...parts);
      if (!isCopied) queueMicrotask(copied);
      isCopied = true;
      return count;
    },
  });
  return DavServer.start({ fs: watched }, { fs });
}

describe.each([
  // More than the copy reads at once.
  ["longer", "x".repeat(100), "N".repeat(3_000_000)],
  ["shorter", "x".repeat(5_000), "N".repeat(100)],
])("a file that gets %s while its folder is copied has all its bytes in the copy, and their tag", (_, old, now) => {
  const expectWhole = async (dav: DavServer) => {
    const { body, headers } = await dav.send("GET", "/b/then");
    const [found, other] = [body, now].map((text) => `${text.length} x ${text[0]}`);
    expect(found).toBe(other);
    expect(headers.etag).toBe((await dav.send("PUT", "/same", {}, now)).headers.etag);
  };

  test("if it is saved in place", async () => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("a");
    await fs.make("a/first", "y".repeat(10));
    const ino = await fs.make("a/then", old);
    await using dav = await serveCopies(fs, () => {
      fs.vfs.setAttributes(ino, { size: 0 });
      fs.vfs.write(ino, 0, Buffer.from(now));
      fs.vfs.persist();
    });
    expect(await copy(dav)).toBe(201);
    // Until then, a large file that was saved in place has a temporary tag.
    await fs.publish();
    await expectWhole(dav);
  });

  test("if another agent's version of it is adopted", async () => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("a");
    for (const name of ["first", "then"]) await fs.make(`a/${name}`, old);
    await fs.publish();
    const base = await fs.others(async (other) => {
      await using theirs = await DavServer.start({}, { fs: other });
      expect(await theirs.status("PUT", "/a/then", {}, now)).toBe(204);
    });
    await using dav = await serveCopies(fs, () => fs.vfs.adopt(base));
    expect(await copy(dav)).toBe(201);
    await expectWhole(dav);
  });
});

test("a file that gets shorter before its copy begins is copied without bytes that it no longer has", async () => {
  const fs = await VfsHarness.create();
  const ino = await fs.make("f", "old text");
  const watched: FileSystem = overriding(fs.vfs, {
    makeUnnamed(...parts) {
      fs.vfs.setAttributes(ino, { size: 3 });
      return fs.vfs.makeUnnamed(...parts);
    },
  });
  await using dav = await DavServer.start({ fs: watched }, { fs });
  expect(await dav.status("COPY", "/f", { destination: "/g" })).toBe(201);
  expect((await dav.send("GET", "/g")).body).toBe("old");
});

test("a file that is replaced each time it is looked up ends the copy with 409, and leaves nothing", async () => {
  const fs = await VfsHarness.create();
  const replaced = overriding(fs.vfs, {
    listXattrs(ino) {
      const a = fs.vfs.lookup(ROOT_INO, "a" as FileName)?.ino as Ino;
      const file = fs.vfs.lookup(a, "f" as FileName)?.ino;
      if (file === ino) {
        save(fs.vfs, a, "f", "again");
        fs.vfs.forget(ino);
      }
      return fs.vfs.listXattrs(ino);
    },
  });
  await using dav = await DavServer.start({ fs: replaced }, { fs });
  await fs.makeDirectory("a");
  await fs.make("a/f", "old");
  const answer = await dav.send("COPY", "/a/", { destination: `${dav.origin}/b`, host: `127.0.0.1:${dav.port}` });
  expect([answer.status, answer.body]).toEqual([409, "The source kept changing during the copy.\n"]);
  expect([...(await fs.snapshot()).keys()].filter(Boolean).sort()).toEqual(["a", "a/f"]);
  // Nothing is wrong with the file itself.
  expect((await dav.send("GET", "/a/f")).body).toBe("again");
});

describe("a folder that lies in itself", () => {
  const cyclic = async () => {
    const fs = await VfsHarness.create({}, new ManualClock(), createContentConfig(), cyclicRows());
    return DavServer.start({ syncToken: syncByTrees(fs.vfs) }, { fs });
  };

  test("is refused by COPY, which leaves nothing", async () => {
    await using dav = await cyclic();
    const to = { destination: `${dav.origin}/b`, host: `127.0.0.1:${dav.port}` };
    expect(await dav.status("COPY", "/d/", to)).toBe(508);
    expect(await dav.fs.list("")).toEqual(["d"]);
  });

  test("is refused by DELETE", async () => {
    await using dav = await cyclic();
    expect(await dav.status("DELETE", "/d/")).toBe(409);
    expect(await dav.fs.list("d")).toEqual(["again"]);
  });

  test("is moved, and shown by PROPFIND", async () => {
    await using dav = await cyclic();
    const to = { destination: `${dav.origin}/b`, host: `127.0.0.1:${dav.port}` };
    expect(await dav.status("MOVE", "/d/", to)).toBe(201);
    expect(await dav.status("PROPFIND", "/b/", { depth: "1" })).toBe(207);
  });

  test("is refused by a report of everything below", async () => {
    await using dav = await cyclic();
    const body =
      '<sync-collection xmlns="DAV:"><sync-token/><sync-level>infinite</sync-level><limit><nresults>1000000</nresults></limit><prop><getetag/></prop></sync-collection>';
    expect((await dav.send("REPORT", "/", { depth: "0" }, body)).status).toBe(508);
  });
});
