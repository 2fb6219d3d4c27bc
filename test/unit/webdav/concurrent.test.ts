/** The WebDAV door: reading and changing names while others replace what they lead to. */
import { once } from "node:events";
import { type IncomingMessage, request as send } from "node:http";
import { describe, expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import { type FileName, type Ino, ROOT_INO } from "../../../src/base/ids.ts";
import type { FileSystem } from "../../../src/vfs/filesystem.ts";
import { FsError } from "../../../src/vfs/filesystem.ts";
import { overriding } from "../../../src/vfs/overriding.ts";
import type { Vfs } from "../../../src/vfs/vfs.ts";
import { createFolderPage } from "../../../src/webdav/page/folder-page.ts";
import { syncByTrees } from "../../../src/webdav/sync-source.ts";
import { DavServer } from "../../support/dav-server.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const OWNER = { uid: 0, gid: 0 };

/** A door that calls `listed` once, after the first part of a folder was listed. */
async function serve(listed: (vfs: Vfs) => void): Promise<DavServer> {
  const fs = await VfsHarness.create();
  let isListed = false;
  const watched: FileSystem = overriding(fs.vfs, {
    list(ino, cookie, limit) {
      const page = fs.vfs.list(ino, cookie, limit);
      if (!isListed) listed(fs.vfs);
      isListed = true;
      return page;
    },
  });
  return DavServer.start({ fs: watched, syncToken: syncByTrees(fs.vfs) }, { fs });
}

/** Removes a file that no program has open from the root directory. */
function remove(vfs: Vfs, name: string): void {
  const ino = vfs.lookup(ROOT_INO, name as FileName)?.ino as Ino;
  vfs.unlink(ROOT_INO, name as FileName);
  vfs.forget(ino);
}

function replaceThree(vfs: Vfs): void {
  for (const name of ["gone", "saved", "turned"]) remove(vfs, name);
  const { ino } = vfs.makeNode(ROOT_INO, "saved" as FileName, 0o100644, 0, OWNER);
  vfs.write(ino, 0, Buffer.from("new text"));
  vfs.makeDirectory(ROOT_INO, "turned" as FileName, 0o755, OWNER);
}

const NAMES = ["gone", "same", "saved", "turned"];

describe("a listing during which files are replaced and removed", () => {
  test("shows the others, and the new ones", async () => {
    await using dav = await serve(replaceThree);
    for (const name of NAMES) await dav.fs.make(name, "old");
    const { status, body } = await dav.send("PROPFIND", "/", { depth: "1" });
    expect(status).toBe(207);
    expect([...body.matchAll(/<D:href>([^<]*)/g)].map(([, href]) => href)).toEqual([
      "/",
      "/same",
      "/saved",
      "/turned/",
    ]);
    expect(body).toContain("<D:getcontentlength>8</D:getcontentlength>");
  });

  test("is a complete report", async () => {
    await using dav = await serve(replaceThree);
    for (const name of NAMES) await dav.fs.make(name, "old");
    const asked = `<sync-collection xmlns="DAV:"><sync-token/><sync-level>1</sync-level><prop><getetag/><getcontentlength/></prop></sync-collection>`;
    const { status, body } = await dav.send("REPORT", "/", {}, asked);
    expect(status).toBe(207);
    expect([...body.matchAll(/<D:href>([^<]*)/g)].map(([, href]) => href)).toEqual(["/same", "/saved", "/turned/"]);
  });
});

test("the page of a folder is shown if a conflict copy in it is removed meanwhile", async () => {
  const copy = "notes (conflict 1a2b3c4d).txt";
  const fs = await VfsHarness.create();
  for (const name of [copy, "notes.txt"]) await fs.make(name, "x");
  await fs.publish();
  const watched: FileSystem = overriding(fs.vfs, {
    list(ino, cookie, limit) {
      const page = fs.vfs.list(ino, cookie, limit);
      remove(fs.vfs, copy);
      return page;
    },
  });
  const folderPage = createFolderPage({
    conflictWriter: (ino) => fs.vfs.conflictWriter(ino),
    machineName: async (writer) => writer,
  });
  await using dav = await DavServer.start({ fs: watched, folderPage }, { fs });
  const { status, body } = await dav.send("GET", "/", { accept: "text/html" });
  expect([status, body.includes("notes.txt")]).toEqual([200, true]);
});

test("a name that others took meanwhile is looked up again", async () => {
  const fs = await VfsHarness.create();
  const outdated = new Set<string>();
  const once = (method: string) => {
    if (outdated.delete(method)) throw new FsError(ERRNO.ESTALE, "the name leads elsewhere");
  };
  const refusing: FileSystem = overriding(fs.vfs, {
    unlink(parent, name) {
      once("unlink");
      fs.vfs.unlink(parent, name);
    },
    rename(...parts) {
      once("rename");
      fs.vfs.rename(...parts);
    },
  });
  await using dav = await DavServer.start({ fs: refusing }, { fs });
  for (const path of ["a", "b", "c"]) await fs.make(path, "x");
  const to = { destination: `${dav.origin}/b`, host: `127.0.0.1:${dav.port}` };
  for (const [method, path, headers] of [
    ["PUT", "/a", {}],
    ["MOVE", "/c", to],
    ["DELETE", "/a", {}],
  ] as const) {
    for (const call of ["unlink", "rename"]) outdated.add(call);
    expect([method, await dav.status(method, path, headers)]).toEqual([method, 204]);
  }
  expect([...(await fs.snapshot()).keys()].filter(Boolean)).toEqual(["b"]);
});

test("DELETE keeps what others change in the folder meanwhile, and says so; sent again, it removes that, too", async () => {
  const fs = await VfsHarness.create();
  for (const folder of ["d", "d/in", "d/in/left", "elsewhere"]) await fs.makeDirectory(folder);
  for (let index = 0; index < 600; index++) await fs.make(`d/in/${index}`, "old");
  for (const file of ["d/in/left/edited", "elsewhere/f"]) await fs.make(file, "old");
  await fs.publish();
  const base = await fs.others(async (other) => {
    await other.write(await other.ino("d/in/left/edited"), 0, "newer");
    await other.rename("elsewhere", "d/moved");
    await other.makeDirectory("d/made");
  });
  let steps = 0;
  const paced: FileSystem = overriding(fs.vfs, {
    throttle() {
      if (++steps === 3) fs.vfs.adopt(base);
      return undefined;
    },
  });
  await using dav = await DavServer.start({ fs: paced }, { fs });
  expect(await dav.status("DELETE", "/d/")).toBe(409);
  const kept = ["d", "d/in", "d/in/left", "d/in/left/edited", "d/made", "d/moved", "d/moved/f"];
  expect([...(await fs.snapshot()).keys()].filter(Boolean).sort()).toEqual(kept);
  expect(await dav.status("DELETE", "/d/")).toBe(204);
  expect([...(await fs.snapshot()).keys()].filter(Boolean)).toEqual([]);
});

test("a request that is under way when the door is closed changes nothing more", async () => {
  const fs = await VfsHarness.create();
  const closed = new AbortController();
  let steps = 0;
  const paced: FileSystem = overriding(fs.vfs, {
    throttle() {
      if (++steps === 4) closed.abort();
      return undefined;
    },
  });
  await using dav = await DavServer.start({ fs: paced, closed: closed.signal }, { fs });
  await fs.makeDirectory("d");
  for (let index = 0; index < 1_000; index++) await fs.make(`d/${index}`);
  expect(await dav.status("DELETE", "/d/")).toBeGreaterThanOrEqual(500);
  // The first step finds the folder, each later one removes some of its files.
  expect((await fs.snapshot()).size).toBeGreaterThan(400);
  expect(await dav.status("MKCOL", "/e")).toBeGreaterThanOrEqual(500);
  expect(await fs.find("e")).toBeUndefined();
});

test("a download of a large unpublished file that is rewritten in place with its old mtime, and published, does not mix both", async () => {
  await using dav = await DavServer.start();
  const { fs } = dav;
  const MIB = 1024 * 1024;
  const [size, ino] = [24 * MIB, await fs.make("big")];
  const fill = async (letter: string) => {
    for (let at = 0; at < size; at += MIB) await fs.write(ino, at, Buffer.alloc(MIB, letter));
  };
  await fill("A");
  const mtimeNs = (await fs.find("big"))?.mtimeNs ?? 0n;
  const request = send({ host: "127.0.0.1", port: dav.port, path: "/big", agent: false });
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.pause();
  await fill("B");
  await fs.run((vfs) => vfs.setAttributes(ino, { mtimeNs }));
  await fs.publish();
  const pieces: Buffer[] = [];
  const arriving = async () => {
    for await (const piece of response) pieces.push(piece as Buffer);
  };
  await expect(arriving()).rejects.toThrow("aborted");
  expect(Buffer.concat(pieces).includes("B")).toBe(false);
});
