/** The WebDAV door of a simulated machine: the server's own handler, with requests and answers passed without sockets. */
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { Readable, Writable } from "node:stream";
import { silentLog } from "../base/log.ts";
import { createDavHandler, type DavHandler, type DavHandlerOptions } from "../webdav/handler.ts";
import type { Lock } from "../webdav/locks/locks.ts";
import type { Unfinished } from "../files/unfinished.ts";
import { CALLER } from "./vfs-driver.ts";

/** The door's state that survives a restart. */
export class DavState {
  locks: readonly Lock[] = [];
  unfinished: readonly Unfinished[] = [];

  copy(): DavState {
    return Object.assign(new DavState(), { locks: this.locks, unfinished: this.unfinished });
  }
}

export interface DavRequest {
  readonly method: string;
  /** Without a leading slash. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export interface DavAnswer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly bytes: Buffer;
}

export type DavDoorOptions = Pick<DavHandlerOptions, "fs" | "contentNames" | "contentConfig" | "clock" | "random"> & {
  readonly state: DavState;
};

export class DavDoor {
  readonly #handle: DavHandler;

  constructor({ state, ...options }: DavDoorOptions) {
    this.#handle = createDavHandler({
      ...options,
      log: silentLog,
      readOnly: false,
      locks: { load: () => structuredClone(state.locks), save: (locks) => void (state.locks = structuredClone(locks)) },
      unfinished: {
        load: () => structuredClone(state.unfinished),
        save: (all) => void (state.unfinished = structuredClone(all)),
      },
      syncToken: undefined,
      caller: CALLER,
    });
  }

  async send({ method, path, headers = {}, body = new Uint8Array() }: DavRequest): Promise<DavAnswer> {
    const all = { ...headers, "content-length": String(body.length), host: "simulated" };
    const response = new Response();
    await this.#handle(requestOf(method, urlOf(path), all, body), response as unknown as ServerResponse);
    return { status: response.statusCode, headers: response.headers, bytes: Buffer.concat(response.pieces) };
  }
}

/** The URL of a path, without its host. */
export function urlOf(path: string): string {
  return `/${path.split("/").map(encodeURIComponent).join("/")}`;
}

function requestOf(method: string, url: string, headers: IncomingHttpHeaders, body: Uint8Array): IncomingMessage {
  const request = Readable.from(body.length === 0 ? [] : [Buffer.from(body)], { objectMode: false });
  return Object.assign(request, { method, url, headers, httpVersion: "1.1" }) as unknown as IncomingMessage;
}

class Response extends Writable {
  statusCode = 0;
  readonly headers: OutgoingHttpHeaders = {};
  readonly pieces: Buffer[] = [];

  get headersSent(): boolean {
    return this.statusCode !== 0;
  }

  setHeader(name: string, value: string): void {
    this.headers[name] = value;
  }

  writeHead(status: number, headers: OutgoingHttpHeaders = {}): this {
    this.statusCode = status;
    Object.assign(this.headers, headers);
    return this;
  }

  override _write(piece: Buffer, _encoding: string, done: () => void): void {
    this.pieces.push(Buffer.from(piece));
    done();
  }
}
