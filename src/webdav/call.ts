/** One request in this door: what a method receives, and how it answers. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { FileName, Ino } from "../base/ids.ts";
import type { Ports } from "../base/ports.ts";
import type { Caller } from "../vfs/filesystem.ts";
import type { Access } from "../files/access.ts";
import type { Denial } from "../http/denial.ts";
import type { Etags } from "./properties/etags.ts";
import type { Href } from "./href.ts";
import type { ConditionList } from "./locks/if-header.ts";
import type { LongBodies } from "./long-bodies.ts";
import type { LockedVersions } from "./locks/locked-versions.ts";
import type { Locks } from "./locks/locks.ts";
import type { Garbage } from "../runtime/garbage.ts";
import type { SyncSource } from "./sync-source.ts";
import type { UnfinishedWork } from "../files/unfinished.ts";

export interface Call extends Ports {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly href: Href;
  readonly access: Access;
  /** The If header's lists. */
  readonly conditions: readonly ConditionList[];
  /** Lock tokens sent with it. */
  readonly tokens: ReadonlySet<string>;
  /** The signed-in name. Undefined: no sign-in is required. */
  readonly user: string | undefined;
  readonly signedIn: SignedIn | undefined;
  readonly locks: Locks;
  readonly lockedVersions: LockedVersions;
  readonly unfinished: UnfinishedWork;
  readonly etags: Etags;
  readonly garbage: Garbage;
  readonly longBodies: LongBodies;
  readonly syncToken: SyncSource | undefined;
  readonly caller: Caller;
  readonly isReadOnly: boolean;
  readonly folderPage: FolderPage | undefined;
}

/** Who sent a request. */
export interface SignedIn {
  readonly user: string | undefined;
  /** Undefined: the login is still valid. */
  recheck(): Denial | undefined;
}

export type Method = (call: Call) => Promise<void>;

/** Answers a GET or HEAD of a folder. */
export type FolderPage = (call: Call, ino: Ino, path: readonly FileName[]) => Promise<void>;

/** Answers with a short body or none. */
export function answer(
  { request, response }: Call,
  status: number,
  headers: OutgoingHttpHeaders = {},
  body = "",
): void {
  const bytes = Buffer.from(body);
  const hasBody = status !== 204 && status !== 304;
  response.writeHead(status, hasBody ? { ...headers, "content-length": bytes.length } : headers);
  response.end(hasBody && request.method !== "HEAD" ? bytes : undefined);
}

/** Writes a piece of a body, and waits until there is room for the next. Rejects if the client disconnected. */
export async function writePiece({ response, access }: Call, piece: Uint8Array | string): Promise<void> {
  access.signal.throwIfAborted();
  if (response.write(piece)) return;
  await new Promise<void>((resolve, reject) => {
    const onDrain = () => settle(resolve);
    const onAbort = () => settle(() => reject(access.signal.reason));
    const settle = (act: () => void) => {
      response.off("drain", onDrain);
      access.signal.removeEventListener("abort", onAbort);
      act();
    };
    response.on("drain", onDrain);
    access.signal.addEventListener("abort", onAbort);
  });
}
