/**
 * The WebDAV door: answers one HTTP request by calls of the filesystem (RFC 4918, class 1 and 2; RFC 4331; RFC 6578). Who may call, over
 * what, and from where is for the server around it to decide. Shares are served at "/".
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
import { answer, type Call, type FolderPage, type Method } from "./call.ts";
import { mkcol, remove } from "./methods/collections.ts";
import { copy } from "./methods/copy.ts";
import type { ChecksumStore } from "./properties/checksums.ts";
import { Etags } from "./properties/etags.ts";
import { finishLeft } from "../files/finish-left.ts";
import { get } from "./methods/get.ts";
import { parseTarget } from "./href.ts";
import { APACHE_SETS } from "./properties/live-properties.ts";
import { lock, unlock } from "./methods/lock-methods.ts";
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
import { SpentBytes } from "./spent-bytes.ts";
import type { SyncSource } from "./sync-source.ts";
import { UnfinishedWork, type UnfinishedStore } from "../files/unfinished.ts";

export interface DavHandlerOptions {
  readonly fs: FileSystem;
  readonly contentNames: ContentNames;
  /** How the bucket cuts files. */
  readonly contentConfig: ContentConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Refuse every change with 403. */
  readonly readOnly: boolean;
  readonly locks: LockStore;
  readonly unfinished: UnfinishedStore;
  /** Absent: checksums are known as long as the handler is. */
  readonly checksums?: ChecksumStore;
  /** Undefined: sync-collection is not offered. */
  readonly syncToken: SyncSource | undefined;
  /** Whom new files belong to. */
  readonly caller: Caller;
  /** Collects garbage that is young. */
  readonly collectYoung?: () => void;
  /** What browsers see of a folder; without it a line of text. */
  readonly folderPage?: FolderPage;
}

/**
 * Answers one request; `user`: the name that logged in, where that is asked for. Never rejects. A server that passes `checkContinue` here too has its clients asked for bodies only when they
 * are wanted.
 */
export type DavHandler = (request: IncomingMessage, response: ServerResponse, user?: string) => Promise<void>;

export function createDavHandler(options: DavHandlerOptions): DavHandler {
  const { fs, clock, random, log, readOnly: isReadOnly, syncToken, caller, folderPage } = options;
  const locks = new Locks(options.locks, clock, random);
  const unfinished = new UnfinishedWork(options.unfinished);
  const open = new OpenInodes(fs, log);
  const etags = new Etags(options.contentNames, options.contentConfig, random, options.checksums);
  const spent = new SpentBytes(options.collectYoung);
  const longBodies = new LongBodies();
  if (!isReadOnly) {
    const access = new Access(fs, open, new AbortController().signal);
    void finishLeft({ access, clock }, unfinished, log);
  }
  return async (request, response, user) => {
    const gone = new AbortController();
    response.on("close", () => {
      // An answer that left whole ends nothing, and the error takes longer to make than the rest of this.
      if (!response.writableFinished) gone.abort(new DOMException("the client went away", "AbortError"));
    });
    const access = new Access(fs, open, gone.signal);
    const ports = {
      request,
      response,
      user,
      access,
      locks,
      unfinished,
      etags,
      spent,
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
    throw new Refusal(405, "This method is not known here.", { headers: { allow: allowed(ports.isReadOnly) } });
  }
  const href = parseTarget(request.url ?? "");
  const conditions = conditionsOf(request.headers);
  await run({ ...ports, href, conditions, tokens: submittedTokens(conditions) });
}

/** A read-only share refuses locks, and says that it knows them: without them davfs2 takes writes, and loses them when it brings them. */
const CLASSES = "1, 2";

const NOWHERE = { href: { path: [], isFolder: true }, conditions: [], tokens: new Set<string>() };

async function options(call: Call): Promise<void> {
  // As Apache tells it: cadaver sets the executable bit only where it is told so.
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
    // The client must not take what it has for the whole.
    response.destroy();
    return;
  }
  const isLong = (declaredBytes(request) ?? Infinity) > MAX_DISCARDED_BYTES && !request.readableEnded;
  const body = status === 304 ? "" : refusal.body;
  response.writeHead(status, {
    ...refusal.details.headers,
    ...(status === 304 ? {} : { "content-type": refusal.contentType, "content-length": Buffer.byteLength(body) }),
    // Nobody reads the rest of the body.
    ...(isLong ? { connection: "close" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}
