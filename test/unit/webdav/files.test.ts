/** The WebDAV door: reading and writing files. */
import { request, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import type { Ino } from "../../../src/base/ids.ts";
import { ACCESS_ACL, DEFAULT_ACL } from "../../../src/format/files/acl.ts";
import { acl, aclText } from "../../support/acl-text.ts";
import { DavServer } from "../../support/dav-server.ts";
import { RawClient } from "../../support/raw-http.ts";

/** What cadaver looks for before it sets the executable bit is told as Apache tells it. */
const CLASSES = "1, 2, <http://apache.org/dav/propset/fs/1>";

describe("OPTIONS", () => {
  test("the root and * report the supported features, with an empty body", async () => {
    await using dav = await DavServer.start();
    for (const path of ["/", "*"]) {
      const { status, headers } = await dav.send("OPTIONS", path);
      expect(status).toBe(200);
      expect(headers).toMatchObject({ dav: CLASSES, "ms-author-via": "DAV", "content-length": "0" });
      expect(headers.allow).toContain("PROPFIND");
    }
  });
});

describe("PUT and GET", () => {
  test("a PUT file can be read back, with the same strong tag", async () => {
    await using dav = await DavServer.start();
    const made = await dav.send("PUT", "/a%20b.txt", {}, "hello");
    expect(made.status).toBe(201);
    expect(made.headers.etag).toMatch(/^"[^"]+"$/);
    const got = await dav.send("GET", "/a%20b.txt");
    expect(got).toMatchObject({ status: 200, body: "hello" });
    expect(got.headers).toMatchObject({
      etag: made.headers.etag,
      "content-length": "5",
      "content-type": "text/plain; charset=utf-8",
    });
    expect(await dav.send("HEAD", "/a%20b.txt")).toMatchObject({ status: 200, body: "" });
  });

  test("a PUT over HTTP/1.0 that does not say how long it is changes nothing; over HTTP/1.1 it is empty", async () => {
    await using dav = await DavServer.start();
    await dav.fs.make("f", "old");
    const put = async (version: string) => {
      const client = (await RawClient.open(dav.origin)).send(`PUT /f HTTP/${version}\r\nHost: x\r\n\r\n`);
      const { status } = await client.answer();
      client.close();
      return status;
    };
    expect(await put("1.0")).toBe(411);
    expect(await dav.fs.text("f")).toBe("old");
    expect(await put("1.1")).toBe(204);
    expect(await dav.fs.text("f")).toBe("");
  });

  test("a PUT whose login is revoked before its end changes nothing", async () => {
    let checks = 0;
    const denial = { status: 401, message: "Sign in.", headers: { "www-authenticate": ["Basic"] } };
    await using dav = await DavServer.start({}, { recheck: () => (checks++ === 0 ? undefined : denial) });
    await dav.fs.make("f", "old");
    const refused = await dav.send("PUT", "/f", {}, "new");
    expect(refused).toMatchObject({ status: 401, headers: { "www-authenticate": "Basic" } });
    expect(await dav.fs.text("f")).toBe("old");
  });

  test("a PUT keeps a file's access control list, and does not add one", async () => {
    await using dav = await DavServer.start();
    const given = acl("u::rw- u:7:rwx g::r-- m::rwx o::---");
    const root = await dav.fs.ino("");
    const [plain, listed] = [await dav.fs.make("plain", "x"), await dav.fs.make("listed", "x")];
    await dav.fs.run((vfs) => vfs.setXattr(listed, ACCESS_ACL, given, 0));
    await dav.fs.run((vfs) => vfs.setAttributes(plain, { mode: 0o640 }));
    await dav.fs.run((vfs) => vfs.setXattr(root, DEFAULT_ACL, acl("u::rwx u:9:rwx g::r-x m::rwx o::r-x"), 0));
    const now = async (path: string) => {
      const { ino, mode } = (await dav.fs.find(path)) ?? { ino: 0 as Ino, mode: 0 };
      const list = await dav.fs.run((vfs) => vfs.getXattr(ino, ACCESS_ACL));
      return [mode & 0o7777, list && aclText(list)];
    };
    for (const path of ["/plain", "/listed", "/new"]) await dav.send("PUT", path, {}, "y");
    expect(await now("plain")).toEqual([0o640, undefined]);
    expect(await now("listed")).toEqual([0o670, aclText(given)]);
    expect(await now("new")).toEqual([0o644, "u::rw- u:9:rwx g::r-x m::r-- o::r--"]);
  });

  test("a second PUT answers 204, and no two contents share a tag", async () => {
    await using dav = await DavServer.start();
    const tags = new Set<unknown>();
    for (const [index, text] of ["one", "two", "one", "six"].entries()) {
      const { status, headers } = await dav.send("PUT", "/f", { "x-oc-mtime": "1000000000" }, text);
      expect(status).toBe(index === 0 ? 201 : 204);
      expect(headers["x-oc-mtime"]).toBe("accepted");
      tags.add(headers.etag);
    }
    expect(tags.size).toBe(3);
    expect((await dav.send("GET", "/f")).headers["last-modified"]).toBe("Sun, 09 Sep 2001 01:46:40 GMT");
  });

  test.each([
    ["-1", -1_000_000_000n, "Wed, 31 Dec 1969 23:59:59 GMT"],
    ["-0.25", -250_000_000n, "Wed, 31 Dec 1969 23:59:59 GMT"],
    ["-1234567890.5", -1_234_567_890_500_000_000n, "Tue, 18 Nov 1930 00:28:29 GMT"],
    ["-99999999999", -(2n ** 63n), "Tue, 21 Sep 1677 00:12:43 GMT"],
    ["99999999999", 2n ** 63n - 1n, "Fri, 11 Apr 2262 23:47:16 GMT"],
  ])("a file keeps its date before 1970, or the nearest that can be stored: %s", async (sent, mtimeNs, shown) => {
    await using dav = await DavServer.start();
    expect(await dav.send("PUT", "/f", { "x-oc-mtime": sent }, "x")).toMatchObject({
      status: 201,
      headers: { "x-oc-mtime": "accepted" },
    });
    expect((await dav.fs.find("f"))?.mtimeNs).toBe(mtimeNs);
    const { headers } = await dav.send("HEAD", "/f");
    expect(headers["last-modified"]).toBe(shown);
    expect(await dav.status("HEAD", "/f", { "if-unmodified-since": shown })).toBe(200);
    expect(await dav.status("HEAD", "/f", { "if-modified-since": shown })).toBe(304);
  });

  test("an invalid time is refused", async () => {
    await using dav = await DavServer.start();
    for (const sent of ["", "-", "--1", "1e3", "1.", "yesterday"])
      expect([sent, await dav.status("PUT", "/f", { "x-oc-mtime": sent }, "x")]).toEqual([sent, 400]);
  });

  test("an aborted upload leaves the old content, and nothing else", async () => {
    await using dav = await DavServer.start();
    await dav.send("PUT", "/f", {}, "old");
    const socket = connect(dav.port, "127.0.0.1");
    await once(socket, "connect");
    socket.write("PUT /f HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nnew but");
    socket.end();
    await once(socket.resume(), "close");
    expect(await dav.send("GET", "/f")).toMatchObject({ body: "old" });
    expect([...(await dav.fs.snapshot()).keys()].sort()).toEqual(["", "f"]);
  });

  test("PUT refuses a folder, a file without its folder, and a partial or encoded body", async () => {
    await using dav = await DavServer.start();
    await dav.fs.makeDirectory("d");
    expect(await dav.status("PUT", "/d", {}, "x")).toBe(405);
    expect(await dav.status("PUT", "/no/f", {}, "x")).toBe(409);
    expect(await dav.status("PUT", "/f/", {}, "x")).toBe(409);
    expect(await dav.status("PUT", "/f", { "content-range": "bytes 0-0/1" }, "x")).toBe(400);
    expect(await dav.status("PUT", "/f", { "content-encoding": "gzip" }, "x")).toBe(415);
    expect(await dav.status("GET", "/f")).toBe(404);
  });

  test("a large file arrives whole, even at slow readers and at several at once", async () => {
    await using dav = await DavServer.start();
    const bytes = Buffer.alloc(5_000_001, 1);
    for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.writeUInt32LE(at, at);
    expect(await dav.status("PUT", "/large", {}, bytes)).toBe(201);
    const all = Array.from({ length: 4 }, () => dav.send("GET", "/large"));
    const slow = request({ host: "127.0.0.1", port: dav.port, path: "/large", agent: false }).end();
    const [response] = (await once(slow, "response")) as [IncomingMessage];
    for (const { bytes: got } of await Promise.all(all)) expect(got.equals(bytes)).toBe(true);
    // Only now is anything of it read.
    const pieces: Buffer[] = [];
    for await (const piece of response) pieces.push(piece as Buffer);
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
    const part = await dav.send("GET", "/large", { range: "bytes=1000000-1999999,3000000-" });
    expect(part.bytes.includes(bytes.subarray(1_000_000, 2_000_000))).toBe(true);
    expect(part.bytes.includes(bytes.subarray(3_000_000))).toBe(true);
  });

  test("bytes that do not match the checksum sent with them change nothing", async () => {
    await using dav = await DavServer.start();
    const put = (checksum: string, body: string) => dav.status("PUT", "/f", { "oc-checksum": checksum }, body);
    expect(await put("SHA1:a9993e364706816aba3e25717850c26c9cd0d89d", "abc")).toBe(201);
    for (const wrong of [
      "SHA1:a9993e364706816aba3e25717850c26c9cd0d89d",
      "MD5:900150983cd24fb0d6963f7d28e17f72 SHA1:00",
      "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ]) {
      expect([wrong, await put(wrong, "abd")]).toEqual([wrong, 400]);
    }
    expect((await dav.send("GET", "/f")).body).toBe("abc");
    for (const right of ["md5:900150983cd24fb0d6963f7d28e17f72", "ADLER32:024d0127", "what?"]) {
      expect([right, await put(right, "abc")]).toEqual([right, 204]);
    }
  });

  test("the garbage of request bodies is collected while it is young, after every 2 MiB", async () => {
    let collected = 0;
    await using dav = await DavServer.start({ collectYoung: () => void collected++ });
    for (const path of ["/a", "/b", "/c"]) expect(await dav.status("PUT", path, {}, Buffer.alloc(1_500_000))).toBe(201);
    expect(collected).toBe(2);
    expect(await dav.status("PUT", "/large", {}, Buffer.alloc(9_000_000))).toBe(201);
    expect(collected).toBe(6);
  });

  test("a reader that disconnects midway holds nothing up", async () => {
    await using dav = await DavServer.start();
    await dav.send("PUT", "/large", {}, Buffer.alloc(3_000_000, 1));
    for (let times = 0; times < 3; times++) {
      const leaving = request({ host: "127.0.0.1", port: dav.port, path: "/large", agent: false }).end();
      const [response] = (await once(leaving, "response")) as [IncomingMessage];
      response.on("error", () => {});
      leaving.destroy();
    }
    expect((await dav.send("GET", "/large")).bytes).toHaveLength(3_000_000);
  });
});
