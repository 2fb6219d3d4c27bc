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
  /** Answered only as often as strangers are from one address (rate-limits.ts): it needs no bearer, and nobody needs it often. */
  readonly paced?: boolean;
  /** The answer's body has no end of its own (watch): it is ended when the master stops or the caller's bearer ends. */
  readonly endless?: boolean;
  /** Throws a `Refusal`, or an error of the layers below that has an answer (failure.ts). */
  handle(call: Call): Promise<Answer>;
}

export interface Call {
  /** Whether the answer's body is left out (HEAD): what goes into it need not be read. */
  readonly isHead: boolean;
  /** The named parts of the path, decoded once. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Whose bearer came with it. Throws `bearer_missing` where the route is public. */
  readonly caller: Caller;
  /**
   * The body as it comes in, in pieces; to be read once, or not at all. Throws `limit_exceeded` past `maxBytes`, `time_out` when
   * nothing came for 30 s, `in_the_way` when nothing came for 5 s and `isInTheWay` says that others wait for what is held meanwhile,
   * and an AbortError when the client went away.
   */
  body(maxBytes: number, isInTheWay?: () => boolean): AsyncIterable<Uint8Array>;
  /** The body as JSON, 1 MiB at most. Throws `malformed_request`, `limit_exceeded`. */
  json(): Promise<unknown>;
  /** Fires when the client went away before it had its answer; where the route is endless, also when the answer is to end. */
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
  /**
   * A stream is sent as it comes, with back-pressure: each piece, or pieces that go out together, is with the system when the next is
   * asked for, so that its memory may be used again. Its `return` is called when the client goes away.
   */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array | readonly Uint8Array[]>;
  /** Whether a stream has its first piece, so that the head need not go out ahead of it. */
  readonly isBegun?: boolean;
  /** Whether others wait for what a stream holds: a reader that stands still is cut sooner then. */
  readonly isInTheWay?: () => boolean;
}
