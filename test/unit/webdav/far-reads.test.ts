/** The WebDAV door: large files of the bucket, read past the caches in memory where their blocks lie ready. */
import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import { describe, expect, test } from "vitest";
import { MAX_BLOCK_MADE } from "../../../src/base/limits.ts";
import { codecOf } from "../../../src/format/blocks/cid.ts";
import { seededRandom } from "../../../src/simulate/seeded-random.ts";
import { DAV_LONG_BODIES, DAV_READ_BYTES } from "../../../src/webdav/limits.ts";
import { LongBodies } from "../../../src/webdav/long-bodies.ts";
import { DavServer } from "../../support/dav-server.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const MiB = 1 << 20;

/** Some of the bytes are a hole. */
async function published(limits = {}): Promise<{ fs: VfsHarness; bytes: Buffer }> {
  const fs = await VfsHarness.create(limits);
  const noise = Buffer.from(seededRandom(7).bytes(100_003));
  const bytes = Buffer.alloc(2 * MiB, noise).fill(0, MiB, MiB + 300_000);
  for (let at = 0; at < bytes.length; at += 50_000) bytes.writeUInt32LE(at, at);
  await using dav = await DavServer.start({}, { fs });
  expect(await dav.status("PUT", "/f", {}, bytes)).toBe(201);
  await fs.publish();
  fs.blocks.forgetCounts();
  return { fs, bytes };
}

function chunksOf({ blocks }: VfsHarness) {
  return [...blocks.held.keys()].filter((cid) => codecOf(cid) === "raw");
}

describe("a large published file", () => {
  test("is served whole, and none of its blocks goes through memory when all are ready", async () => {
    const { fs, bytes } = await published();
    for (const cid of chunksOf(fs)) fs.blocks.ready.add(cid);
    await using dav = await DavServer.start({}, { fs });
    const got = await dav.send("GET", "/f");
    expect(got.status).toBe(200);
    expect(got.bytes.equals(bytes)).toBe(true);
    expect(fs.blocks.reads.filter((cid) => codecOf(cid) === "raw")).toEqual([]);
  });

  test("is served whole and in ranges, whichever of its blocks are ready or in memory", async () => {
    const random = seededRandom(3);
    for (const share of [0, 0.5, 0.9]) {
      const { fs, bytes } = await published({ contentBytes: 200_000 });
      for (const cid of chunksOf(fs)) if (random.fraction() < share) fs.blocks.ready.add(cid);
      await using dav = await DavServer.start({}, { fs });
      for (let read = 0; read < 2; read++) {
        const from = Math.floor(random.fraction() * bytes.length);
        const to = from + Math.floor(random.fraction() * (bytes.length - from));
        const part = await dav.send("GET", "/f", { range: `bytes=${from}-${to}` });
        expect(part.status).toBe(206);
        expect(part.bytes.equals(bytes.subarray(from, to + 1))).toBe(true);
        expect((await dav.send("GET", "/f")).bytes.equals(bytes)).toBe(true);
      }
    }
  });

  test("takes a block through memory only where a range begins or ends inside it", async () => {
    const { fs, bytes } = await published();
    for (const cid of chunksOf(fs)) fs.blocks.ready.add(cid);
    await using dav = await DavServer.start({}, { fs });
    const part = await dav.send("GET", "/f", { range: `bytes=1000-${bytes.length - 1_000}` });
    expect(part.bytes.equals(bytes.subarray(1_000, bytes.length - 999))).toBe(true);
    expect(fs.blocks.reads.filter((cid) => codecOf(cid) === "raw").length).toBeLessThanOrEqual(2);
  });
});

describe("concurrent response bodies", () => {
  test("are read in large pieces while they are few, and in small ones beyond, until one has ended", () => {
    const bodies = new LongBodies();
    const answers = Array.from({ length: DAV_LONG_BODIES }, () => new EventEmitter() as ServerResponse);
    for (const answer of answers) expect(bodies.begin(answer, 8 * MiB)).toBe(MAX_BLOCK_MADE);
    expect(bodies.begin(new EventEmitter() as ServerResponse, 8 * MiB)).toBe(DAV_READ_BYTES);
    expect(bodies.begin(new EventEmitter() as ServerResponse, 100)).toBe(100);
    answers[0]?.emit("close");
    expect(bodies.begin(new EventEmitter() as ServerResponse, 8 * MiB)).toBe(MAX_BLOCK_MADE);
    expect(bodies.begin(new EventEmitter() as ServerResponse, 8 * MiB)).toBe(DAV_READ_BYTES);
  });
});
