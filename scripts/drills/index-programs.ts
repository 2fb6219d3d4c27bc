/**
 * What index programs fetch from a bucket of which this machine has read nothing: updatedb (Debian's plocate) lists its names,
 * and gdk-pixbuf-thumbnailer (libgdk-pixbuf2.0-bin) reads its images. Any other program gets all images.
 *   node scripts/drills/index-programs.ts [FILES [IMAGES]]
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { crc32, deflateSync } from "node:zlib";
import { fetchedBy } from "./fetched.ts";
import { agent, check, join, master, mkdirSync, report, run, workspace } from "./lib.ts";
import { bucketOfFiles } from "./many-files.ts";

const [files = 100_000, images = 100] = process.argv.slice(2).map(Number);
const MIB = 1024 * 1024;
/** An image's width and height in pixels. They are noise, so an image takes 0.75 MiB. */
const SIDE = 512;
/** One program may fetch 64 blocks an hour. In files of this size, a block has at most 256 KiB. */
const BUDGET_BYTES = 64 * 256 * 1024;
const updatedb = programOf("updatedb.plocate", "updatedb");
const thumbnailer = programOf("gdk-pixbuf-thumbnailer");
const space = workspace("index-programs");
const served = await master(space);
await bucketOfFiles(space, served.url(), files);
const author = agent(space, "author", served.url());
mkdirSync(join(author.dir, "images"));
for (let at = 0; at < images; at++) writeFileSync(join(author.dir, "images", `${at}.png`), noiseImage());
check(author.flush().published, `${files} files and ${images} images of 0.75 MiB are published`);
author.unmount();

const reader = agent(space, "reader", served.url());
const database = join(space.path, "names.db");
const names = await fetchedBy(reader, "updatedb", () => {
  const all = ["--prunefs", "", "--prunepaths", "", "--prunenames", "", "--prune-bind-mounts", "no"];
  run(updatedb, [...all, "--require-visibility", "no", "-U", reader.dir, "-o", database]);
});
check(readFileSync(database).length > 2 * files, "updatedb found the names");
check(names.bytes < BUDGET_BYTES, "updatedb fetches at most the budget");

let drawn = 0;
const thumbnails = await fetchedBy(reader, "the thumbnailer", () => {
  for (const image of readdirSync(join(reader.dir, "images"))) {
    const args = ["-s", "128", join(reader.dir, "images", image), join(space.path, "thumbnail.png")];
    if (spawnSync(thumbnailer, args, { stdio: "ignore" }).status === 0) drawn++;
  }
});
report(`      it drew ${drawn} of ${images} images`);
check(thumbnails.bytes < BUDGET_BYTES, "the thumbnailer fetches at most the budget");
check(drawn > 0 && drawn < images, "it draws some images and skips the others");

const read = await fetchedBy(reader, "another program", () => {
  for (const image of readdirSync(join(reader.dir, "images"))) readFileSync(join(reader.dir, "images", image));
});
check(read.bytes > (images - drawn - 1) * 0.7 * MIB, "another program then gets all images");
reader.unmount();

function programOf(...programs: readonly string[]): string {
  const found = programs.find((each) => spawnSync("sh", ["-c", 'command -v "$1"', "sh", each]).status === 0);
  check(found !== undefined, `${programs.join(" or ")} is installed`);
  return found;
}

/** A PNG (ISO/IEC 15948) of three chunks: header, pixels and end. */
function noiseImage(): Buffer {
  const row = 1 + 3 * SIDE;
  const pixels = randomBytes(SIDE * row);
  // The first byte of a row is its filter: none.
  for (let at = 0; at < SIDE; at++) pixels[at * row] = 0;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(SIDE, 0);
  header.writeUInt32BE(SIDE, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const data = deflateSync(pixels, { level: 0 });
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}
