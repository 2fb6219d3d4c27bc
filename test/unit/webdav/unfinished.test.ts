/** The WebDAV door: what an agent that was killed left under temporary names. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import type { Cid, FileName } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import { BlockMiss } from "../../../src/blocks/block-store.ts";
import { Access } from "../../../src/files/access.ts";
import { finishLeft } from "../../../src/files/finish-left.ts";
import { OpenInodes } from "../../../src/files/open-inodes.ts";
import { UnfinishedWork, type Unfinished } from "../../../src/files/unfinished.ts";
import { overriding } from "../../../src/vfs/overriding.ts";
import { DavServer, MemoryUnfinishedStore } from "../../support/dav-server.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

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
  const shown = await atRest(fs, unfinished);
  // What was done about it is looked at once more, as a power failure may have undone that.
  expect(await atRest(fs, unfinished)).toEqual(shown);
  expect(unfinished.load()).toEqual([]);
  return shown;
}

/** Once all that the last run left has been looked at. */
async function atRest(fs: VfsHarness, unfinished: MemoryUnfinishedStore): Promise<string[]> {
  const work = new UnfinishedWork(unfinished);
  const access = new Access(fs.vfs, new OpenInodes(fs.vfs, silentLog), new AbortController().signal);
  await finishLeft({ access, clock: systemClock }, work, silentLog);
  return [...(await fs.snapshot()).keys()].filter(Boolean).sort();
}

function workAt(path: string, was?: string): Unfinished {
  return { path: path.split("/") as FileName[], was: was as FileName | undefined };
}

test("an unfinished copy is removed with everything in it", async () => {
  expect(await reopened(["d", `d/${LEFT}`], workAt(`d/${LEFT}`))).toEqual(["d", "d/file"]);
});

test("a folder that was moved aside gets its name back, or another one if that name is taken", async () => {
  expect(await reopened([LEFT], workAt(LEFT, "d"))).toEqual(["d", "d/file"]);
  const both = ["d", "d (replaced)", "d (replaced)/file", "d/file"];
  expect(await reopened([LEFT, "d"], workAt(LEFT, "d"))).toEqual(both);
  const third = ["d (replaced 2)", "d (replaced 2)/file"];
  expect(await reopened([LEFT, "d", "d (replaced)"], workAt(LEFT, "d"))).toEqual([...both, ...third].sort());
});

test("missing objects are forgotten, and an object without a temporary name is never removed", async () => {
  expect(await reopened(["d"], workAt(`gone/${LEFT}`))).toEqual(["d", "d/file"]);
  expect(await reopened(["d"], workAt("d"))).toEqual(["d", "d/file"]);
});

test("what cannot be removed is retried by the next run", async () => {
  const fs = await VfsHarness.create({});
  await fs.makeDirectory(LEFT);
  const unfinished = new MemoryUnfinishedStore();
  unfinished.save([workAt(LEFT)]);
  const removeDirectory = fs.vfs.removeDirectory.bind(fs.vfs);
  fs.vfs.removeDirectory = () => {
    throw new Error("not now");
  };
  expect(await atRest(fs, unfinished)).toEqual([LEFT]);
  fs.vfs.removeDirectory = removeDirectory;
  expect(await atRest(fs, unfinished)).toEqual([]);
});

const named = expect.stringMatching(/^\.~syncline-dav-/);

function to(dav: DavServer, path: string): Record<string, string> {
  return { destination: `${dav.origin}${path}`, host: `127.0.0.1:${dav.port}` };
}

test("a copy of a folder is recorded beforehand; a file's copy and what is replaced need no record", async () => {
  const unfinished = new MemoryUnfinishedStore();
  await using dav = await DavServer.start({ unfinished });
  for (const folder of ["a", "b"]) await dav.fs.makeDirectory(folder);
  await dav.fs.make("a/file", "x");
  expect(await dav.status("COPY", "/a/file", to(dav, "/b/file"))).toBe(201);
  expect(await dav.status("COPY", "/a/file", to(dav, "/b/file"))).toBe(204);
  expect(unfinished.saved).toEqual([]);
  expect(await dav.status("COPY", "/a/", to(dav, "/b/a"))).toBe(201);
  expect(unfinished.saved.splice(0)).toEqual([[{ path: ["b", named] }]]);
  expect(await dav.status("MOVE", "/b/", to(dav, "/a"))).toBe(204);
  expect(unfinished.saved).toEqual([]);
  expect([...(await dav.fs.snapshot()).keys()].filter(Boolean).sort()).toEqual(["a", "a/a", "a/a/file", "a/file"]);
});

test("moving a folder takes along the record of a copy that is being made in it", async () => {
  const unfinished = new MemoryUnfinishedStore();
  await using dav = await DavServer.start({ unfinished });
  for (const folder of ["a", "p", "q"]) await dav.fs.makeDirectory(folder);
  for (let file = 0; file < 2_000; file++) await dav.fs.make(`a/${file}`, "x");
  const begun = Promise.withResolvers<void>();
  const save = unfinished.save.bind(unfinished);
  unfinished.save = (all) => {
    save(all);
    begun.resolve();
  };
  const copied = dav.status("COPY", "/a/", to(dav, "/p/a"));
  await begun.promise;
  expect(await dav.status("MOVE", "/p/", to(dav, "/q/p"))).toBe(201);
  expect(unfinished.load()).toEqual([{ path: ["q", "p", named] }]);
  await copied;
});

test("what cannot be recorded is not begun", async () => {
  const unfinished = new MemoryUnfinishedStore();
  await using dav = await DavServer.start({ unfinished });
  for (const folder of ["a", "b"]) await dav.fs.makeDirectory(folder);
  unfinished.save = () => {
    throw Object.assign(new Error("full"), { code: "ENOSPC" });
  };
  expect(await dav.status("COPY", "/a/", to(dav, "/b"))).toBeGreaterThanOrEqual(500);
  expect([...(await dav.fs.snapshot()).keys()].filter(Boolean).sort()).toEqual(["a", "b"]);
});

test("an unfinished copy is not copied along", async () => {
  await using dav = await DavServer.start();
  for (const folder of ["a", `a/${LEFT}`]) await dav.fs.makeDirectory(folder);
  expect(await dav.status("COPY", "/a/", to(dav, "/b"))).toBe(201);
  expect([...(await dav.fs.snapshot()).keys()].filter(Boolean).sort()).toEqual(["a", `a/${LEFT}`, "b"]);
});

describe.each([
  ["PUT", "/f", "new"],
  ["COPY", "/source", ""],
])("a %s over a file that waits for missing blocks", (method, path, body) => {
  interface Waiting {
    readonly go: () => void;
    readonly close: () => void;
    readonly status: Promise<number>;
  }

  /** Sends the request, and calls `meanwhile` while it waits. */
  async function waiting(meanwhile: (request: Waiting) => void | Promise<void>) {
    const fs = await VfsHarness.create();
    const unfinished = new MemoryUnfinishedStore();
    const closed = new AbortController();
    const [waits, loaded] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let isMissing = false;
    const missing = overriding(fs.vfs, {
      rename(...parts) {
        if (isMissing) throw new BlockMiss(["bafyr4imissing" as Cid]);
        fs.vfs.rename(...parts);
      },
      load() {
        waits.resolve();
        isMissing = false;
        return loaded.promise;
      },
    });
    await using dav = await DavServer.start({ fs: missing, unfinished, closed: closed.signal }, { fs });
    await fs.make("f", "old");
    await fs.make("source", "new");
    isMissing = true;
    const status = dav.status(method, path, to(dav, "/f"), body).catch(() => 0);
    await waits.promise;
    // As any other request does.
    fs.vfs.persist();
    await meanwhile({ go: () => loaded.resolve(), close: () => closed.abort(), status });
    return { fs, unfinished };
  }

  test("leaves nothing if the agent is killed meanwhile", async () => {
    const { fs, unfinished } = await waiting(() => {});
    fs.restart();
    expect(await atRest(fs, unfinished)).toEqual(["f", "source"]);
    expect(await fs.text("f")).toBe("old");
  });

  test("leaves nothing if the door is closed meanwhile", async () => {
    const { fs, unfinished } = await waiting(async ({ go, close, status }) => {
      close();
      go();
      expect(await status).toBeGreaterThanOrEqual(500);
    });
    fs.restart();
    expect(await atRest(fs, unfinished)).toEqual(["f", "source"]);
    expect(await fs.text("f")).toBe("old");
  });

  test("replaces the file if the blocks come, and is no longer recorded after the next start", async () => {
    const { fs, unfinished } = await waiting(async ({ go, status }) => {
      go();
      expect(await status).toBe(204);
    });
    expect(await fs.text("f")).toBe("new");
    expect(unfinished.saved).toEqual([[{ path: [named], was: undefined }]]);
    fs.restart();
    expect(await atRest(fs, unfinished)).toEqual(["f", "source"]);
    expect(unfinished.load()).toEqual([]);
  });
});
