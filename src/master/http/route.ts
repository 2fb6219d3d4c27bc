/** A request as handlers see it, and their answer: handlers never touch node:http itself. */
import type { IncomingHttpHeaders } from "node:http";
import type { Wallet } from "../../base/ids.ts";
import type { Peer } from "./signature-queue.ts";

/** A method, a path with named parts, and the handler. */
export interface Route {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Such as "/v1/buckets/{bucket}/root". */
  readonly path: string;
  /** "public" is answered without a bearer, and "either" with or without one. */
  readonly access: "public" | "bearer" | "either";
  /** Callers without a bearer are limited to the rate of unauthenticated calls per address (rate-limits.ts). */
  readonly paced?: boolean;
  /** The answer's body is endless (watch): it ends when the master stops or the caller's bearer ends. */
  readonly endless?: boolean;
  /** Also takes a revoked bearer whose revocation could not be recorded. */
  readonly takesUnrecorded?: boolean;
  /** Throws a `Refusal`, or a lower layer's error that failure.ts can answer. */
  handle(call: Call): Promise<Answer>;
}

export interface Call {
  /** Whether the answer's body is omitted (HEAD), so that its content need not be read. */
  readonly isHead: boolean;
  /** The named parts of the path, decoded once. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** The bearer's identity. Throws `bearer_missing` where `knownCaller` is undefined. */
  readonly caller: Caller;
  /** Undefined where the route is public, and without a valid bearer where it takes either. */
  readonly knownCaller: Caller | undefined;
  /** The caller's connection, where verifications of further bearers wait their turn. Undefined: they do not wait. */
  readonly peer: Peer | undefined;
  /**
   * The body as it arrives, in pieces; to be read once, or not at all. Throws `limit_exceeded` past `maxBytes`; `time_out`
   * after 30 s of silence; `in_the_way` after 5 s of silence while `isInTheWay` says that others wait for the memory it
   * holds; and an AbortError when the client disconnects.
   */
  body(maxBytes: number, isInTheWay?: () => boolean): AsyncIterable<Uint8Array>;
  /** The body as JSON, 1 MiB at most. Throws `malformed_request`, `limit_exceeded`. */
  json(): Promise<unknown>;
  /** Aborted if the client disconnects before its answer; on endless routes, also when the answer must end. */
  readonly signal: AbortSignal;
}

export interface Caller {
  readonly wallet: Wallet;
  /** The bearer as sent, for calls on the caller's behalf. */
  readonly bearer: string;
}

/** Either `json` or `body`, or neither. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  /**
   * A stream is sent as it is produced, with back-pressure: when the next piece is requested, the system has taken the
   * previous one (or group of pieces), so that its memory can be reused. `return` is called when the client disconnects.
   */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array | readonly Uint8Array[]>;
  /** Whether a stream's first piece is ready, so that the head can go out with it. */
  readonly isBegun?: boolean;
  /** Whether others wait for memory that a stream holds: then a stalled reader is cut sooner. */
  readonly isInTheWay?: () => boolean;
}
