/** The WebDAV door: what an agent that was killed left under temporary names. */
import { expect, test } from "vitest";
import type { FileName } from "../../src/base/ids.ts";
import type { Unfinished } from "../../src/webdav/unfinished.ts";
import { DavServer, MemoryUnfinishedStore } from "../support/dav-server.ts";
import { VfsHarness } from "../support/vfs-harness.ts";

const LEFT = ".~syncline-dav-00";

/** Opens the door on a filesystem that has these folders, each with a file in it, after a run that left `work`. */
async function reopened(folders: readonly string[], work: Unfinished): Promise<string[]> {
  const fs = await VfsHarness.create({});
  for (const folder of folders) {
    await fs.makeDirectory(folder);
    await fs.make(`${folder}/file`, folder);
  }
  const unfinished = new MemoryUnfinishedStore();
  unfinished.save([work]);
  await using _dav = await DavServer.start({ unfinished }, { fs });
  await expect.poll(() => unfinished.load()).toEqual([]);
  return [...(await fs.snapshot()).keys()].filter(Boolean).sort();
}

function workAt(path: string, was?: string): Unfinished {
  return { path: path.split("/") as FileName[], was: was as FileName | undefined };
}

test("a copy in the making is removed, with all in it", async () => {
  expect(await reopened(["d", `d/${LEFT}`], workAt(`d/${LEFT}`))).toEqual(["d", "d/file"]);
});

test("what stepped aside gets its name back, if nothing has that", async () => {
  expect(await reopened([LEFT], workAt(LEFT, "d"))).toEqual(["d", "d/file"]);
  expect(await reopened([LEFT, "d"], workAt(LEFT, "d"))).toEqual(["d", "d/file"]);
});

test("what is not there any more is forgotten, and what has no temporary name is nobody's to remove", async () => {
  expect(await reopened(["d"], workAt(`gone/${LEFT}`))).toEqual(["d", "d/file"]);
  expect(await reopened(["d"], workAt("d"))).toEqual(["d", "d/file"]);
});

test("a copy of a folder, and what a folder takes the place of, are noted until they are through", async () => {
  const unfinished = new MemoryUnfinishedStore();
  await using dav = await DavServer.start({ unfinished });
  for (const folder of ["a", "b"]) await dav.fs.makeDirectory(folder);
  await dav.fs.make("a/file", "x");
  const to = (path: string) => ({ destination: `${dav.origin}${path}`, host: `127.0.0.1:${dav.port}` });
  expect(await dav.status("COPY", "/a/file", to("/b/file"))).toBe(201);
  expect(unfinished.saved).toEqual([]);
  expect(await dav.status("COPY", "/a/", to("/b/a"))).toBe(201);
  const name = expect.stringMatching(/^\.~syncline-dav-/);
  expect(unfinished.saved.splice(0)).toEqual([[{ path: ["b", name], was: undefined }], []]);
  expect(await dav.status("MOVE", "/b/", to("/a"))).toBe(204);
  const [aside, removed] = [
    { path: [name], was: "a" },
    { path: [name], was: undefined },
  ];
  expect(unfinished.saved).toEqual([[aside], [aside, removed], [removed], []]);
});

test("what is refused is not noted any longer", async () => {
  const unfinished = new MemoryUnfinishedStore();
  await using dav = await DavServer.start({ unfinished });
  for (const folder of ["a", "b"]) await dav.fs.makeDirectory(folder);
  unfinished.save = () => {
    throw Object.assign(new Error("full"), { code: "ENOSPC" });
  };
  const headers = { destination: `${dav.origin}/b`, host: `127.0.0.1:${dav.port}` };
  for (const method of ["COPY", "MOVE"]) expect(await dav.status(method, "/a/", headers)).toBeGreaterThanOrEqual(500);
  expect([...(await dav.fs.snapshot()).keys()].filter(Boolean).sort()).toEqual(["a", "b"]);
});
