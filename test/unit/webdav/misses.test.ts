/** The WebDAV door when blocks are missing, the bucket is away, or the disk is full. */
import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import type { Cid } from "../../../src/base/ids.ts";
import { BlockMiss } from "../../../src/blocks/block-store.ts";
import type { FileSystem } from "../../../src/vfs/filesystem.ts";
import { DavServer } from "../../support/dav-server.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const BLOCK = "bafyr4imissing" as Cid;
/** Those that a door calls without reading a tree. */
const PLAIN = new Set([
  "persist",
  "throttle",
  "load",
  "watchOrphans",
  "watchOthers",
  "forget",
  "closed",
  "holdVersion",
  "fsync",
  "statFs",
]);

/** The filesystem, each method of which is wrapped. */
function wrapped(
  fs: FileSystem,
  around: (method: string, call: () => unknown, args: readonly unknown[]) => unknown,
): FileSystem {
  return new Proxy(fs, {
    get: (target, method) => {
      const value: unknown = Reflect.get(target, method, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => around(String(method), () => value.apply(target, args) as unknown, args);
    },
  });
}

describe("missing blocks", () => {
  test("every call may find blocks missing, and still gives the usual result", async () => {
    const fs = await VfsHarness.create();
    const missed = new Set<string>();
    const missing = wrapped(fs.vfs, (method, call, args) => {
      if (method === "load" && (args[0] as Cid[]).includes(BLOCK)) return Promise.resolve();
      if (PLAIN.has(method) || missed.has(method)) return call();
      missed.add(method);
      throw new BlockMiss([BLOCK]);
    });
    await using dav = await DavServer.start({ fs: missing }, { fs });
    await dav.fs.makeDirectory("old");
    await dav.fs.make("old/gone", "x");
    await dav.link("f", "link");
    const patch = '<propertyupdate xmlns="DAV:"><set><prop><p xmlns="u">v</p></prop></set></propertyupdate>';
    const lock = '<lockinfo xmlns="DAV:"><lockscope><shared/></lockscope><locktype><write/></locktype></lockinfo>';
    const to = (path: string) => ({ destination: path });
    const steps: [string, string, Record<string, string>, string, number][] = [
      ["PUT", "/f", {}, "one", 201],
      ["PROPPATCH", "/f", {}, patch, 207],
      ["PUT", "/f", {}, "two", 204],
      ["PUT", "/link", {}, "three", 204],
      ["MKCOL", "/d", {}, "", 201],
      ["COPY", "/f", to("/d/f"), "", 201],
      ["COPY", "/d/", to("/old"), "", 204],
      ["COPY", "/f", to("/d/f"), "", 204],
      ["MOVE", "/d/", to("/e"), "", 201],
      ["MOVE", "/old/", to("/e"), "", 204],
      ["LOCK", "/new", {}, lock, 201],
      ["DELETE", "/link", {}, "", 204],
      ["MKCOL", "/g", {}, "", 201],
      ["DELETE", "/g", {}, "", 204],
    ];
    for (const [method, path, headers, body, status] of steps) {
      missed.clear();
      expect([method, path, await dav.status(method, path, headers, body)]).toEqual([method, path, status]);
    }
    missed.clear();
    expect((await dav.send("GET", "/e/f", { range: "bytes=1-" })).body).toBe("hree");
    missed.clear();
    const { body } = await dav.send("PROPFIND", "/e/", { depth: "1" });
    expect(body).toContain('<n1:p xmlns:n1="u">v</n1:p>');
    expect([...(await dav.fs.snapshot()).keys()].sort()).toEqual(["", "e", "e/f", "f", "new"]);
  });

  test("unavailable data is 503, and a body that has begun is cut off", async () => {
    const fs = await VfsHarness.create();
    let isAway = false;
    let reads = 0;
    const away = wrapped(fs.vfs, (method, call) => {
      if (!isAway) return call();
      if (method === "load") return Promise.reject(new SynclineError("read_timeout", "It did not answer."));
      if (method.startsWith("read") && ++reads > 1) throw new BlockMiss([BLOCK]);
      return call();
    });
    const lines: string[] = [];
    const note = (message: string, fields: unknown) => void lines.push(`${message} ${JSON.stringify(fields)}`);
    const log = { info: note, warn: note, error: note };
    await using dav = await DavServer.start({ fs: away }, { fs, log });
    await dav.send("PUT", "/a%0Ab", {}, Buffer.alloc(1_600_000, 1));
    isAway = true;
    await expect(dav.send("GET", "/a%0Ab")).rejects.toThrow(/aborted|hang up/);
    const { status, headers } = await dav.send("GET", "/a%0Ab");
    expect([status, headers["retry-after"]]).toEqual([503, "5"]);
    expect(lines.filter((line) => line.includes("/a%0Ab") && line.includes("read_timeout"))).toHaveLength(2);
  });

  test("a full disk is 507, and the old file stays", async () => {
    const fs = await VfsHarness.create();
    let isFull = false;
    const full = wrapped(fs.vfs, (method, call) => {
      if (isFull && ["write", "setXattr", "makeDirectory"].includes(method))
        throw new SynclineError("disk_full", "Full.");
      return call();
    });
    await using dav = await DavServer.start({ fs: full }, { fs });
    await dav.send("PUT", "/f", {}, "old");
    isFull = true;
    expect(await dav.status("PUT", "/f", {}, "new")).toBe(507);
    expect(await dav.status("MKCOL", "/d")).toBe(507);
    expect((await dav.send("GET", "/f")).body).toBe("old");
    expect([...(await dav.fs.snapshot()).keys()].sort()).toEqual(["", "f"]);
  });

  test("a read-only share refuses changes, and says so", async () => {
    await using dav = await DavServer.start({ readOnly: true });
    await dav.fs.make("f", "x");
    for (const method of ["PUT", "DELETE", "MKCOL", "PROPPATCH", "LOCK", "UNLOCK", "COPY", "MOVE"]) {
      expect([method, await dav.status(method, "/f", { destination: "/g" })]).toEqual([method, 403]);
    }
    const { headers } = await dav.send("OPTIONS", "/");
    expect(headers.allow).toBe("OPTIONS, GET, HEAD, PROPFIND, REPORT");
    // A client that has to lock first learns of the refusal before anything is written: davfs2 else takes what it cannot bring.
    expect(headers["dav"]).toMatch(/^1, 2\b/);
    expect(await dav.status("GET", "/f")).toBe(200);
  });
});
