/**
 * The WebDAV door: answers one HTTP request with filesystem calls (RFC 4918, class 1 and 2; RFC 4331; RFC 6578). The server
 * around it decides which clients may connect, and how. Shares are served at "/".
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../base/clock.ts";
import { MAX_DISCARDED_BYTES } from "../base/limits.ts";
import { describeError, type Log } from "../base/log.ts";
import { escapeForPrint } from "../base/names.ts";
import type { Random } from "../base/random.ts";
import type { ContentConfig } from "../content/config.ts";
import type { ContentNames } from "../vfs/content-names.ts";
import type { Caller, FileSystem } from "../vfs/filesystem.ts";
import { Access } from "../files/access.ts";
import { answer, type Call, type FolderPage, type Method, type SignedIn } from "./call.ts";
import { mkcol, remove } from "./methods/collections.ts";
import { copy } from "./methods/copy.ts";
import type { ChecksumStore } from "./properties/checksums.ts";
import { Etags } from "./properties/etags.ts";
import { finishLeft } from "../files/finish-left.ts";
import { get } from "./methods/get.ts";
import { parseTarget } from "./href.ts";
import { APACHE_SETS } from "./properties/live-properties.ts";
import { lock, unlock } from "./methods/lock-methods.ts";
import { LockedVersions } from "./locks/locked-versions.ts";
import { LongBodies } from "./long-bodies.ts";
import { Locks, type LockStore } from "./locks/locks.ts";
import { move } from "./methods/move.ts";
import { OpenInodes } from "../files/open-inodes.ts";
import { conditionsOf, submittedTokens } from "./locks/preconditions.ts";
import { propfind } from "./methods/propfind.ts";
import { proppatch } from "./methods/proppatch.ts";
import { put } from "./methods/put.ts";
import { Refusal, refusalOf } from "./refusal.ts";
import { report } from "./methods/report.ts";
import { declaredBytes } from "../http/request-body.ts";
import { Garbage } from "../runtime/garbage.ts";
import { GARBAGE_BYTES } from "./limits.ts";
import type { SyncSource } from "./sync-source.ts";
import { UnfinishedWork, type UnfinishedStore } from "../files/unfinished.ts";

export interface DavHandlerOptions {
  readonly fs: FileSystem;
  readonly contentNames: ContentNames;
  /** How the bucket chunks files. */
  readonly contentConfig: ContentConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Refuse every change with 403. */
  readonly readOnly: boolean;
  readonly locks: LockStore;
  readonly unfinished: UnfinishedStore;
  /** Absent: checksums are known only for the handler's lifetime. */
  readonly checksums?: ChecksumStore;
  /** Undefined: sync-collection is not offered. */
  readonly syncToken: SyncSource | undefined;
  /** The owner of new files. */
  readonly caller: Caller;
  readonly collectYoung?: () => void;
  /** The page that browsers get for a folder; without it, a line of text. */
  readonly folderPage?: FolderPage;
  /** Aborted when the door is closed: requests under way then change nothing more. */
  readonly closed?: AbortSignal;
}

/**
 * Answers one request. `signedIn`: if sign-in is required. Never rejects. If the server passes `checkContinue` here too,
 * clients are asked for bodies only when needed.
 */
export type DavHandler = (request: IncomingMessage, response: ServerResponse, signedIn?: SignedIn) => Promise<void>;

export function createDavHandler(options: DavHandlerOptions): DavHandler {
  const { fs, clock, random, log, readOnly: isReadOnly, syncToken, caller, folderPage } = options;
  const locks = new Locks(options.locks, clock, random);
  const unfinished = new UnfinishedWork(options.unfinished);
  const open = new OpenInodes(fs, log);
  options.closed?.addEventListener("abort", () => open.close());
  const etags = new Etags(options.contentNames, options.contentConfig, random, options.checksums);
  const garbage = new Garbage(GARBAGE_BYTES, () => options.collectYoung?.());
  const longBodies = new LongBodies();
  const always = new Access(fs, open, new AbortController().signal);
  const lockedVersions = new LockedVersions(always, locks, log);
  if (!isReadOnly) {
    void finishLeft({ access: always, clock }, unfinished, log);
    void lockedVersions.begin();
  }
  return async (request, response, signedIn) => {
    const gone = new AbortController();
    response.on("close", () => {
      // After a complete answer there is nothing to end, and creating the error takes longer than the rest of this.
      if (!response.writableFinished) gone.abort(new DOMException("the client went away", "AbortError"));
    });
    const access = new Access(fs, open, gone.signal);
    const ports = {
      request,
      response,
      user: signedIn?.user,
      signedIn,
      access,
      locks,
      lockedVersions,
      unfinished,
      etags,
      garbage,
      longBodies,
      syncToken,
      caller,
      isReadOnly,
      folderPage,
      clock,
      random,
      log,
    };
    try {
      await dispatch(ports);
    } catch (error) {
      if (gone.signal.aborted) response.destroy();
      else fail(request, response, error, log);
    }
  };
}

type Ports = Omit<Call, "href" | "conditions" | "tokens">;

async function dispatch(ports: Ports): Promise<void> {
  const { request, response } = ports;
  const method = request.method ?? "";
  response.setHeader("dav", CLASSES);
  if (method === "OPTIONS" && request.url === "*") return options({ ...ports, ...NOWHERE });
  const run = METHODS.get(method);
  if (run === undefined) {
    throw new Refusal(405, "This method is not supported.", { headers: { allow: allowed(ports.isReadOnly) } });
  }
  const href = parseTarget(request.url ?? "");
  const conditions = conditionsOf(request.headers);
  await run({ ...ports, href, conditions, tokens: submittedTokens(conditions) });
}

/** A read-only share refuses locks but announces them: otherwise davfs2 accepts writes, and loses them on upload. */
const CLASSES = "1, 2";

const NOWHERE = { href: { path: [], isFolder: true }, conditions: [], tokens: new Set<string>() };

async function options(call: Call): Promise<void> {
  // As Apache announces it: cadaver sets the executable bit only then.
  answer(call, 200, {
    dav: [CLASSES, `<${APACHE_SETS}>`],
    "ms-author-via": "DAV",
    allow: allowed(call.isReadOnly),
    "accept-ranges": "bytes",
  });
}

const READING: readonly [string, Method][] = [
  ["OPTIONS", options],
  ["GET", get],
  ["HEAD", get],
  ["PROPFIND", propfind],
  ["REPORT", report],
];
const CHANGING: readonly [string, Method][] = [
  ["PUT", put],
  ["DELETE", remove],
  ["MKCOL", mkcol],
  ["COPY", copy],
  ["MOVE", move],
  ["PROPPATCH", proppatch],
  ["LOCK", lock],
  ["UNLOCK", unlock],
];
const METHODS: ReadonlyMap<string, Method> = new Map([...READING, ...CHANGING]);

function allowed(isReadOnly: boolean): string {
  return (isReadOnly ? READING : [...READING, ...CHANGING]).map(([name]) => name).join(", ");
}

function fail(request: IncomingMessage, response: ServerResponse, error: unknown, log: Log): void {
  const refusal = refusalOf(error);
  const { status } = refusal;
  if (status >= 500 || response.headersSent) {
    const where = { method: request.method, path: escapeForPrint(request.url ?? "") };
    log.error("a WebDAV request failed", { ...where, status, error: describeError(error) });
  }
  if (response.headersSent) {
    // The client must not take a partial answer for the whole.
    response.destroy();
    return;
  }
  const isLong = (declaredBytes(request) ?? Infinity) > MAX_DISCARDED_BYTES && !request.readableEnded;
  const body = status === 304 ? "" : refusal.body;
  response.writeHead(status, {
    ...refusal.details.headers,
    ...(status === 304 ? {} : { "content-type": refusal.contentType, "content-length": Buffer.byteLength(body) }),
    // The rest of the body is not read.
    ...(isLong ? { connection: "close" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}
