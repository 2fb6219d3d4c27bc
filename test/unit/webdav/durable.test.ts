/** The WebDAV door: what an answer promises about power loss. */
import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import { seededRandom } from "../../../src/simulate/seeded-random.ts";
import { overriding } from "../../../src/vfs/overriding.ts";
import { DavServer } from "../../support/dav-server.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const SIZES = [0, 100, 20_000, 300_000];
const LOSSES = 8;

function to(dav: DavServer, path: string): Record<string, string> {
  return { destination: `${dav.origin}${path}`, host: `127.0.0.1:${dav.port}` };
}

/** The contents at these paths after `work` through a door, and then power loss, in some of the ways it may end. */
async function afterPowerLoss(work: (dav: DavServer) => Promise<void>, paths: readonly string[]) {
  const found: unknown[] = [];
  for (let seed = 1; seed <= LOSSES; seed++) {
    const fs = await VfsHarness.create();
    {
      await using dav = await DavServer.start({}, { fs });
      await work(dav);
    }
    fs.restart(seededRandom(seed));
    found.push(Object.fromEntries(await Promise.all(paths.map(async (path) => [path, await textAt(fs, path)]))));
  }
  return found;
}

async function textAt(fs: VfsHarness, path: string): Promise<string | undefined> {
  return (await fs.find(path)) === undefined ? undefined : fs.text(path);
}

const times = <Value>(value: Value) => Array.from({ length: LOSSES }, () => value);

describe("after power loss", () => {
  test.each(SIZES)("a file of %s bytes is what was uploaded, if that was answered", async (size) => {
    const [first, second] = ["a".repeat(size), "b".repeat(size)];
    const work = async (dav: DavServer) => {
      expect(await dav.status("PUT", "/new", {}, first)).toBe(201);
      expect(await dav.status("PUT", "/again", {}, first)).toBe(201);
      expect(await dav.status("PUT", "/again", {}, second)).toBe(204);
    };
    expect(await afterPowerLoss(work, ["new", "again"])).toEqual(times({ new: first, again: second }));
  });

  test.each(SIZES)("so is one of %s bytes that was copied, also with its folder, or moved", async (size) => {
    const text = "x".repeat(size);
    const work = async (dav: DavServer) => {
      await dav.fs.makeDirectory("d");
      for (const path of ["f", "d/f", "d/g", "old"]) await dav.fs.make(path, text);
      expect(await dav.status("COPY", "/f", to(dav, "/copy"))).toBe(201);
      expect(await dav.status("COPY", "/d/", to(dav, "/e"))).toBe(201);
      expect(await dav.status("MOVE", "/old", to(dav, "/moved"))).toBe(201);
    };
    const paths = ["copy", "e/f", "e/g", "old", "moved"];
    const expected = { copy: text, "e/f": text, "e/g": text, old: undefined, moved: text };
    expect(await afterPowerLoss(work, paths)).toEqual(times(expected));
  });
});

describe("what the filesystem's fsync waits for", () => {
  test("is waited for, and is shared by uploads at once", async () => {
    const fs = await VfsHarness.create();
    const published = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const slow = overriding(fs.vfs, {
      fsync() {
        begun.resolve();
        return published.promise;
      },
    });
    await using dav = await DavServer.start({ fs: slow }, { fs });
    const uploads = ["/a", "/b"].map((path) => dav.send("PUT", path, {}, "x"));
    let isAnswered = false;
    for (const upload of uploads) void upload.then(() => (isAnswered = true));
    await begun.promise;
    // This passes through the same server meanwhile.
    expect(await dav.status("GET", "/no")).toBe(404);
    expect(isAnswered).toBe(false);
    published.resolve();
    expect((await Promise.all(uploads)).map(({ status }) => status)).toEqual([201, 201]);
  });

  test.each([
    ["unpublished_data", 503, "5", /not in the bucket yet/],
    ["store_failed", 503, "5", /power cut/],
    ["disk_full", 507, undefined, /power cut/],
  ] as const)("may fail: %s", async (code, status, retryAfter, message) => {
    const fs = await VfsHarness.create();
    const failing = overriding(fs.vfs, { fsync: () => Promise.reject(new SynclineError(code, "Not now.")) });
    await using dav = await DavServer.start({ fs: failing }, { fs });
    await fs.make("f", "x");
    await fs.makeDirectory("d");
    await fs.make("d/f", "x");
    for (const [method, path] of [
      ["PUT", "/f"],
      ["COPY", "/f"],
      ["COPY", "/d/"],
      ["MOVE", "/f"],
    ] as const) {
      const answer = await dav.send(method, path, method === "PUT" ? {} : to(dav, `/${method}${path.length}`));
      expect([method, answer.status, answer.headers["retry-after"]]).toEqual([method, status, retryAfter]);
      expect(answer.body).toMatch(message);
    }
    // A folder's copy is not shown before its files are durable.
    expect([...(await fs.snapshot()).keys()].filter(Boolean).sort()).toEqual(["COPY2", "MOVE2", "d", "d/f"]);
  });
});

test("small files that are uploaded one after the other take one sync each: the journal carries their bytes", async () => {
  const fs = await VfsHarness.create();
  const synced: string[] = [];
  const openFile = fs.disk.openFile.bind(fs.disk);
  fs.disk.openFile = (folder, name, create) => {
    const file = openFile(folder, name, create);
    if (folder !== "data" || file === undefined) return file;
    const sync = file.sync.bind(file);
    file.sync = () => {
      synced.push(name);
      return sync();
    };
    return file;
  };
  await using dav = await DavServer.start({}, { fs });
  expect(await dav.status("PUT", "/first", {}, "x")).toBe(201);
  synced.length = 0;
  for (const size of [1, 20_000, 60_000]) expect(await dav.status("PUT", `/${size}`, {}, Buffer.alloc(size))).toBe(201);
  expect(synced).toEqual([]);
});
