/** The WebDAV door: preconditions and ranges. */
import { describe, expect, test } from "vitest";
import { parseHttpDate } from "../../../src/webdav/properties/http-date.ts";
import { createFolderPage } from "../../../src/webdav/page/folder-page.ts";
import { DavServer } from "../../support/dav-server.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const OLD = "Sun, 09 Sep 2001 01:46:40 GMT";
const FUTURE = "Fri, 01 Jan 2100 00:00:00 GMT";

describe("preconditions", () => {
  test("a change is made only to the version it is meant for", async () => {
    await using dav = await DavServer.start();
    expect(await dav.status("PUT", "/f", { "if-match": "*" }, "x")).toBe(412);
    const first = await dav.send("PUT", "/f", { "if-none-match": "*" }, "one");
    expect(first.status).toBe(201);
    expect(await dav.status("PUT", "/f", { "if-none-match": "*" }, "x")).toBe(412);
    const one = String(first.headers.etag);
    expect(await dav.status("PUT", "/f", { "if-match": '"other"' }, "x")).toBe(412);
    expect(await dav.status("PUT", "/f", { "if-match": `W/${one}` }, "x")).toBe(412);
    expect(await dav.status("PUT", "/f", { "if-match": `"other", ${one}` }, "two")).toBe(204);
    for (const [method, headers] of [
      ["DELETE", {}],
      ["MOVE", { destination: "/g" }],
      ["COPY", { destination: "/g" }],
      ["LOCK", {}],
      ["PROPFIND", { depth: "0" }],
      ["GET", {}],
    ] as const) {
      expect([method, await dav.status(method, "/f", { ...headers, "if-match": one })]).toEqual([method, 412]);
    }
    expect(await dav.status("PUT", "/f", { "if-unmodified-since": OLD }, "x")).toBe(412);
    expect(await dav.status("PUT", "/f", { "if-unmodified-since": FUTURE }, "x")).toBe(204);
    expect(await dav.status("PUT", "/new", { "if-unmodified-since": OLD }, "x")).toBe(201);
  });

  test("dates are GMT in all three forms, whatever the machine's zone, and other dates are ignored", async () => {
    const zone = process.env["TZ"];
    process.env["TZ"] = "America/New_York";
    try {
      for (const date of [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
      ])
        expect([date, parseHttpDate(date)]).toEqual([date, 784_111_777]);
    } finally {
      if (zone === undefined) delete process.env["TZ"];
      else process.env["TZ"] = zone;
    }
    await using dav = await DavServer.start();
    await dav.send("PUT", "/f", {}, "one");
    for (const date of ["garbage 5", "1", "2001", "2001-09-09T01:46:40Z", "Sun, 09 Sep 2001 01:46:40 EST", "x 2030"]) {
      expect(await dav.status("PUT", "/f", { "if-unmodified-since": date }, "x")).toBe(204);
      expect(await dav.status("GET", "/f", { "if-modified-since": date })).toBe(200);
    }
  });

  test("a client that already has the version gets 304", async () => {
    await using dav = await DavServer.start();
    const etag = String((await dav.send("PUT", "/f", {}, "one")).headers.etag);
    for (const method of ["GET", "HEAD"]) {
      expect(await dav.send(method, "/f", { "if-none-match": `"x", W/${etag}` })).toMatchObject({
        status: 304,
        body: "",
        headers: { etag },
      });
      expect(await dav.status(method, "/f", { "if-modified-since": FUTURE })).toBe(304);
      expect(await dav.status(method, "/f", { "if-modified-since": OLD })).toBe(200);
      expect(await dav.status(method, "/f", { "if-none-match": '"x"', "if-modified-since": FUTURE })).toBe(200);
    }
  });

  test("a 304 has the same caching headers as the full answer", async () => {
    const folderPage = createFolderPage({ conflictWriter: () => undefined, machineName: async (writer) => writer });
    await using dav = await DavServer.start({ folderPage });
    await dav.send("PUT", "/f", {}, "one");
    for (const [path, accept, vary] of [
      ["/f", "*/*", undefined],
      ["/f", "text/html", undefined],
      ["/", "*/*", "accept"],
      ["/", "text/html", "accept"],
    ] as const) {
      const whole = await dav.send("GET", path, { accept });
      const not = await dav.send("GET", path, { accept, "if-none-match": "*" });
      const cache = path === "/" && accept === "text/html" ? "no-store" : "no-cache";
      expect([path, whole.status, whole.headers]).toMatchObject([path, 200, { "cache-control": cache }]);
      expect([path, not.status, not.headers]).toMatchObject([path, 304, { "cache-control": cache, dav: "1, 2" }]);
      expect([whole.headers.vary, not.headers.vary]).toEqual([vary, vary]);
    }
  });

  test("one list of an If header must hold, with all conditions of that list", async () => {
    await using dav = await DavServer.start();
    const etag = String((await dav.send("PUT", "/f", {}, "one")).headers.etag);
    await dav.fs.make("other", "x");
    const cases: [string, number][] = [
      [`([${etag}])`, 200],
      [`(["x"])`, 412],
      [`(["x"]) ([${etag}])`, 200],
      [`([${etag}] ["x"])`, 412],
      [`(Not ["x"])`, 200],
      [`(Not [${etag}])`, 412],
      [`(<DAV:no-lock>)`, 412],
      [`(Not <DAV:no-lock>)`, 200],
      [`</f> ([${etag}])`, 200],
      [`<${dav.origin}/f> ([${etag}])`, 200],
      [`</other> ([${etag}])`, 412],
      [`<http://elsewhere/f> ([${etag}])`, 412],
      [`</other> (["x"]) </f> (["x"]) ([${etag}])`, 200],
      [`[${etag}]`, 400],
      [`()`, 400],
      [`(<a>`, 400],
      [`(Not)`, 400],
      [`</f>`, 400],
      [`([${etag}]) </f> (["x"])`, 400],
      ["", 400],
    ];
    for (const [header, status] of cases) {
      expect([header, await dav.status("GET", "/f", { if: header })]).toEqual([header, header === "" ? 400 : status]);
    }
  });

  test("a tag survives publishing and a restart, and differs for each content", async () => {
    const fs = await VfsHarness.create();
    const tags = new Set<string>();
    let last = "";
    {
      await using dav = await DavServer.start({}, { fs });
      for (const body of ["aaa", "bbb", "ccc"]) {
        last = String((await dav.send("PUT", "/f", { "x-oc-mtime": "1" }, body)).headers.etag);
        tags.add(last);
        await fs.publish();
        expect((await dav.send("HEAD", "/f")).headers.etag).toBe(last);
      }
      await fs.run((vfs) => vfs.persist());
    }
    expect(tags.size).toBe(3);
    fs.restart();
    await using dav = await DavServer.start({}, { fs });
    expect((await dav.send("HEAD", "/f")).headers.etag).toBe(last);
  });
});

describe("ranges", () => {
  test("single, multiple, overlapping and invalid ranges get the right answer", async () => {
    await using dav = await DavServer.start();
    const text = Array.from({ length: 1000 }, (_, index) => String.fromCharCode(97 + (index % 26))).join("");
    await dav.send("PUT", "/f.txt", {}, text);
    const get = (range: string, more = {}) => dav.send("GET", "/f.txt", { range, ...more });
    for (const [range, from, to] of [
      ["bytes=0-4", 0, 5],
      ["bytes=990-", 990, 1000],
      ["bytes=-10", 990, 1000],
      ["bytes=-5000", 0, 1000],
      ["bytes=5-5000", 5, 1000],
      ["bytes=0-4, 3-9", 0, 10],
      ["bytes=20-29,0-9", 0, 30],
      ["bytes=,0-3,", 0, 4],
      ["bytes= , 0-3 ,,2-5", 0, 6],
    ] as const) {
      const got = await get(range);
      expect([range, got.status, got.body]).toEqual([range, 206, text.slice(from, to)]);
      expect(got.headers["content-range"]).toBe(`bytes ${from}-${to - 1}/1000`);
    }
    const parts = await get("bytes=0-2, 500-502, -2");
    const boundary = /boundary=(\w+)/.exec(String(parts.headers["content-type"]))?.[1];
    const part = (range: string, body: string) =>
      `\r\n--${boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes ${range}/1000\r\n\r\n${body}`;
    expect(parts.status).toBe(206);
    expect(parts.body).toBe(
      `${part("0-2", text.slice(0, 3))}${part("500-502", text.slice(500, 503))}${part("998-999", text.slice(998))}\r\n--${boundary}--\r\n`,
    );
    expect(parts.headers["content-length"]).toBe(String(parts.bytes.length));
    const none = await get("bytes=1000-");
    expect(none).toMatchObject({ status: 416, headers: { "content-range": "bytes */1000" } });
    const many = Array.from({ length: 65 }, (_, index) => `${index * 10}-${index * 10}`).join(",");
    for (const range of ["bytes=", "bytes=,", "bytes=a-b", "lines=1-2", "bytes=5-2", `bytes=${many}`]) {
      expect([range, (await get(range)).status]).toEqual([range, 200]);
    }
  });

  test("a range is served if If-Range has the current tag; with another or a date, everything is sent", async () => {
    await using dav = await DavServer.start();
    const { headers } = await dav.send("PUT", "/f", { "x-oc-mtime": "1000000000" }, "0123456789");
    const range = "bytes=0-1";
    expect(await dav.status("GET", "/f", { range, "if-range": String(headers.etag) })).toBe(206);
    expect(await dav.status("GET", "/f", { range, "if-range": '"x"' })).toBe(200);
    expect(await dav.status("GET", "/f", { range, "if-range": OLD })).toBe(200);
  });
});
