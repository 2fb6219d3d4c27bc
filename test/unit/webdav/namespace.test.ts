/** The WebDAV door: folders, removing, copying, moving. */
import { describe, expect, test } from "vitest";
import type { FileName } from "../../../src/base/ids.ts";
import { DavServer } from "../../support/dav-server.ts";

async function paths(dav: DavServer): Promise<string[]> {
  return [...(await dav.fs.snapshot()).keys()].filter(Boolean).sort();
}

function to(dav: DavServer, path: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { destination: `${dav.origin}${path}`, host: `127.0.0.1:${dav.port}`, ...more };
}

describe("MKCOL and DELETE", () => {
  test("a folder is created once, without a body, in an existing folder", async () => {
    await using dav = await DavServer.start();
    expect(await dav.status("MKCOL", "/d/")).toBe(201);
    expect(await dav.status("MKCOL", "/d/")).toBe(405);
    expect(await dav.status("MKCOL", "/")).toBe(405);
    for (const path of ["/d/", "/"]) expect(await dav.status("MKCOL", path, { "if-none-match": "*" })).toBe(405);
    expect(await dav.status("MKCOL", "/e/", { "if-match": "*" })).toBe(412);
    expect(await dav.status("MKCOL", "/no/d")).toBe(409);
    expect(await dav.status("MKCOL", "/e", {}, "<x/>")).toBe(415);
  });

  test("a folder is removed with everything in it, and nothing else is", async () => {
    await using dav = await DavServer.start();
    for (const folder of ["d", "d/e", "d/e/f"]) await dav.fs.makeDirectory(folder);
    for (const file of ["keep", "d/a", "d/e/b", "d/e/f/c"]) await dav.fs.make(file, "x");
    await dav.link("/keep", "d/link");
    expect(await dav.status("DELETE", "/d/", { depth: "0" })).toBe(400);
    expect(await dav.status("DELETE", "/d/")).toBe(204);
    expect(await paths(dav)).toEqual(["keep"]);
    expect(await dav.status("DELETE", "/d/")).toBe(404);
    expect(await dav.status("DELETE", "/")).toBe(403);
  });
});

describe("MOVE and COPY", () => {
  test("a folder moves with everything in it, and replaces another only if Overwrite allows it", async () => {
    await using dav = await DavServer.start();
    for (const folder of ["a", "b", "b/deep"]) await dav.fs.makeDirectory(folder);
    await dav.fs.make("a/f", "x");
    await dav.fs.make("b/deep/old", "y");
    for (const overwrite of ["F", "f"]) {
      expect(await dav.status("MOVE", "/a/", to(dav, "/b/", { overwrite }))).toBe(412);
    }
    for (const overwrite of ["", "no", "TF"]) {
      expect(await dav.status("MOVE", "/a/", to(dav, "/b/", { overwrite }))).toBe(400);
    }
    expect(await dav.status("MOVE", "/a/", to(dav, "/b/", { overwrite: "t" }))).toBe(204);
    expect(await paths(dav)).toEqual(["b", "b/f"]);
    expect(await dav.status("MOVE", "/b/", to(dav, "/c"))).toBe(201);
    expect(await paths(dav)).toEqual(["c", "c/f"]);
  });

  test("a copy is a new file with the same bytes and properties", async () => {
    await using dav = await DavServer.start();
    await dav.fs.makeDirectory("a");
    const ino = await dav.fs.make("a/f", "bytes");
    await dav.link("f", "a/link");
    await dav.fs.run((vfs) => vfs.setXattr(ino, "user.note", Buffer.from("kept"), 0));
    expect(await dav.status("COPY", "/a/", to(dav, "/b/"))).toBe(201);
    expect(await paths(dav)).toEqual(["a", "a/f", "a/link", "b", "b/f", "b/link"]);
    const copied = await dav.fs.ino("b/f");
    expect(copied).not.toBe(ino);
    expect(await dav.fs.run((vfs) => vfs.getXattr(copied, "user.note"))).toEqual(new Uint8Array(Buffer.from("kept")));
    expect((await dav.send("GET", "/b/f")).body).toBe("bytes");
    expect(await dav.status("COPY", "/a/", to(dav, "/c/", { depth: "0" }))).toBe(201);
    expect((await paths(dav)).filter((path) => path.startsWith("c"))).toEqual(["c"]);
    expect(await dav.status("COPY", "/a/f", to(dav, "/b"))).toBe(204);
    expect((await dav.send("GET", "/b")).body).toBe("bytes");
  });

  test("nothing is copied or moved into itself, over its parent, to another server, or into a missing folder", async () => {
    await using dav = await DavServer.start();
    await dav.fs.makeDirectory("a");
    await dav.fs.makeDirectory("a/b");
    await dav.fs.make("f", "x");
    await dav.link("f", "link");
    for (const method of ["COPY", "MOVE"]) {
      expect(await dav.status(method, "/link", to(dav, "/link"))).toBe(403);
      expect(await dav.status(method, "/a/", to(dav, "/a/b/c"))).toBe(403);
      expect(await dav.status(method, "/a/b/", to(dav, "/a"))).toBe(403);
      expect(await dav.status(method, "/a/", to(dav, "/a"))).toBe(403);
      expect(await dav.status(method, "/", to(dav, "/c"))).toBe(403);
      expect(await dav.status(method, "/a/", { destination: "http://elsewhere/x" })).toBe(502);
      expect(await dav.status(method, "/a/", to(dav, "/no/x"))).toBe(409);
      expect(await dav.status(method, "/a/", to(dav, "/..%2fx"))).toBe(400);
      expect(await dav.status(method, "/a/", {})).toBe(400);
      expect(await dav.status(method, "/no", to(dav, "/x"))).toBe(404);
    }
    expect(await paths(dav)).toEqual(["a", "a/b", "f", "link"]);
  });
});

describe("paths", () => {
  test("ambiguous paths are refused", async () => {
    await using dav = await DavServer.start();
    await dav.fs.make("f", "x");
    for (const path of ["/a%2Ff", "/%00", "/./f", "/../f", "/%2e%2e/f", "/%2E/f", "/f%", "/f%zz", "/f#x", "f"]) {
      expect([path, await dav.status("DELETE", path)]).toEqual([path, 400]);
    }
    expect(await dav.status("GET", `/${"n".repeat(256)}`)).toBe(414);
    expect(await dav.status("GET", "//f?x=../y")).toBe(200);
  });

  test("a name that is not UTF-8 is listed and reached by its bytes, but cannot be created", async () => {
    await using dav = await DavServer.start();
    await dav.fs.run((vfs) => vfs.makeNode(1 as never, "\xff\x01 &" as FileName, 0o100644, 0, { uid: 0, gid: 0 }));
    const { body } = await dav.send("PROPFIND", "/", { depth: "1" });
    expect(body).toContain("<D:href>/%FF%01%20%26</D:href>");
    expect(body).toContain("<D:displayname>\u{fffd}\u{fffd} &amp;</D:displayname>");
    expect(await dav.status("GET", "/%FF%01%20%26")).toBe(200);
    expect(await dav.status("PUT", "/%FF", {}, "x")).toBe(400);
  });

  test("nothing is created under the door's temporary names, nor in a folder with such a name", async () => {
    await using dav = await DavServer.start();
    const own = "/.~syncline-dav-00";
    await dav.fs.makeDirectory("d");
    await dav.fs.make("f", "x");
    await dav.fs.makeDirectory(own.slice(1));
    const lockInfo =
      '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>';
    for (const path of [own, `${own}1`, `${own}/f`, `/d${own}`]) {
      expect([path, await dav.status("PUT", path, {}, "x")]).toEqual([path, 403]);
      expect([path, await dav.status("MKCOL", path)]).toEqual([path, 403]);
      for (const method of ["COPY", "MOVE"]) {
        for (const source of ["/f", "/d/"]) {
          expect([method, path, await dav.status(method, source, to(dav, path))]).toEqual([method, path, 403]);
        }
      }
    }
    expect(await dav.status("LOCK", `${own}1`, {}, lockInfo)).toBe(403);
    expect(await paths(dav)).toEqual([own.slice(1), "d", "f"]);
    // What a mount shows, and nobody needs any more, may go.
    expect(await dav.status("DELETE", own)).toBe(204);
  });

  test("a link stands for its target in the share; one that leads out, nowhere or in a cycle is not found", async () => {
    await using dav = await DavServer.start();
    await dav.fs.makeDirectory("d");
    await dav.fs.make("d/f", "in");
    for (const [target, path] of [
      ["d/f", "good"],
      ["d", "folder"],
      ["/etc/passwd", "absolute"],
      ["../../etc/passwd", "above"],
      ["nothing", "dangling"],
      ["loop", "loop"],
    ] as const) {
      await dav.link(target, path);
    }
    const { body } = await dav.send("PROPFIND", "/", { depth: "1" });
    const hrefs = [...body.matchAll(/<D:href>([^<]*)/g)].map(([, href]) => href);
    expect(hrefs).toEqual(["/", "/d/", "/folder/", "/good"]);
    expect((await dav.send("GET", "/good")).body).toBe("in");
    expect((await dav.send("GET", "/folder/f")).body).toBe("in");
    for (const path of ["/absolute", "/above", "/dangling", "/loop"]) expect(await dav.status("GET", path)).toBe(404);
    expect(await dav.status("PUT", "/absolute", {}, "x")).toBe(403);
    expect(await dav.status("PUT", "/good", {}, "new")).toBe(204);
    expect((await dav.send("GET", "/d/f")).body).toBe("new");
    expect(await dav.status("DELETE", "/good")).toBe(204);
    expect((await dav.send("GET", "/d/f")).body).toBe("new");
  });

  test("a link to a folder is moved and removed at the address that lists it, and the folder stays", async () => {
    await using dav = await DavServer.start();
    await dav.fs.makeDirectory("d");
    await dav.fs.make("d/f", "in");
    for (const [target, path] of [
      ["d", "folder"],
      ["folder", "link to link"],
      ["d/f", "file"],
      ["nothing", "dangling"],
    ] as const) {
      await dav.link(target, path);
    }
    for (const path of ["/file/", "/dangling/"]) {
      expect(await dav.status("DELETE", path)).toBe(404);
      expect(await dav.status("MOVE", path, to(dav, "/moved"))).toBe(404);
    }
    expect(await dav.status("DELETE", "/link%20to%20link/")).toBe(204);
    expect(await dav.status("MOVE", "/folder/", to(dav, "/moved/"))).toBe(201);
    expect(await paths(dav)).toEqual(["d", "d/f", "dangling", "file", "moved"]);
    expect((await dav.send("GET", "/moved/f")).body).toBe("in");
    expect(await dav.status("DELETE", "/moved/")).toBe(204);
    expect(await paths(dav)).toEqual(["d", "d/f", "dangling", "file"]);
    expect((await dav.send("GET", "/d/f")).body).toBe("in");
  });
});
