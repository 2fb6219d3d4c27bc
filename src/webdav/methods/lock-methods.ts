/** LOCK and UNLOCK. */
import type { Ino } from "../../base/ids.ts";
import type { FileSystem } from "../../vfs/filesystem.ts";
import { answer, type Call } from "../call.ts";
import { checkMemberLocks, checkWritable, isHeld } from "../locks/change-check.ts";
import { checkMakeable, encodePath } from "../href.ts";
import { MAX_DAV_XML_BYTES, MAX_LOCK_OWNER_BYTES, MAX_LOCK_S } from "../limits.ts";
import { activeLock } from "../locks/lock-xml.ts";
import { type Lock, rootsOf } from "../locks/locks.ts";
import { Multistatus, statusResponse } from "../xml/multistatus.ts";
import { lookUpPath, isFile, isFolder, type ResolvedPath } from "../../files/resolved-path.ts";
import { makeable } from "./path-checks.ts";
import { checkPreconditions } from "../locks/preconditions.ts";
import { Refusal } from "../refusal.ts";
import { readWhole } from "../request-body.ts";
import { elementsOf, isDav, readXml } from "../xml/xml-reader.ts";
import { writeElement } from "../xml/xml-writer.ts";

export async function lock(call: Call): Promise<void> {
  checkWritable(call);
  const timeoutS = timeoutOf(call);
  const body = await readWhole(call, MAX_DAV_XML_BYTES);
  if (body.length === 0) return refresh(call, timeoutS);
  const isDeep = depthOf(call);
  const wanted = { ...parseLockInfo(body), isDeep, timeoutS, user: call.user };
  const outcome = await call.access.change(undefined, (fs): Outcome => {
    const place = lookUpPath(fs, call.href.path, "follow");
    checkPreconditions(call, fs, place);
    if (place?.attributes === undefined) return { made: lockNew(call, fs, place, wanted), isNew: true };
    const here = { ...wanted, path: place.path, isFolder: isFolder(place.attributes) };
    const inTheWay = call.locks.inTheWayOf(here);
    if (inTheWay.here.length === 0 && inTheWay.below.length > 0) return { members: inTheWay.below };
    const { attributes } = place;
    return { made: lockNow(call, here, () => (isFile(attributes) ? attributes.ino : undefined)), isNew: false };
  });
  if ("members" in outcome) return answerMembers(call, outcome.members);
  const { made, isNew } = outcome;
  answerLock(call, isNew ? 201 : 200, made, { "lock-token": `<${made.token}>` });
}

/** A lock, or the members' locks that prevent it. */
type Outcome = { readonly made: Lock; readonly isNew: boolean } | { readonly members: readonly Lock[] };

/** Lists the locked members, and says that the folder is not locked because of them (RFC 4918, section 9.10.3). */
async function answerMembers(call: Call, members: readonly Lock[]): Promise<void> {
  const responses = new Multistatus(call);
  for (const href of rootsOf(members)) await responses.add(statusResponse(href, 423));
  await responses.add(statusResponse(encodePath(call.href.path, true), 424));
  await responses.end();
}

export async function unlock(call: Call): Promise<void> {
  checkWritable(call);
  const header = call.request.headers["lock-token"];
  const token = typeof header === "string" ? /^\s*<([^<>\s]+)>\s*$/.exec(header)?.[1] : undefined;
  if (token === undefined) throw new Refusal(400, "UNLOCK needs the header Lock-Token: <token>.");
  const place = await call.access.run((fs) => {
    const found = lookUpPath(fs, call.href.path, "follow");
    checkPreconditions(call, fs, found);
    return found;
  });
  const held = locksAt(call, place).find((one) => one.token === token);
  if (held === undefined) {
    throw new Refusal(409, "This resource has no such lock.", { condition: "lock-token-matches-request-uri" });
  }
  call.locks.release(held);
  answer(call, 204);
}

/** Locking an unused name creates an empty file, which takes the name (RFC 4918, section 7.3). */
function lockNew(
  call: Call,
  fs: FileSystem,
  found: ResolvedPath | undefined,
  wanted: Omit<Lock, "token" | "expiresMs" | "path" | "isFolder">,
): Lock {
  const { parent, name, path } = makeable(found);
  if (call.href.isFolder) throw new Refusal(409, "Create the folder first.");
  checkMakeable(name);
  checkMemberLocks(call, path, "own bytes");
  const make = () => fs.makeNode(parent, name, S_IFREG | 0o644, 0, call.caller).ino;
  return lockNow(call, { ...wanted, path, isFolder: false }, make);
}

/** `file`: returns the file at the lock's path, if one is there. */
function lockNow(call: Call, wanted: Omit<Lock, "token" | "expiresMs">, file: () => Ino | undefined): Lock {
  const made = call.locks.make(wanted);
  try {
    const ino = file();
    if (ino !== undefined) call.lockedVersions.follow(made.path, ino);
  } catch (error) {
    call.locks.release(made);
    throw error;
  }
  return made;
}

const S_IFREG = 0o100000;

async function refresh(call: Call, timeoutS: number): Promise<void> {
  const place = await call.access.run((fs) => {
    const found = lookUpPath(fs, call.href.path, "follow");
    checkPreconditions(call, fs, found);
    return found;
  });
  const held = locksAt(call, place).find((one) => isHeld(call, one));
  if (held === undefined) {
    throw new Refusal(
      412,
      "A LOCK without a body renews a lock, but no token in the If header is of a lock on this resource.",
      { condition: "lock-token-matches-request-uri" },
    );
  }
  answerLock(call, 200, call.locks.refresh(held, timeoutS));
}

/** Works for a missing object too: another door may have removed it. */
function locksAt(call: Call, place: ResolvedPath | undefined): Lock[] {
  return call.locks.covering(place?.path ?? call.href.path);
}

function answerLock(call: Call, status: number, made: Lock, headers: Readonly<Record<string, string>> = {}): void {
  const active = activeLock(made, call.locks.secondsLeft(made));
  const body = `<?xml version="1.0" encoding="utf-8"?>\n<D:prop xmlns:D="DAV:"><D:lockdiscovery>${active}</D:lockdiscovery></D:prop>\n`;
  answer(call, status, { ...headers, "content-type": "application/xml; charset=utf-8" }, body);
}

function parseLockInfo(body: Uint8Array): Pick<Lock, "isExclusive" | "owner"> {
  const root = readXml(body);
  const scopes = elementsOf(root, "lockscope").flatMap((scope) => elementsOf(scope));
  const types = elementsOf(root, "locktype").flatMap((type) => elementsOf(type));
  const [scope] = scopes;
  const [type] = types;
  const isScope = scope !== undefined && (isDav(scope, "exclusive") || isDav(scope, "shared"));
  if (!isDav(root, "lockinfo") || scopes.length !== 1 || types.length !== 1) {
    throw new Refusal(400, "The body must be a lockinfo element with one scope and one type.");
  }
  if (!isScope || type === undefined || !isDav(type, "write")) {
    throw new Refusal(422, "Only exclusive and shared write locks are supported.");
  }
  const [ownerElement] = elementsOf(root, "owner");
  const owner = ownerElement === undefined ? "" : writeElement(ownerElement, MAX_LOCK_OWNER_BYTES);
  if (owner === undefined) {
    throw new Refusal(400, `A lock's owner element may have at most ${MAX_LOCK_OWNER_BYTES} bytes.`);
  }
  return { isExclusive: isDav(scope, "exclusive"), owner };
}

/** The first duration in the header, capped. */
function timeoutOf({ request }: Call): number {
  const header = request.headers["timeout"];
  for (const text of typeof header === "string" ? header.split(",") : []) {
    const seconds = /^\s*Second-(\d{1,10})\s*$/i.exec(text)?.[1];
    if (seconds !== undefined) return Math.max(1, Math.min(Number(seconds), MAX_LOCK_S));
    if (/^\s*Infinite\s*$/i.test(text)) return MAX_LOCK_S;
  }
  return MAX_LOCK_S;
}

/** Whether it covers everything below too. */
function depthOf({ request }: Call): boolean {
  const depth = request.headers["depth"] ?? "infinity";
  if (depth === "0") return false;
  if (typeof depth === "string" && /^infinity$/i.test(depth)) return true;
  throw new Refusal(400, "The Depth of a LOCK must be 0 or infinity.");
}
