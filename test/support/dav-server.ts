/** The WebDAV door over a filesystem in memory, behind a node:http server on a port chosen by the kernel. */
import {
  createServer,
  request as send,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { silentLog, type Log } from "../../src/base/log.ts";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { SignedIn } from "../../src/webdav/call.ts";
import { createDavHandler, type DavHandlerOptions } from "../../src/webdav/handler.ts";
import type { Lock, LockStore } from "../../src/webdav/locks/locks.ts";
import { userOf } from "../../src/webdav/sign-in/login.ts";
import type { Unfinished, UnfinishedStore } from "../../src/files/unfinished.ts";
import { VfsHarness } from "./vfs-harness.ts";

export interface DavAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly bytes: Buffer;
}

export class MemoryLockStore implements LockStore {
  locks: readonly Lock[] = [];
  load(): readonly Lock[] {
    return structuredClone(this.locks);
  }
  save(locks: readonly Lock[]): void {
    this.locks = structuredClone(locks);
  }
}

export class MemoryUnfinishedStore implements UnfinishedStore {
  /** What was saved, latest last. */
  readonly saved: (readonly Unfinished[])[] = [];
  load(): readonly Unfinished[] {
    return structuredClone(this.saved.at(-1) ?? []);
  }
  save(all: readonly Unfinished[]): void {
    this.saved.push(structuredClone(all));
  }
}

export class DavServer implements AsyncDisposable {
  readonly fs: VfsHarness;
  readonly locks: MemoryLockStore;
  readonly #server: Server;
  readonly port: number;

  private constructor(fs: VfsHarness, locks: MemoryLockStore, server: Server, port: number) {
    this.fs = fs;
    this.locks = locks;
    this.#server = server;
    this.port = port;
  }

  static async start(
    options: Partial<DavHandlerOptions> = {},
    parts: { fs?: VfsHarness; locks?: MemoryLockStore; clock?: Clock; log?: Log; recheck?: SignedIn["recheck"] } = {},
  ): Promise<DavServer> {
    const clock = parts.clock ?? systemClock;
    const fs = parts.fs ?? (await VfsHarness.create({}, clock));
    const locks = parts.locks ?? new MemoryLockStore();
    const handle = createDavHandler({
      fs: fs.vfs,
      contentNames: fs.vfs,
      contentConfig: fs.contentConfig,
      clock,
      random: systemRandom,
      log: parts.log ?? silentLog,
      readOnly: false,
      locks,
      unfinished: new MemoryUnfinishedStore(),
      syncToken: undefined,
      caller: { uid: 7, gid: 8 },
      ...options,
    });
    // Everyone is let in, under any name.
    const serve = (request: IncomingMessage, response: ServerResponse) =>
      void handle(request, response, { user: userOf(request), recheck: parts.recheck ?? (() => undefined) });
    const server = createServer(serve).on("checkContinue", serve);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new DavServer(fs, locks, server, (server.address() as AddressInfo).port);
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Sends a request on a new connection, with `path` unchanged. The body has a length unless chunked. */
  async send(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body: string | Uint8Array = "",
  ): Promise<DavAnswer> {
    const length =
      body.length === 0 || "transfer-encoding" in headers ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const all = { ...length, ...headers };
    const request = send({ host: "127.0.0.1", port: this.port, method, path, headers: all, agent: false });
    request.end(body);
    const [response] = await once(request, "response");
    const pieces: Buffer[] = [];
    for await (const piece of response) pieces.push(piece as Buffer);
    const bytes = Buffer.concat(pieces);
    return { status: response.statusCode, headers: response.headers, body: bytes.toString(), bytes };
  }

  /** Makes a symlink, which WebDAV clients cannot. */
  async link(target: string, path: string): Promise<void> {
    const [parent, name] = await this.fs.place(path);
    await this.fs.run((vfs) => vfs.makeSymlink(parent, name, target, { uid: 0, gid: 0 }));
  }

  /** Returns only the status. */
  async status(...parts: Parameters<DavServer["send"]>): Promise<number> {
    return (await this.send(...parts)).status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
