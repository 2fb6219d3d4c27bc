/** Requests to an S3 server, and the parts of its answers that are used. */
import { createHash } from "node:crypto";
import { SaxesParser } from "saxes";
import { SynclineError } from "../../base/errors.ts";
import type { ObjectBody, RequestCounts } from "../object-store.ts";

export type S3Method = "GET" | "HEAD" | "PUT" | "POST" | "DELETE";

export interface S3Request {
  readonly method: S3Method;
  /** Absent: the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: readonly Uint8Array[];
  /** Sends the last piece of the body only after this. For races. */
  readonly beforeLast?: (() => Promise<void>) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The most bytes that the body of an answer may have, and the error if it has more. Absent: MAX_OBJECT_BYTES. */
  readonly atMost?: { readonly bytes: number; readonly exceeded: () => Error };
  /** Takes the body of an answer of this status as it arrives, from its beginning; then the answer has none. */
  readonly take?: (status: number, at: number, part: Uint8Array) => void;
}

/** An answer, read to its end. */
export interface S3Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Uint8Array;
  /** Of redirects and refusals. */
  readonly error: S3Error | undefined;
}

/** An answer's error document. */
export interface S3Error {
  readonly code: string;
  readonly message: string;
  readonly region: string | undefined;
}

/** The body as it is sent. */
export function sentBody({
  body,
  beforeLast,
}: S3Request): readonly Uint8Array[] | AsyncIterable<Uint8Array> | undefined {
  if (body === undefined) return body;
  if (beforeLast === undefined) return body.flatMap(inSteps);
  return (async function* () {
    yield* body.slice(0, -1);
    await beforeLast();
    yield* body.slice(-1);
  })();
}

/** Splits a piece, so that even a slow connection makes progress before it times out. */
function inSteps(piece: Uint8Array): Uint8Array[] {
  const steps: Uint8Array[] = [];
  for (let at = 0; at < piece.length; at += STEP_BYTES) steps.push(piece.subarray(at, at + STEP_BYTES));
  return steps;
}

const STEP_BYTES = 64 * 1024;

export function sha256Of(body: readonly Uint8Array[] = []): string {
  const hash = createHash("sha256");
  for (const piece of body) hash.update(piece);
  return hash.digest("hex");
}

export function classOf({ method, query, key }: S3Request): keyof RequestCounts {
  if (method === "DELETE") return "delete";
  if (method === "PUT" || method === "POST") return "put";
  return key === undefined && query !== undefined ? "list" : "get";
}

/** Path and query as they are sent and signed. */
export function targetOf(prefix: string, { key, query = {} }: S3Request): string {
  const path = key === undefined ? prefix || "/" : `${prefix}/${key.split("/").map(encoded).join("/")}`;
  const pairs = Object.entries(query).map(([name, value]) => `${encoded(name)}=${encoded(value)}`);
  return pairs.length === 0 ? path : `${path}?${pairs.sort().join("&")}`;
}

/** As signatures demand: everything but A-Z, a-z, 0-9 and - . _ ~ in percent form. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

export function parseError(text: string): S3Error {
  const fields = new Map<string, string>();
  readXml(text, (path, value) => void (path.at(0) === "Error" && fields.set(path.slice(1).join("/"), value)));
  return { code: fields.get("Code") ?? "", message: fields.get("Message") ?? "", region: fields.get("Region") };
}

export interface ListPage {
  readonly objects: readonly { readonly key: string; readonly size: number; readonly modifiedMs: number }[];
  /** Where the next page begins; undefined: this was the last. */
  readonly next: string | undefined;
}

/** Throws `store_failed` unless the page is complete: a truncated listing must not pass for a short one. */
export function parseList(text: string): ListPage {
  const objects: { key: string; size: number; modifiedMs: number }[] = [];
  const fields = new Map<string, string>();
  let object = new Map<string, string>();
  const isWhole = readXml(
    text,
    (path, value) => {
      if (path[1] === "Contents") object.set(path.slice(2).join("/"), value);
      else fields.set(path.join("/"), value);
    },
    (path) => {
      if (path.length !== 2 || path[1] !== "Contents") return;
      const key = object.get("Key") ?? "";
      const size = Number(object.get("Size") ?? Number.NaN);
      const modifiedMs = Date.parse(object.get("LastModified") ?? "");
      if (key === "" || !Number.isSafeInteger(size) || Number.isNaN(modifiedMs)) throw badList();
      objects.push({ key, size, modifiedMs });
      object = new Map();
    },
  );
  const truncated = fields.get("ListBucketResult/IsTruncated");
  const next = fields.get("ListBucketResult/NextContinuationToken");
  if (!isWhole || (truncated !== "true" && truncated !== "false")) throw badList();
  if (truncated === "true" && (next === undefined || next === "")) throw badList();
  const isEncoded = fields.get("ListBucketResult/EncodingType") === "url";
  const nameOf = (key: string) => (isEncoded ? decodedKey(key) : key);
  const named = objects.map(({ key, size, modifiedMs }) => ({ key: nameOf(key), size, modifiedMs }));
  return { objects: named, next: truncated === "true" ? next : undefined };
}

function decodedKey(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll("+", " "));
  } catch {
    throw badList();
  }
}

/** The text at a path of a small answer, or undefined. */
export function textAt(xml: string, wanted: string): string | undefined {
  let found: string | undefined;
  readXml(xml, (path, value) => {
    if (path.join("/") === wanted) found = value;
  });
  return found;
}

/** Calls `text` with each element's text and `closed` at its end. False: the document is cut, or no XML. */
function readXml(
  xml: string,
  text: (path: readonly string[], value: string) => void,
  closed: (path: readonly string[]) => void = () => {},
): boolean {
  const parser = new SaxesParser();
  const path: string[] = [];
  let value = "";
  let isWhole = true;
  parser.on("opentag", ({ name }) => {
    path.push(name);
    value = "";
  });
  parser.on("text", (part) => (value += part));
  parser.on("closetag", () => {
    if (value !== "") text(path, value);
    value = "";
    closed(path);
    path.pop();
  });
  parser.on("error", () => (isWhole = false));
  parser.write(xml).close();
  return isWhole && path.length === 0;
}

function badList(): SynclineError {
  return new SynclineError("store_failed", "The S3 server sent a listing that is cut or malformed.", {
    hint: "Try again. Nothing was deleted.",
  });
}

/** Collects a body until it reaches `limit` bytes. `rest`: what may follow. */
export async function gather(
  body: ObjectBody,
  limit: number,
): Promise<{ chunks: Uint8Array[]; rest: AsyncIterator<Uint8Array> | undefined }> {
  const chunks: Uint8Array[] = [];
  if (Array.isArray(body)) return { chunks: body as Uint8Array[], rest: undefined };
  const iterator = (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  let bytes = 0;
  while (bytes < limit) {
    const { done = false, value } = await iterator.next();
    if (done) return { chunks, rest: undefined };
    chunks.push(Uint8Array.from(value as Uint8Array));
    bytes += (value as Uint8Array).length;
  }
  return { chunks, rest: iterator };
}
