/** PUT: the body is written beside the old file, and replaces it when complete. */
import type { FileName, Ino } from "../../base/ids.ts";
import { CARRIED_WRITE_BYTES, MAX_FILE_BYTES, SMALL_FILE_BYTES } from "../../base/limits.ts";
import type { FileSystem } from "../../vfs/filesystem.ts";
import { answer, type Call } from "../call.ts";
import { makeDurable } from "../durable.ts";
import { Checksums } from "../properties/checksums.ts";
import { mtimeOfSeconds } from "../properties/wanted-mtime.ts";
import { checkMemberLocks, checkWritable, checkResourceLocks } from "../locks/change-check.ts";
import { checkMakeable } from "../href.ts";
import { lookUpPath, isFile, type ResolvedPath } from "../../files/resolved-path.ts";
import { makeable } from "./path-checks.ts";
import { checkPreconditions } from "../locks/preconditions.ts";
import { Refusal } from "../refusal.ts";
import { Replacement } from "../../files/replacement.ts";
import { hasLength } from "../../http/request-body.ts";
import { expectedBytes, readBody } from "../request-body.ts";

export async function put(call: Call): Promise<void> {
  const { access, caller } = call;
  checkHeaders(call);
  const mtimeNs = wantedMtime(call);
  const { parent } = await access.run((fs) => checkedPlace(call, fs));
  const made = await access.change(undefined, (fs) => {
    const { ino } = fs.makeUnnamed(parent, 0o644, caller);
    return { ino, hold: access.open.hold(ino) };
  });
  using _held = made.hold;
  const checksums = await receive(call, made.ino);
  const { isNew, etag } = await replace(call, made.ino, mtimeNs);
  call.etags.checksums.remember(etag, checksums);
  await makeDurable(call, made.ino);
  const accepted = mtimeNs === undefined ? {} : { "x-oc-mtime": "accepted" };
  answer(call, isNew ? 201 : 204, { etag, ...accepted });
}

async function replace(call: Call, ino: Ino, mtimeNs: bigint | undefined) {
  const { access, etags } = call;
  const replacement = new Replacement(call, ino);
  try {
    return await access.change(undefined, (fs) => {
      // Much may have changed since the body began.
      const place = checkedPlace(call, fs);
      const etag = etags.of(fs, fs.getAttributes(ino));
      replacement.run(fs, place, mtimeNs);
      call.lockedVersions.follow(place.path, ino);
      return { isNew: place.attributes === undefined, etag };
    });
  } catch (error) {
    await replacement.undo();
    throw error;
  }
}

/** The target, if it is permitted. Throws a Refusal, and BlockMiss. */
function checkedPlace(call: Call, fs: FileSystem): ResolvedPath & { readonly name: FileName } {
  const found = lookUpPath(fs, call.href.path, "follow");
  const place = makeable(found);
  if (place.attributes === undefined) checkMakeable(place.name);
  else if (!isFile(place.attributes)) throw new Refusal(405, "PUT can replace only a file.");
  checkPreconditions(call, fs, found);
  if (place.attributes === undefined) checkMemberLocks(call, place.path, "own bytes");
  else checkResourceLocks(call, place.path);
  return place;
}

function checkHeaders(call: Call): void {
  checkWritable(call);
  if (call.request.headers["content-range"] !== undefined) {
    throw new Refusal(400, "Partial writes are not supported. Send the whole file, without Content-Range.");
  }
  // In HTTP/1.0, the body might still follow (RFC 9110, section 8.6).
  if (call.request.httpVersion === "1.0" && !hasLength(call.request))
    throw new Refusal(411, "A PUT over HTTP/1.0 needs a Content-Length.", { headers: { connection: "close" } });
  if (call.href.isFolder) throw new Refusal(409, "A file's address must not end with a slash.");
}

async function receive(call: Call, ino: Ino): Promise<Checksums> {
  const { access, request } = call;
  const expected = expectedBytes(request);
  using name = call.etags.naming(expected);
  const checksums = new Checksums(request.headers["oc-checksum"]);
  // The journal carries small writes, so that a small file takes one sync.
  const step = expected !== undefined && expected <= SMALL_FILE_BYTES ? CARRIED_WRITE_BYTES : Infinity;
  let size = 0;
  for await (const piece of readBody(call, MAX_FILE_BYTES)) {
    if (size + piece.length > (expected ?? Infinity)) throw new Refusal(400, `Received more than ${expected} bytes.`);
    await access.fs.throttle(ino);
    await access.fs.throttle(ino, piece.length);
    for (let at = 0; at < piece.length; at += step) {
      const part = piece.subarray(at, at + step);
      await access.run((fs) => fs.write(ino, size + at, part));
    }
    await name?.push(piece);
    checksums.add(piece);
    if (piece.length === expected) call.etags.whole(ino, piece);
    size += piece.length;
    call.garbage.young(piece.length);
  }
  if (size < (expected ?? 0)) throw new Refusal(400, `Received only ${size} of ${expected} bytes.`);
  checksums.check();
  await name?.finish(ino);
  return checksums;
}

/** X-OC-Mtime, in seconds, as sent by Nextcloud clients and rclone. */
function wantedMtime({ request }: Call): bigint | undefined {
  const text = request.headers["x-oc-mtime"];
  if (typeof text !== "string") return undefined;
  const mtimeNs = mtimeOfSeconds(text);
  if (mtimeNs === undefined) throw new Refusal(400, "X-OC-Mtime must be a Unix time in seconds.");
  return mtimeNs;
}
