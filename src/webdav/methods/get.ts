/** GET and HEAD: a file's bytes, whole or in ranges. */
import type { OutgoingHttpHeaders } from "node:http";
import { unlessSync } from "../../base/unless.ts";
import type { FileName } from "../../base/ids.ts";
import type { Attributes, FileSystem } from "../../vfs/filesystem.ts";
import { answer, type Call } from "../call.ts";
import { contentTypeOf, isActive } from "../properties/content-types.ts";
import type { Bytes } from "../properties/etags.ts";
import { httpDate } from "../properties/http-date.ts";
import { wantsPage } from "../page/folder-page.ts";
import { PieceBuffers } from "../piece-buffers.ts";
import { lookUpPath, isFile, isFolder } from "../../files/resolved-path.ts";
import { isStale } from "../../files/stale.ts";
import { present } from "./path-checks.ts";
import { checkPreconditions } from "../locks/preconditions.ts";
import { type ByteRange, parseRanges } from "./ranges.ts";
import { Refusal } from "../refusal.ts";

export async function get(call: Call): Promise<void> {
  const { access, href } = call;
  const { attributes, name, version, hold } = await access.run((fs) => {
    const place = lookUpPath(fs, href.path, "follow");
    const found = present(place);
    sayCaching(call, found.attributes);
    checkPreconditions(call, fs, place);
    if (isFile(found.attributes)) call.lockedVersions.follow(found.path, found.attributes.ino);
    const version = isFolder(found.attributes) ? undefined : versionOf(call, fs, found.attributes);
    return { ...found, version, hold: access.open.hold(found.attributes.ino) };
  });
  using _held = hold;
  if (version === undefined) return sendFolder(call, attributes);
  if (href.isFolder) throw new Refusal(404, "This is a file. Remove the trailing slash.");
  await sendFile(call, version, name);
}

/** The version that an answer promises at its start. */
interface Version {
  readonly attributes: Attributes;
  readonly etag: string;
  readonly bytes: Bytes;
}

function versionOf({ etags }: Call, fs: FileSystem, attributes: Attributes): Version {
  return { attributes, etag: etags.of(fs, attributes), bytes: etags.bytesOf(attributes) };
}

async function sendFolder(call: Call, { ino }: Attributes): Promise<void> {
  const { request, href, folderPage } = call;
  if (folderPage !== undefined && wantsPage(request)) return folderPage(call, ino, href.path);
  answer(call, 200, FOLDER_HEADERS, "This is a folder. Use a WebDAV client to list it.\n");
}

const FOLDER_HEADERS = { "content-type": "text/plain; charset=utf-8" };

/** The caching headers, the same for every answer: a 304 has them too (RFC 9110, section 15.4.5). */
function sayCaching({ request, response, folderPage }: Call, attributes: Attributes): void {
  const mayBePage = folderPage !== undefined && isFolder(attributes);
  response.setHeader("cache-control", mayBePage && wantsPage(request) ? "no-store" : "no-cache");
  if (mayBePage) response.setHeader("vary", "accept");
}

async function sendFile(call: Call, version: Version, name: FileName | undefined): Promise<void> {
  const { request, response } = call;
  const { attributes, etag } = version;
  const checksum = call.etags.checksums.of(etag);
  const { size } = attributes;
  const type = contentTypeOf(name ?? ("" as FileName));
  const headers: OutgoingHttpHeaders = {
    etag,
    ...(checksum !== undefined && { "oc-checksum": checksum }),
    "last-modified": httpDate(attributes.mtimeNs),
    "accept-ranges": "bytes",
    // The file's writer chose its bytes: browsers must not run them with the rights of this origin.
    "content-security-policy":
      "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'",
    "x-content-type-options": "nosniff",
    ...(isActive(type) ? { "content-disposition": "attachment" } : {}),
  };
  const ranges = rangesOf(call, version);
  if (ranges === "none") {
    throw new Refusal(416, "The requested range is outside the file.", {
      headers: { "content-range": `bytes */${size}` },
    });
  }
  const [only, ...others] = ranges === "all" ? [{ from: 0, to: size - 1 }] : ranges;
  if (only === undefined || others.length > 0) return sendParts(call, version, headers, type, ranges as ByteRange[]);
  const partial = ranges === "all" ? {} : { "content-range": `bytes ${only.from}-${only.to}/${size}` };
  const length = only.to - only.from + 1;
  const body = request.method === "HEAD" ? undefined : new FileBody(call, version.bytes, length);
  // Errors up to here can still be reported.
  await body?.prepare(only.from, length);
  response.writeHead(ranges === "all" ? 200 : 206, {
    ...headers,
    ...partial,
    "content-type": type,
    "content-length": length,
  });
  await body?.send(only);
  response.end();
}

/**
 * The requested ranges. An If-Range that does not match asks for the whole file; no date matches, since two versions may have
 * the same mtime.
 */
function rangesOf({ request }: Call, { attributes, etag }: Version): readonly ByteRange[] | "all" | "none" {
  const { range } = request.headers;
  if (range === undefined || request.method === "HEAD") return "all";
  const validator = request.headers["if-range"];
  if (typeof validator === "string" && validator !== etag) return "all";
  return parseRanges(range, attributes.size);
}

async function sendParts(
  call: Call,
  { attributes, bytes }: Version,
  headers: OutgoingHttpHeaders,
  type: string,
  ranges: readonly ByteRange[],
): Promise<void> {
  const { response, random } = call;
  const boundary = Buffer.from(random.bytes(12)).toString("hex");
  const heads = ranges.map(
    ({ from, to }) =>
      `\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: bytes ${from}-${to}/${attributes.size}\r\n\r\n`,
  );
  const end = `\r\n--${boundary}--\r\n`;
  const length = ranges.reduce(
    (sum, { from, to }, index) => sum + (heads[index]?.length ?? 0) + to - from + 1,
    end.length,
  );
  response.writeHead(206, {
    ...headers,
    "content-type": `multipart/byteranges; boundary=${boundary}`,
    "content-length": length,
  });
  const body = new FileBody(call, bytes, Math.max(...ranges.map(({ from, to }) => to - from + 1)));
  for (const [index, range] of ranges.entries()) {
    await body.prepare(range.from, range.to - range.from + 1);
    response.write(heads[index] ?? "");
    await body.send(range);
  }
  response.end(end);
}

/** The bytes of the version that was promised, in pieces. */
class FileBody {
  readonly #call: Call;
  readonly #promised: Bytes;
  readonly #buffers: PieceBuffers;
  #first: Piece | undefined;

  /** `longest`: bytes of the longest range to come. */
  constructor(call: Call, promised: Bytes, longest: number) {
    this.#call = call;
    this.#promised = promised;
    this.#buffers = new PieceBuffers(call, call.longBodies.begin(call.response, longest));
  }

  /** Reads the first piece of a range. Throws as the filesystem does. */
  async prepare(from: number, length: number): Promise<void> {
    if (length > 0) this.#first = await this.#read(from, length);
  }

  /** Sends the range that was prepared. */
  async send({ from, to }: ByteRange): Promise<void> {
    let next = this.#first && Promise.resolve(this.#first);
    this.#first = undefined;
    for (let at = from; at <= to;) {
      const { buffer, length } = await (next ?? this.#read(at, to + 1 - at));
      at += length;
      // Read while the previous piece is sent.
      next = at <= to ? this.#read(at, to + 1 - at) : undefined;
      this.#buffers.send(buffer, length);
    }
  }

  /** Throws a Refusal, 503, if the file is written in place meanwhile: no bytes are better than a mixture. */
  async #read(offset: number, length: number): Promise<Piece> {
    const { access, etags } = this.#call;
    const promised = this.#promised;
    const hasStill = (fs: FileSystem) => {
      // Others removed or replaced it.
      return unlessSync(isStale, () => etags.has(fs, promised), false);
    };
    const buffer = await this.#buffers.take();
    const target = buffer.subarray(0, length);
    const read = (from: (fs: FileSystem) => number | Promise<number>) =>
      access.run((fs) => {
        if (hasStill(fs)) return from(fs);
        throw new Refusal(503, "The file is changing. Try again.", { headers: { "retry-after": "1" } });
      });
    const far = await read((fs) => fs.readUncached(promised.ino, offset, target));
    const count = far > 0 ? far : await read((fs) => fs.read(promised.ino, offset, target.length, target));
    if (count === 0) throw new Refusal(500, "The file is shorter than its recorded size.");
    return { buffer, length: count };
  }
}

interface Piece {
  readonly buffer: Uint8Array;
  readonly length: number;
}
