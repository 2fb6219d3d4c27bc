/** The WebDAV door: what is told of many files at once, and checksums that came with their bytes. */
import { expect, test } from "vitest";
import { join } from "node:path";
import { fileChecksumStore } from "../../../src/agent/state/checksum-file.ts";
import { silentLog } from "../../../src/base/log.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";
import { DavServer } from "../../support/dav-server.ts";

const FILES = 600;

function noteOf(index: number, length: number): Buffer {
  return Buffer.from(`<note xmlns="urn:test">${index} ${"n".repeat(length)}</note>`);
}

test("allprop of published files reads their dead properties from the listing, without asking for each inode", async () => {
  await using dav = await DavServer.start();
  for (let index = 0; index < FILES; index++) {
    const ino = await dav.fs.make(`f${index}`, `${index}`);
    await dav.fs.run((vfs) => vfs.setXattr(ino, "user.webdav.{urn:test}note", noteOf(index, 10), 0));
  }
  await dav.fs.publish();
  const { vfs } = dav.fs;
  const list = vfs.listXattrs.bind(vfs);
  let lists = 0;
  vfs.listXattrs = (ino) => (lists++, list(ino));
  const { status, body } = await dav.send("PROPFIND", "/", { depth: "1" });
  expect([status, body.match(/<D:response>/g)?.length]).toEqual([207, FILES + 1]);
  for (let index = 0; index < FILES; index++) expect(body).toContain(`${index} nnnnnnnnnn<`);
  // The folder itself.
  expect(lists).toBe(1);
});

test("allprop returns more long dead properties than are kept in memory", async () => {
  await using dav = await DavServer.start();
  for (let index = 0; index < FILES; index++) {
    const ino = await dav.fs.make(`f${index}`, `${index}`);
    await dav.fs.run((vfs) => vfs.setXattr(ino, "user.webdav.{urn:test}note", noteOf(index, 1_500), 0));
  }
  await dav.fs.publish();
  await using again = await DavServer.start({}, { fs: dav.fs });
  const { status, body } = await again.send("PROPFIND", "/", { depth: "1" });
  expect(status).toBe(207);
  for (let index = 0; index < FILES; index++) expect(body).toContain(`${index} nnn`);
});

test("a checksum is still reported after a restart, as long as the file has these bytes", async () => {
  const path = join(await temporaryFolder(), "checksums");
  const checksums = () => fileChecksumStore(path, silentLog);
  await using dav = await DavServer.start({ checksums: checksums() });
  const sum = "SHA1:a9993e364706816aba3e25717850c26c9cd0d89d";
  for (const file of ["/f", "/g"]) await dav.send("PUT", file, { "oc-checksum": sum }, "abc");
  await using again = await DavServer.start({ checksums: checksums() }, { fs: dav.fs });
  expect((await again.send("HEAD", "/f")).headers["oc-checksum"]).toContain(sum);
  await again.send("PUT", "/f", {}, "abd");
  expect((await again.send("HEAD", "/f")).headers["oc-checksum"]).toBeUndefined();
  expect((await again.send("HEAD", "/g")).headers["oc-checksum"]).toContain(sum);
});

test("a checksum sent with an upload is reported for exactly these bytes, wherever they move, and for no others", async () => {
  await using dav = await DavServer.start();
  const sum = "SHA1:a9993e364706816aba3e25717850c26c9cd0d89d MD5:900150983cd24fb0d6963f7d28e17f72";
  const asked = `<D:propfind xmlns:D="DAV:"><D:prop><x:checksums xmlns:x="http://owncloud.org/ns"/></D:prop></D:propfind>`;
  const told = async (path: string) => (await dav.send("PROPFIND", path, { depth: "0" }, asked)).body;
  await dav.send("PUT", "/f", { "oc-checksum": sum.split(" ")[0] ?? "" }, "abc");
  expect(await told("/f")).toContain(`<oc:checksum>${sum}</oc:checksum>`);
  expect((await dav.send("GET", "/f")).headers["oc-checksum"]).toBe(sum);
  await dav.fs.publish();
  await dav.send("MOVE", "/f", { destination: "/g" });
  expect(await told("/g")).toContain(sum);
  await dav.send("PUT", "/g", {}, "abd");
  expect(await told("/g")).toContain("404");
  expect((await dav.send("GET", "/g")).headers["oc-checksum"]).toBeUndefined();
});
