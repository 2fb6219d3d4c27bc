/** PROPFIND: properties of a resource and, with depth 1, of its members; sent in pieces as the folder is read. */
import { type FileName, type Ino, ROOT_INO } from "../../base/ids.ts";
import { DAV_LISTING_BATCH, DAV_SLICE_MS, MAX_DAV_XML_BYTES } from "../limits.ts";
import { TimeSlice } from "../../base/time-slice.ts";
import { keepShape } from "../../base/shapes.ts";
import { FsError, type FileSystem, type ListedAttributes } from "../../vfs/filesystem.ts";
import type { Access } from "../../files/access.ts";
import type { Call } from "../call.ts";
import { blocksOfDead } from "../properties/dead-properties.ts";
import { encodeName, encodePath } from "../href.ts";
import type { Shown, Surroundings } from "../properties/live-properties.ts";
import { Multistatus } from "../xml/multistatus.ts";
import { lookUpPath, isFolder, isLink, shownAs } from "../../files/resolved-path.ts";
import { present } from "./path-checks.ts";
import { checkPreconditions } from "../locks/preconditions.ts";
import { asksDead, parsePropfind, responder } from "../properties/property-request.ts";
import { Refusal } from "../refusal.ts";
import { AnswerToken, type SyncSource } from "../sync-source.ts";
import { readWhole } from "../request-body.ts";
import { isStale } from "../../files/stale.ts";
import { isTemporary } from "../../files/temporary-name.ts";

export async function propfind(call: Call): Promise<void> {
  const { access, href, clock } = call;
  const depth = depthOf(call);
  const asked = parsePropfind(await readWhole(call, MAX_DAV_XML_BYTES));
  const place = await access.run((fs) => {
    const found = lookUpPath(fs, href.path, "follow");
    checkPreconditions(call, fs, found);
    return present(found);
  });
  const isCollection = isFolder(place.attributes);
  const base = encodePath(href.path, isCollection);
  const self: Shown = { name: href.path.at(-1), attributes: place.attributes };
  const respond = responder(
    asked,
    surroundings(call, (shown) =>
      shown === self || shown.name === undefined ? place.path : [...place.path, shown.name],
    ),
  );
  const answer = new Multistatus(call);
  await answer.add(await access.run((fs) => respond(fs, base, self)));
  if (depth === "1" && isCollection) {
    const pace = new TimeSlice(clock, DAV_SLICE_MS);
    for await (const entries of listing(access, place.attributes.ino, place.path)) {
      const missing = asksDead(asked) ? blocksOfDead(entries.map(({ attributes }) => attributes)) : [];
      if (missing.length > 0) await access.fs.load(missing, access.signal);
      // After a missing block, continue at its entry: with very many blocks, some are evicted before the last one is read.
      for (let at = 0; at < entries.length;) {
        let xml = "";
        await access.run((fs) => {
          const end = Math.min(entries.length, at + PIECE_ENTRIES);
          for (let entry = entries[at]; at < end && entry !== undefined; entry = entries[++at]) {
            xml += responseNow(fs, place.attributes.ino, place.path, entry, (now) =>
              respond(fs, base + encodeName(now.name) + (isFolder(now.attributes) ? "/" : ""), now),
            );
          }
        });
        await answer.add(xml);
        await pace.breathe();
      }
    }
  }
  await answer.end();
}

/** Entries answered before others get their turn. */
const PIECE_ENTRIES = 32;

export interface Listed extends Shown {
  readonly name: FileName;
  /** Those of the target, for a link. */
  readonly attributes: ListedAttributes;
  readonly isLink: boolean;
}

/** A folder's visible entries, in batches. `path`: the folder's. */
export async function* listing(access: Access, ino: Ino, path: readonly FileName[]): AsyncGenerator<Listed[]> {
  for (let cookie: number | undefined = 0; cookie !== undefined;) {
    const from: number = cookie;
    const { entries, next } = await access.run((fs) => readBatch(fs, ino, path, from));
    if (entries.length > 0) yield entries;
    cookie = next;
  }
}

/** The response for an entry: for what has its name now, if that was replaced since it was listed. Empty: nothing has it. */
export function responseNow(
  fs: FileSystem,
  folder: Ino,
  path: readonly FileName[],
  listed: Listed,
  respond: (entry: Listed) => string,
): string {
  try {
    return respond(listed);
  } catch (error) {
    if (!isStale(error)) throw error;
  }
  const { name } = listed;
  const found = fs.lookup(folder, name);
  const shown = found && shownOrGone(fs, path, name, found);
  return found === undefined || shown === undefined ? "" : respond(listedAs(name, shown, isLink(found)));
}

function readBatch(fs: FileSystem, ino: Ino, path: readonly FileName[], cookie: number) {
  const { entries, next } = fs.list(ino, cookie, DAV_LISTING_BATCH);
  const shown: Listed[] = [];
  for (const { name, attributes } of entries) {
    if (isTemporary(name)) continue;
    const target = isFolder(attributes) ? attributes : shownOrGone(fs, path, name, attributes);
    if (target !== undefined) shown.push(listedAs(name, target, isLink(attributes)));
  }
  return { entries: shown, next };
}

function listedAs(name: FileName, attributes: ListedAttributes, isLinked: boolean): Listed {
  return { name, attributes, isLink: isLinked };
}

keepShape(listedAs("" as FileName, { ino: ROOT_INO, mode: 0, size: 0, mtimeNs: 0n, ctimeNs: 0n }, false));

function shownOrGone(fs: FileSystem, path: readonly FileName[], name: FileName, attributes: ListedAttributes) {
  try {
    return shownAs(fs, path, name, attributes);
  } catch (error) {
    if (error instanceof FsError) return undefined;
    throw error;
  }
}

/** `pathOf`: where the locks of a resource are. */
export function surroundings(call: Call, pathOf: (shown: Shown) => readonly FileName[]): Surroundings {
  const { locks, access, etags, syncToken } = call;
  return {
    locksOf: (shown) => locks.covering(pathOf(shown)),
    secondsLeft: (lock) => locks.secondsLeft(lock),
    etag: (attributes) => etags.of(access.fs, attributes),
    checksums: (etag) => etags.checksums.of(etag),
    statFs: () => access.fs.statFs(),
    syncToken: () => (syncToken === undefined ? undefined : tokenNow(syncToken)),
  };
}

/** For clients that list a folder and later ask for changes since. */
function tokenNow(source: SyncSource): string {
  const token = new AnswerToken(source, source.token());
  token.look();
  return token.text;
}

function depthOf({ request }: Call): "0" | "1" {
  const depth = request.headers["depth"] ?? "infinity";
  if (depth === "0" || depth === "1") return depth;
  if (typeof depth === "string" && /^infinity$/i.test(depth)) {
    throw new Refusal(403, "Depth: infinity is not supported. List one folder at a time.", {
      condition: "propfind-finite-depth",
    });
  }
  throw new Refusal(400, "Depth must be 0, 1 or infinity.");
}
