/** Entity tags of the WebDAV door: one content has one tag, and two contents never share one. */
import { expect, test } from "vitest";
import { systemRandom } from "../../../../src/base/random.ts";
import { createContentConfig } from "../../../../src/content/config.ts";
import { overriding } from "../../../../src/vfs/overriding.ts";
import { Etags } from "../../../../src/webdav/properties/etags.ts";
import { DavServer } from "../../../support/dav-server.ts";
import { VfsHarness } from "../../../support/vfs-harness.ts";

const TEXT = Buffer.from("four");
/** Bodies of each kind of content: none, in the record, one chunk, one with a hole, many chunks. */
const BODIES: readonly Buffer[] = [
  Buffer.alloc(0),
  TEXT,
  noise(5_000),
  Buffer.concat([noise(600), Buffer.alloc(12_000)]),
  noise(15_000),
  noise(40_000),
  Buffer.concat([noise(100_000), Buffer.alloc(300_000), noise(500_000)]),
];

function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0, word = length; at < length; at++) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = word >>> 24;
  }
  return bytes;
}

const tagOf = async (dav: DavServer, path: string) => String((await dav.send("HEAD", path)).headers.etag);

test("a tag survives publishing, a restart and property changes", async () => {
  const fs = await VfsHarness.create();
  const tags: string[] = [];
  {
    await using dav = await DavServer.start({}, { fs });
    for (const [index, body] of BODIES.entries()) {
      const { headers } = await dav.send("PUT", `/${index}`, {}, body);
      tags.push(String(headers.etag));
      const patch =
        '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="u">1</x></D:prop></D:set></D:propertyupdate>';
      expect(await dav.status("PROPPATCH", `/${index}`, {}, patch)).toBe(207);
      expect([index, await tagOf(dav, `/${index}`)]).toEqual([index, tags[index]]);
    }
    await fs.publish();
    for (const index of BODIES.keys()) expect([index, await tagOf(dav, `/${index}`)]).toEqual([index, tags[index]]);
  }
  expect(new Set(tags).size).toBe(BODIES.length);
  // Clients with little room for them (litmus) must get on, too.
  expect(Math.max(...tags.map((tag) => tag.length))).toBeLessThanOrEqual(44);
  fs.restart();
  await using dav = await DavServer.start({}, { fs });
  for (const index of BODIES.keys()) expect([index, await tagOf(dav, `/${index}`)]).toEqual([index, tags[index]]);
});

test("a chunked body of the announced length gets a lasting tag, and one that is longer or shorter is refused", async () => {
  const fs = await VfsHarness.create();
  await using dav = await DavServer.start({}, { fs });
  const put = (body: Buffer, expected: string) => {
    return dav.send("PUT", "/f", { "transfer-encoding": "chunked", "x-expected-entity-length": expected }, body);
  };
  for (const body of BODIES) {
    const made = await put(body, String(body.length));
    expect(made.status).toBeLessThan(300);
    const tag = String(made.headers.etag);
    await fs.publish();
    expect([body.length, await tagOf(dav, "/f")]).toEqual([body.length, tag]);
    expect(await dav.status("PUT", "/f", { "if-match": tag }, body)).toBe(204);
    expect([body.length, await tagOf(dav, "/f")]).toEqual([body.length, tag]);
    for (const wrong of [String(body.length + 1), String(body.length - 1), "-1", "1e3", "0x10", ""]) {
      expect([wrong, (await put(body, wrong)).status]).toEqual([wrong, 400]);
    }
    expect([body.length, await tagOf(dav, "/f")]).toEqual([body.length, tag]);
  }
});

test("names are computed for as many bodies at once as memory is set aside for; a small one takes little", () => {
  const named = { contentName: () => ({ name: undefined, version: 0 }), nameContent: () => {} };
  const etags = new Etags(named, createContentConfig(), systemRandom);
  const large = 2 ** 40;
  const open = Array.from({ length: 1_024 }, () => etags.naming(large)).filter((one) => one !== undefined);
  expect(open).toHaveLength(67);
  for (let count = 0; count < 20; count++) expect(etags.naming(20_000)).toBeDefined();
  expect(etags.naming(large)).toBeUndefined();
  open.pop()?.[Symbol.dispose]();
  expect(etags.naming(large)).toBeDefined();
  expect(etags.naming(large)).toBeUndefined();
});

test("uploads that failed leave the memory for names to others", async () => {
  const fs = await VfsHarness.create();
  await using dav = await DavServer.start({}, { fs });
  const put = (body: Buffer, expected: number) => {
    return dav.send(
      "PUT",
      "/f",
      { "transfer-encoding": "chunked", "x-expected-entity-length": String(expected) },
      body,
    );
  };
  for (const expected of [...Array.from({ length: 67 }, () => 2 ** 40), 2 ** 25])
    expect((await put(TEXT, expected)).status).toBe(400);
  const body = noise(1_000_000);
  const tag = String((await put(body, body.length)).headers.etag);
  await fs.publish();
  expect(await tagOf(dav, "/f")).toBe(tag);
});

test("equal bytes have equal tags, on any path and agent, and a copy has its source's", async () => {
  const fs = await VfsHarness.create();
  await using dav = await DavServer.start({}, { fs });
  const before = await tagsOfAll(dav);
  await fs.publish();
  await fs.others(async (other) => {
    await using theirs = await DavServer.start({}, { fs: other });
    expect(await tagsOfAll(theirs, "theirs")).toEqual(before);
  });
  for (const index of BODIES.keys()) {
    expect(await dav.status("COPY", `/mine-${index}`, { destination: `/copy-${index}` })).toBe(201);
    expect([index, await tagOf(dav, `/copy-${index}`)]).toEqual([index, before[index]]);
  }
});

async function tagsOfAll(dav: DavServer, who = "mine"): Promise<string[]> {
  const tags: string[] = [];
  for (const [index, body] of BODIES.entries()) {
    await dav.send("PUT", `/${who}-${index}`, {}, body);
    tags.push(await tagOf(dav, `/${who}-${index}`));
  }
  return tags;
}

test("a version by others has another tag, even with the same size and times", async () => {
  const fs = await VfsHarness.create();
  await using dav = await DavServer.start({}, { fs });
  const mtime = { "x-oc-mtime": "1" };
  const before = String((await dav.send("PUT", "/f", mtime, TEXT)).headers.etag);
  await fs.publish();
  const base = await fs.others(async (other) => {
    await using theirs = await DavServer.start({}, { fs: other });
    expect(await theirs.status("PUT", "/f", mtime, "five")).toBe(204);
  });
  fs.vfs.adopt(base);
  const { headers, body } = await dav.send("GET", "/f");
  expect(body).toBe("five");
  expect(headers.etag).not.toBe(before);
  expect(await dav.status("PUT", "/f", { "if-match": before }, "mine")).toBe(412);
});

test("a file written in place gets another tag each time, even if the clock stands still", async () => {
  for (const length of [4, 40_000]) {
    const fs = await VfsHarness.create();
    await using dav = await DavServer.start({}, { fs });
    await dav.send("PUT", "/f", {}, Buffer.alloc(length, 1));
    const ino = await fs.ino("/f");
    const tags = new Set([await tagOf(dav, "/f")]);
    for (let byte = 2; byte < 6; byte++) {
      await fs.run((vfs) => vfs.write(ino, 0, Buffer.of(byte)));
      tags.add(await tagOf(dav, "/f"));
      if (byte === 3) await fs.publish();
      tags.add(await tagOf(dav, "/f"));
    }
    // A large one has two for what was published: one before, one after.
    expect([length, tags.size]).toEqual([length, length === 4 ? 5 : 6]);
    // What it had before comes back with its old tag.
    await fs.run((vfs) => vfs.write(ino, 0, Buffer.of(1)));
    await fs.publish();
    expect(tags).toContain(await tagOf(dav, "/f"));
  }
});

test("a file that gets longer or shorter while it is listed has no tag of other bytes", async () => {
  for (const [old, now] of [
    ["four", "four and more"],
    ["four and more", "four"],
    ["", "more"],
  ] as const) {
    const fs = await VfsHarness.create();
    const ino = await fs.make("f", old);
    let isListed = false;
    const growing = overriding(fs.vfs, {
      list(...parts) {
        const page = fs.vfs.list(...parts);
        isListed = true;
        fs.vfs.setAttributes(ino, { size: now.length });
        fs.vfs.write(ino, 0, Buffer.from(now));
        return page;
      },
    });
    await using dav = await DavServer.start({ fs: growing }, { fs });
    const asked = '<propfind xmlns="DAV:"><prop><getetag/></prop></propfind>';
    const { body } = await dav.send("PROPFIND", "/", { depth: "1" }, asked);
    const listed = /<D:href>.f<.*?getetag>([^<]*)/.exec(body)?.[1];
    expect([isListed, typeof listed]).toEqual([true, "string"]);
    const tag = await tagOf(dav, "/f");
    expect(tag).not.toBe(listed);
    await fs.publish();
    expect([now, await tagOf(dav, "/f")]).toEqual([now, tag]);
    expect(await dav.status("PUT", "/same", {}, now)).toBe(201);
    expect(await tagOf(dav, "/same")).toBe(tag);
    expect(await dav.status("PUT", "/f", { "if-match": tag }, "mine")).toBe(204);
  }
});

test("an answer never mixes two versions of the same size and time", async () => {
  const fs = await VfsHarness.create();
  let reads = 0;
  const changing = new Proxy(fs.vfs, {
    get(target, property) {
      if (property !== "readUncached") {
        const value: unknown = Reflect.get(target, property, target);
        return typeof value === "function" ? value.bind(target) : value;
      }
      return (...args: Parameters<typeof target.readUncached>) => {
        const count = target.readUncached(...args);
        if (++reads === 2) target.write(args[0], 2_500_000, Buffer.of(2));
        return count;
      };
    },
  });
  await using dav = await DavServer.start({ fs: changing }, { fs });
  await dav.send("PUT", "/f", {}, Buffer.alloc(2_600_000, 1));
  await expect(dav.send("GET", "/f")).rejects.toThrow(/aborted|hang up/);
});
