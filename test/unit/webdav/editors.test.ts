/** What editors and file managers send when they save, replayed on plain sockets: the file is the new one, and nothing else is left. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DavServer } from "../../support/dav-server.ts";
import { RawClient, type RawAnswer } from "../../support/raw-http.ts";

const OLD = "the old text\n";
const NEW = "the new text, and more of it\n";

let dav: DavServer;
let client: RawClient;
let agent = "";

beforeEach(async () => {
  dav = await DavServer.start();
  client = await RawClient.open(dav.origin);
});
afterEach(async () => {
  client.close();
  await dav[Symbol.asyncDispose]();
});

/** One request, byte by byte as it goes out, and its answer. */
async function say(line: string, headers: readonly string[] = [], body = ""): Promise<RawAnswer> {
  const length = headers.some((header) => /^transfer-encoding:/i.test(header))
    ? []
    : [`Content-Length: ${Buffer.byteLength(body)}`];
  const head = [`${line} HTTP/1.1`, `Host: 127.0.0.1:${dav.port}`, `User-Agent: ${agent}`, ...headers, ...length];
  client.send(`${head.join("\r\n")}\r\n\r\n${body}`);
  return line.startsWith("HEAD ") ? client.answer("HEAD") : client.wholeAnswer();
}

async function expectStatus(expected: number, ...request: Parameters<typeof say>): Promise<RawAnswer> {
  const answer = await say(...request);
  expect([request[0], answer.status]).toEqual([request[0], expected]);
  return answer;
}

const to = (path: string) => [`Destination: http://127.0.0.1:${dav.port}${path}`, "Overwrite: T"];
const names = async () =>
  [...(await dav.fs.snapshot()).keys()]
    .filter((path) => path !== "")
    .map((path) => `/${path}`)
    .toSorted();
const text = async (path: string) => (await dav.send("GET", path)).body;

/** What there is after all. */
const left = async () => ({ doc: await text("/doc"), names: await names(), locks: dav.locks.locks });
const SAVED = { doc: NEW, names: ["/doc"], locks: [] };

const XML = 'Content-Type: text/xml; charset="utf-8"';
const lockInfo = (owner: string) =>
  `<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>${owner}</D:owner></D:lockinfo>`;
const win32 = (properties: string) =>
  `<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop>${properties}</D:prop></D:set></D:propertyupdate>`;
const MODIFIED = "Sun, 09 Sep 2001 01:46:40 GMT";
const ALL_TIMES = win32(
  `<Z:Win32CreationTime>${MODIFIED}</Z:Win32CreationTime><Z:Win32LastAccessTime>${MODIFIED}</Z:Win32LastAccessTime><Z:Win32LastModifiedTime>${MODIFIED}</Z:Win32LastModifiedTime><Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>`,
);

async function locked(path: string, headers: readonly string[] = [], status = 200): Promise<string> {
  const owner = "<D:href>DESKTOP\\anna</D:href>";
  const answer = await expectStatus(status, `LOCK ${path}`, [XML, "Timeout: Second-3600", ...headers], lockInfo(owner));
  expect(answer.body).toContain("<D:timeout>Second-3600</D:timeout>");
  return String(answer.headers["lock-token"]);
}

describe("Microsoft", () => {
  test("Office: discovery, lock, HEAD, GET, PUT, PROPPATCH, lock refresh, UNLOCK", async () => {
    await dav.send("PUT", "/doc", {}, OLD);
    agent = "Microsoft Office Protocol Discovery";
    const found = await expectStatus(200, "OPTIONS /");
    expect(found.headers).toMatchObject({ dav: expect.stringMatching(/^1, 2\b/) as string, "ms-author-via": "DAV" });
    agent = "Microsoft Office Existence Discovery";
    await expectStatus(200, "HEAD /doc");
    agent = "Microsoft Office Word";
    const token = await locked("/doc", ["Depth: 0"]);
    const head = await expectStatus(200, "HEAD /doc", ["X-Office-Major-Version: 16"]);
    const got = await expectStatus(200, "GET /doc", ["Translate: f"]);
    expect([got.body, got.headers["etag"]]).toEqual([OLD, head.headers["etag"]]);
    // Somebody else neither writes nor takes the lock away.
    expect(await dav.status("PUT", "/doc", {}, "theirs")).toBe(423);
    expect(await dav.status("LOCK", "/doc", { depth: "0" }, lockInfo("them"))).toBe(423);
    const put = await expectStatus(204, "PUT /doc", [`If: (${token})`, "Translate: f"], NEW);
    await expectStatus(207, "PROPPATCH /doc", [`If: (${token})`, XML], ALL_TIMES);
    const after = await expectStatus(200, "HEAD /doc");
    expect(after.headers).toMatchObject({ etag: put.headers["etag"], "last-modified": MODIFIED });
    await expectStatus(200, "LOCK /doc", [`If: (${token})`, "Timeout: Second-3600"]);
    await expectStatus(204, "UNLOCK /doc", [`Lock-Token: ${token}`]);
    expect(await left()).toEqual(SAVED);
  });

  test("Office: the temporary file takes the document's name, and the document becomes a backup that is deleted", async () => {
    await dav.send("PUT", "/doc", {}, OLD);
    agent = "Microsoft-WebDAV-MiniRedir/10.0.19045";
    await expectStatus(404, "PROPFIND /~$doc", ["Depth: 0", "translate: f"]);
    await expectStatus(201, "PUT /~$doc", [], "owner: anna");
    await expectStatus(201, "PUT /0A1B2C3D.tmp", [], NEW);
    await expectStatus(201, "MOVE /doc", to("/4D3C2B1A.tmp"));
    await expectStatus(201, "MOVE /0A1B2C3D.tmp", to("/doc"));
    await expectStatus(204, "DELETE /4D3C2B1A.tmp");
    await expectStatus(204, "DELETE /~$doc");
    expect(await left()).toEqual(SAVED);
  });

  test("Explorer: empty PUT, lock, its times, full PUT, its times again, unlock", async () => {
    agent = "Microsoft-WebDAV-MiniRedir/10.0.19045";
    await expectStatus(207, "PROPFIND /", ["Depth: 0", "translate: f"]);
    await expectStatus(404, "PROPFIND /doc", ["Depth: 0", "translate: f"]);
    await expectStatus(201, "PUT /doc", ["translate: f"]);
    const token = await locked("/doc");
    await expectStatus(207, "PROPPATCH /doc", [`If: (${token})`, XML], ALL_TIMES);
    await expectStatus(200, "HEAD /doc", ["translate: f"]);
    await expectStatus(204, "PUT /doc", [`If: (${token})`, "translate: f"], NEW);
    const patched = await expectStatus(207, "PROPPATCH /doc", [`If: (${token})`, XML], ALL_TIMES);
    expect(patched.body).not.toContain("HTTP/1.1 4");
    await expectStatus(204, "UNLOCK /doc", [`Lock-Token: ${token}`]);
    const listed = await expectStatus(207, "PROPFIND /doc", ["Depth: 0", "translate: f"]);
    expect(listed.body).toContain(`<D:getlastmodified>${MODIFIED}<`);
    expect(listed.body).toMatch(/Win32FileAttributes[^>]*>00000020</);
    expect(await left()).toEqual(SAVED);
  });
});

describe("macOS", () => {
  const chunk = (body: string) => `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n0\r\n\r\n`;

  /** As Finder puts each file: empty, then under a lock in chunks, with its length in a header of its own. */
  async function put(path: string, body: string, isNew: boolean): Promise<void> {
    await expectStatus(isNew ? 404 : 207, `PROPFIND ${path}`, ["Depth: 0", XML]);
    await expectStatus(isNew ? 201 : 204, `PUT ${path}`);
    const token = await locked(path, ["Depth: 0"]);
    const length = `X-Expected-Entity-Length: ${Buffer.byteLength(body)}`;
    await expectStatus(204, `PUT ${path}`, [`If: (${token})`, length, "Transfer-Encoding: Chunked"], chunk(body));
    await expectStatus(204, `UNLOCK ${path}`, [`Lock-Token: ${token}`]);
  }

  test("Finder: the file and its AppleDouble companion, each empty first, then full under a lock", async () => {
    agent = "WebDAVFS/3.0.0 (03008000) Darwin/23.4.0 (x86_64)";
    await put("/doc", NEW, true);
    await put("/._doc", "\0\x05\x16\x07", true);
    expect(await names()).toEqual(["/._doc", "/doc"]);
    // It removes the companion alone when there is nothing in it any more.
    await expectStatus(204, "DELETE /._doc");
    expect(await left()).toEqual(SAVED);
  });

  test("Finder: a body shorter than announced leaves the old file", async () => {
    agent = "WebDAVFS/3.0.0 (03008000) Darwin/23.4.0 (x86_64)";
    await dav.send("PUT", "/doc", {}, NEW);
    const headers = ["X-Expected-Entity-Length: 100", "Transfer-Encoding: chunked"];
    await expectStatus(400, "PUT /doc", headers, chunk("half"));
    expect(await left()).toEqual(SAVED);
  });

  test("TextEdit: written in a temporary folder, moved into place, and the folder removed", async () => {
    await dav.send("PUT", "/doc", {}, OLD);
    agent = "WebDAVFS/3.0.0 (03008000) Darwin/23.4.0 (x86_64)";
    const folder = "/doc.sb-2f5a9c11-Xy12Zz";
    await expectStatus(201, `MKCOL ${folder}/`);
    await put(`${folder}/doc`, NEW, true);
    await expectStatus(201, "MOVE /doc", to(`${folder}/old`));
    await expectStatus(201, `MOVE ${folder}/doc`, to("/doc"));
    await expectStatus(204, `DELETE ${folder}/`);
    expect(await left()).toEqual(SAVED);
  });
});

describe("editors on Linux", () => {
  test("vim: a swap file, the old file renamed to a backup, the new one written, both removed", async () => {
    await dav.send("PUT", "/doc", {}, OLD);
    await expectStatus(201, "PUT /.doc.swp", [], "b0VIM 9.0");
    await expectStatus(201, "MOVE /doc", to("/doc~"));
    await expectStatus(201, "PUT /doc", [], NEW);
    await expectStatus(204, "DELETE /doc~");
    await expectStatus(204, "DELETE /.doc.swp");
    expect(await left()).toEqual(SAVED);
  });

  test("LibreOffice: a lock file, and a temporary file moved over the document under its lock", async () => {
    await dav.send("PUT", "/doc", { "x-oc-mtime": "1" }, OLD);
    agent = "LibreOffice/7.4";
    const token = await locked("/doc", ["Depth: 0"]);
    await expectStatus(201, "PUT /.~lock.doc%23", [], "anna,desk,...;");
    await expectStatus(201, "PUT /lu8642.tmp", [], NEW);
    // The document is replaced, and it is locked: whoever brings the token may; without it nobody.
    await expectStatus(423, "MOVE /lu8642.tmp", to("/doc"));
    await expectStatus(204, "MOVE /lu8642.tmp", [...to("/doc"), `If: </doc> (${token})`]);
    await expectStatus(204, "DELETE /.~lock.doc%23");
    // The lock stands on the address, and is there still (RFC 4918, section 9.9.3).
    await expectStatus(204, "UNLOCK /doc", [`Lock-Token: ${token}`]);
    expect(await left()).toEqual(SAVED);
  });

  test("gedit, via gvfs: replaces the version that it read, and gets 412 if that has changed", async () => {
    await dav.send("PUT", "/doc", {}, OLD);
    agent = "gvfs/1.50.3";
    const read = await expectStatus(200, "GET /doc");
    await dav.send("PUT", "/doc", {}, "theirs");
    await expectStatus(412, "PUT /doc", [`If-Match: ${read.headers["etag"]}`], NEW);
    expect(await text("/doc")).toBe("theirs");
    const again = await expectStatus(200, "HEAD /doc");
    await expectStatus(204, "PUT /doc", [`If-Match: ${again.headers["etag"]}`], NEW);
    expect(await left()).toEqual(SAVED);
  });

  test("kate, via kio: a part file moved over the document", async () => {
    await dav.send("PUT", "/doc", {}, OLD);
    agent = "Mozilla/5.0 (X11; Linux x86_64) KHTML/5.103.0 (like Gecko) Konqueror/5 KIO/5.103";
    await expectStatus(404, "PROPFIND /doc.part", ["Depth: 0"]);
    await expectStatus(201, "PUT /doc.part", ["Overwrite: F"], NEW);
    await expectStatus(204, "MOVE /doc.part", to("/doc"));
    expect(await left()).toEqual(SAVED);
  });
});
