/** What a handler of the master sees of a request, and what it answers: no handler touches node:http itself. */
import type { IncomingHttpHeaders } from "node:http";
import type { Wallet } from "../../base/ids.ts";

/** A method and a path with named parts, and what answers it. */
export interface Route {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Such as "/v1/buckets/{bucket}/root". */
  readonly path: string;
  /** "public" is answered without a bearer; `caller` is undefined then. */
  readonly access: "public" | "bearer";
  handle(call: Call): Promise<Answer>;
}

export interface Call {
  /** The named parts of the path, decoded once. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Whose bearer came with it. Throws `bad_token` where the route is public. */
  readonly caller: Caller;
  /**
   * The body as it comes in, in pieces; to be read once, or not at all. Throws `limit_exceeded` past `maxBytes`, and `time_out` when
   * nothing came for 30 s.
   */
  body(maxBytes: number): AsyncIterable<Uint8Array>;
  /** The body as JSON, 1 MiB at most. Throws `malformed_request`, `limit_exceeded`. */
  json(): Promise<unknown>;
  /** Fires when the client went away, or the master is about to stop and the answer has no end of its own (watch). */
  readonly signal: AbortSignal;
}

export interface Caller {
  readonly wallet: Wallet;
  /** The bearer as it was sent, for calls that are made on the caller's behalf. */
  readonly bearer: string;
}

/** Either `json` or `body`, or neither. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  /** A stream is sent as it comes, with back-pressure; its `return` is called when the client goes away. */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>;
}
