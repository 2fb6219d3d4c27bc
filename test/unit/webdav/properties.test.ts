/** The WebDAV door: properties. */
import { describe, expect, test } from "vitest";
import { DavServer } from "../../support/dav-server.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

function patch(set: string, remove = ""): string {
  const part = (name: string, inner: string) =>
    inner === "" ? "" : `<D:${name}><D:prop>${inner}</D:prop></D:${name}>`;
  return `<D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:">${part("set", set)}${part("remove", remove)}</D:propertyupdate>`;
}

function ask(...names: string[]): string {
  return `<D:propfind xmlns:D="DAV:"><D:prop>${names.join("")}</D:prop></D:propfind>`;
}

describe("PROPFIND", () => {
  test("depth 1 lists a folder's members, depth 0 the folder itself, and whole trees are refused", async () => {
    await using dav = await DavServer.start();
    await dav.fs.makeDirectory("d");
    await dav.fs.make("f", "hello");
    const { status, body, headers } = await dav.send("PROPFIND", "/", { depth: "1" });
    expect(status).toBe(207);
    expect(headers["content-type"]).toContain("application/xml");
    expect([...body.matchAll(/<D:href>([^<]*)/g)].map(([, href]) => href)).toEqual(["/", "/d/", "/f"]);
    expect(body).toContain("<D:getcontentlength>5</D:getcontentlength>");
    expect(body.match(/<D:collection\/>/g)).toHaveLength(2);
    expect((await dav.send("PROPFIND", "/", { depth: "0" })).body.match(/<D:response>/g)).toHaveLength(1);
    for (const headers of [{}, { depth: "infinity" }] as Record<string, string>[]) {
      const refused = await dav.send("PROPFIND", "/", headers);
      expect(refused.status).toBe(403);
      expect(refused.body).toContain("<D:propfind-finite-depth/>");
    }
    expect(await dav.status("PROPFIND", "/", { depth: "2" })).toBe(400);
    expect(await dav.status("PROPFIND", "/no", { depth: "0" })).toBe(404);
  });

  test("a folder with more entries than one page holds is listed completely, each entry once", async () => {
    await using dav = await DavServer.start();
    for (let index = 0; index < 700; index++) await dav.fs.make(`f${index}`);
    const { body } = await dav.send("PROPFIND", "/", { depth: "1" }, ask("<D:resourcetype/>"));
    const hrefs = [...body.matchAll(/<D:href>([^<]*)/g)].map(([, href]) => href);
    expect(hrefs).toHaveLength(701);
    expect(new Set(hrefs).size).toBe(701);
  });

  test("named properties are returned or reported missing, and propname returns names without values", async () => {
    await using dav = await DavServer.start();
    await dav.fs.make("f", "hello");
    const { body } = await dav.send(
      "PROPFIND",
      "/f",
      { depth: "0" },
      ask("<D:getetag/>", '<x xmlns="urn:x"/>', '<y xmlns=""/>'),
    );
    expect(body).toMatch(/<D:prop><D:getetag>&quot;[^<]+<\/D:getetag><\/D:prop><D:status>HTTP\/1.1 200 OK/);
    expect(body).toMatch(/<D:prop><n1:x xmlns:n1="urn:x"\/><y\/><\/D:prop><D:status>HTTP\/1.1 404/);
    const names = await dav.send("PROPFIND", "/f", { depth: "0" }, '<propfind xmlns="DAV:"><propname/></propfind>');
    expect(names.body).toContain("<D:getcontentlength/>");
    expect(names.body).not.toContain("hello");
  });

  test("a folder reports its free space only when asked", async () => {
    await using dav = await DavServer.start();
    const asked = await dav.send(
      "PROPFIND",
      "/",
      { depth: "0" },
      ask("<D:quota-available-bytes/>", "<D:quota-used-bytes/>"),
    );
    expect(asked.body).toMatch(/<D:quota-available-bytes>\d+<\/D:quota-available-bytes><D:quota-used-bytes>\d+</);
    expect((await dav.send("PROPFIND", "/", { depth: "0" })).body).not.toContain("quota");
  });
});

describe("PROPPATCH", () => {
  test("properties keep their names, children and language, follow the file, and survive publishing", async () => {
    const fs = await VfsHarness.create();
    await using dav = await DavServer.start({}, { fs });
    await fs.make("f", "x");
    const value =
      '<n:note xmlns:n="urn:n&amp;" xml:lang="de">a &lt; <b xmlns="urn:b" c="&quot;1">z</b> \u{1f600}</n:note>';
    expect((await dav.send("PROPPATCH", "/f", {}, patch(value))).body).toContain("200 OK");
    await fs.publish();
    const destination = `${dav.origin}/h`;
    const host = `127.0.0.1:${dav.port}`;
    expect(await dav.status("MOVE", "/f", { destination: `${dav.origin}/g`, host })).toBe(201);
    expect(await dav.status("COPY", "/g", { destination, host })).toBe(201);
    expect(await dav.status("PUT", "/g", {}, "new bytes")).toBe(204);
    for (const path of ["/g", "/h"]) {
      const { body } = await dav.send("PROPFIND", path, { depth: "0" });
      expect(body).toContain(
        '<n1:note xmlns:n1="urn:n&amp;" xml:lang="de">a &lt; <n2:b xmlns:n2="urn:b" c="&quot;1">z</n2:b> \u{1f600}</n1:note>',
      );
    }
    expect(await dav.status("PROPPATCH", "/g", {}, patch("", '<n:note xmlns:n="urn:n&amp;"/>'))).toBe(207);
    expect((await dav.send("PROPFIND", "/g", { depth: "0" })).body).not.toContain("note");
  });

  test("all properties are set or none", async () => {
    await using dav = await DavServer.start();
    await dav.fs.make("f", "x");
    const large = `<a xmlns="u">${"x".repeat(40_000)}</a>`;
    const { body } = await dav.send("PROPPATCH", "/f", {}, patch(`${large}<b xmlns="u"/><D:getetag>mine</D:getetag>`));
    expect(body).toContain("<D:cannot-modify-protected-property/>");
    expect(body.match(/424 Failed Dependency/g)).toHaveLength(1);
    const full = await dav.send("PROPPATCH", "/f", {}, patch(large + large.replaceAll("a", "c")));
    expect(full.body).toContain("507 Insufficient Storage");
    const { body: after } = await dav.send("PROPFIND", "/f", { depth: "0" });
    expect(after).not.toContain('"u"');
  });

  test("a value that would take gigabytes because each part declares its namespace is refused", async () => {
    await using dav = await DavServer.start();
    await dav.fs.make("f", "x");
    const value = `<a xmlns:n="${"u".repeat(600_000)}">${"<n:b/>".repeat(2_000)}</a>`;
    const { status, body } = await dav.send("PROPPATCH", "/f", {}, patch(value));
    expect([status, body.includes("507 Insufficient Storage")]).toEqual([207, true]);
  });

  test("names that would make an answer many times as long as the request are refused", async () => {
    await using dav = await DavServer.start();
    await dav.fs.make("f", "x");
    const names = Array.from({ length: 20 }, (_, at) => `<n:p${at} xmlns:n="${"u".repeat(40_000)}"/>`).join("");
    const refused = {
      status: 400,
      body: "The names of properties in one request may have at most 262144 characters.\n",
    };
    expect(await dav.send("PROPFIND", "/", { depth: "1" }, ask(names))).toMatchObject(refused);
    expect(await dav.send("PROPPATCH", "/f", {}, patch("", names))).toMatchObject(refused);
    const parts = names.replace(/<n.*?>/g, "<D:include>$&</D:include>");
    const all = `<D:propfind xmlns:D="DAV:"><D:allprop/>${parts}</D:propfind>`;
    expect(await dav.send("PROPFIND", "/", { depth: "1" }, all)).toMatchObject(refused);
    expect(await dav.status("PROPFIND", "/f", { depth: "0" }, ask(`<n:p xmlns:n="${"u".repeat(200_000)}"/>`))).toBe(
      207,
    );
  });

  test("a modification time before 1970 is set, in seconds or as Windows' date", async () => {
    await using dav = await DavServer.start();
    await dav.fs.make("f", "x");
    const date = "Thu, 20 Jul 1939 20:17:40 GMT";
    const seconds = Date.parse(date) / 1000;
    for (const set of [
      `<D:lastmodified>${seconds}</D:lastmodified>`,
      `<Z:Win32LastModifiedTime>${date}</Z:Win32LastModifiedTime>`,
    ]) {
      const reset = await dav.send("PROPPATCH", "/f", {}, patch("<D:lastmodified>1</D:lastmodified>"));
      expect(reset.body).toContain("200 OK");
      expect((await dav.send("PROPPATCH", "/f", {}, patch(set))).body).toContain("200 OK");
      expect((await dav.send("HEAD", "/f")).headers["last-modified"]).toBe(date);
    }
    const wrong = await dav.send("PROPPATCH", "/f", {}, patch("<D:lastmodified>-</D:lastmodified>"));
    expect(wrong.body).toContain("409 Conflict");
  });

  test("Windows' properties of a file are kept, and its modification time becomes the file's", async () => {
    await using dav = await DavServer.start();
    await dav.fs.make("f", "x");
    const names = ["Win32CreationTime", "Win32LastAccessTime", "Win32LastModifiedTime", "Win32FileAttributes"];
    const date = "Sun, 09 Sep 2001 01:46:40 GMT";
    const set = names.map((name) => `<Z:${name}>${name.endsWith("Time") ? date : "00000020"}</Z:${name}>`).join("");
    expect((await dav.send("PROPPATCH", "/f", {}, patch(set))).body).not.toMatch(/40\d|50\d/);
    expect((await dav.send("HEAD", "/f")).headers["last-modified"]).toBe(date);
    const z = names.map((name) => `<${name} xmlns="urn:schemas-microsoft-com:"/>`);
    const { body } = await dav.send("PROPFIND", "/f", { depth: "0" }, ask(...z));
    expect(body).not.toContain("404");
    expect(body.split(date)).toHaveLength(4);
  });

  test("an extended attribute that is not a valid property is hidden, whoever wrote it", async () => {
    await using dav = await DavServer.start();
    const ino = await dav.fs.make("f", "x");
    for (const [name, value] of [
      ["user.webdav.{u}a", "</D:prop>"],
      ["user.webdav.{u}b", '<x xmlns="v"/>'],
      ["user.webdav.c", "<c/>"],
      ["user.other", "<D:evil/>"],
    ] as const) {
      await dav.fs.run((vfs) => vfs.setXattr(ino, name, Buffer.from(value), 0));
    }
    const plain = (await dav.send("PROPFIND", "/f", { depth: "0" })).body;
    expect(plain).not.toMatch(/evil|"u"|"v"|<c\/>/);
    expect(plain.match(/<\/D:prop>/g)).toHaveLength(1);
  });

  test("a property with a long name can be read back", async () => {
    await using dav = await DavServer.start();
    await dav.fs.make("f", "x");
    const long = `<p xmlns="urn:${"n".repeat(400)}">v</p>`;
    expect((await dav.send("PROPPATCH", "/f", {}, patch(long))).body).toContain("200 OK");
    expect((await dav.send("PROPFIND", "/f", { depth: "0" }, ask(long))).body).toContain(">v</n1:p>");
  });
});
