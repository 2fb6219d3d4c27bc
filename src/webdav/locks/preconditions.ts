/** A client's conditions on the present state: RFC 9110, section 13, and the If header of RFC 4918. */
import type { IncomingHttpHeaders } from "node:http";
import type { FileSystem } from "../../vfs/filesystem.ts";
import type { Call } from "../call.ts";
import { parseReference } from "../href.ts";
import { parseHttpDate, secondOf } from "../properties/http-date.ts";
import { parseIf, type Condition, type ConditionList } from "./if-header.ts";
import { lookUpPath, isFile, type ResolvedPath } from "../../files/resolved-path.ts";
import { Refusal } from "../refusal.ts";

/** The lock tokens sent with the request: they count as submitted, even if their list does not hold. */
export function submittedTokens(lists: readonly ConditionList[]): Set<string> {
  return new Set(lists.flatMap(({ conditions }) => conditions.filter(isToken).map(({ value }) => value)));
}

/** Throws a Refusal, 412, or 304 if the reader's copy is current. Throws BlockMiss. */
export function checkPreconditions(call: Call, fs: FileSystem, place: ResolvedPath | undefined): void {
  const { headers, method } = call.request;
  checkHttp(headers, place, () => etagAt(call, fs, place), method === "GET" || method === "HEAD");
  const { conditions } = call;
  if (conditions.length > 0 && !conditions.some((list) => holds(call, fs, list, place))) {
    throw failed("No list of the If header matches.");
  }
}

/** The If header's lists; empty if there is none. Throws a Refusal, 400. */
export function conditionsOf(headers: IncomingHttpHeaders): ConditionList[] {
  const text = headers["if"];
  return typeof text === "string" ? parseIf(text) : [];
}

/** A file's entity tag, computed when a condition needs it. */
function etagAt({ etags }: Call, fs: FileSystem, place: ResolvedPath | undefined): string | undefined {
  const attributes = place?.attributes;
  return attributes !== undefined && isFile(attributes) ? etags.of(fs, attributes) : undefined;
}

function checkHttp(
  headers: IncomingHttpHeaders,
  place: ResolvedPath | undefined,
  etagNow: () => string | undefined,
  isRead: boolean,
): void {
  const attributes = place?.attributes;
  const mtimeS = attributes === undefined ? undefined : Number(secondOf(attributes.mtimeNs));
  const match = headers["if-match"];
  if (match !== undefined) {
    if (!matches(match, attributes !== undefined, etagNow(), "strong"))
      throw failed("The current version does not match If-Match.");
  } else {
    const sinceS = seconds(headers["if-unmodified-since"]);
    // An object without a date counts as unmodified (RFC 9110, section 13.1.4).
    if (sinceS !== undefined && mtimeS !== undefined && mtimeS > sinceS)
      throw failed("The resource was modified after If-Unmodified-Since.");
  }
  const noneMatch = headers["if-none-match"];
  if (noneMatch !== undefined) {
    if (!matches(noneMatch, attributes !== undefined, etagNow(), "weak")) return;
    throw isRead ? notModified(etagNow()) : failed("The current version matches If-None-Match.");
  }
  const sinceS = seconds(headers["if-modified-since"]);
  if (isRead && sinceS !== undefined && mtimeS !== undefined && mtimeS <= sinceS) throw notModified(etagNow());
}

function matches(header: string, isThere: boolean, etag: string | undefined, how: "strong" | "weak"): boolean {
  if (header.trim() === "*") return isThere;
  if (etag === undefined) return false;
  for (const [tag] of header.matchAll(/(?:W\/)?"[^"]*"/g)) {
    if (tag === etag || (how === "weak" && tag === `W/${etag}`)) return true;
  }
  return false;
}

function seconds(date: string | undefined): number | undefined {
  return date === undefined ? undefined : parseHttpDate(date.trim());
}

function failed(message: string): Refusal {
  return new Refusal(412, message);
}

function notModified(etag: string | undefined): Refusal {
  return new Refusal(304, "Not modified.", { headers: etag === undefined ? {} : { etag } });
}

function holds(call: Call, fs: FileSystem, list: ConditionList, own: ResolvedPath | undefined): boolean {
  const place = list.resource === undefined ? own : named(call, fs, list.resource);
  return list.conditions.every((condition) => isTrue(call, fs, condition, place) !== condition.isNegated);
}

/** A resource of another server, or an invalid one, has no state. */
function named(call: Call, fs: FileSystem, resource: string): ResolvedPath | undefined {
  try {
    return lookUpPath(fs, parseReference(resource, call.request.headers.host).path, "follow");
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}

function isTrue(call: Call, fs: FileSystem, { kind, value }: Condition, place: ResolvedPath | undefined): boolean {
  if (place === undefined) return false;
  if (kind === "token") return call.locks.covering(place.path).some(({ token }) => token === value);
  return etagAt(call, fs, place) === value;
}

function isToken({ kind }: Condition): boolean {
  return kind === "token";
}
