/** Sends an answer: whole, or streamed as fast as its reader takes it; a stalled reader is cut. */
import type { ServerResponse } from "node:http";
import type { Clock } from "../../base/clock.ts";
import { BODY_PATIENCE_MS } from "../../base/limits.ts";
import { ANSWER_WRITE_BYTES, SMALL_ANSWER_BYTES } from "../limits.ts";
import { LOOK_MS, READER_PATIENCE_MS, whenInTheWay } from "../../http/slow-clients.ts";
import type { Answer } from "./route.ts";

export interface ReplyOptions {
  /** HEAD: everything but the body. */
  readonly head: boolean;
  /** Closes the connection afterwards. */
  readonly last: boolean;
  readonly clock: Clock;
}

/**
 * Writes head and body, and returns the body's bytes; the caller ends the answer (`endAnswer`). Rejects if the body fails midway or its
 * reader stalls: then the connection must be cut, since the head promised more.
 */
export async function writeAnswer(response: ServerResponse, answer: Answer, options: ReplyOptions): Promise<number> {
  const body = answer.json === undefined ? answer.body : Buffer.from(`${JSON.stringify(answer.json)}\n`);
  const whole = body === undefined || body instanceof Uint8Array;
  const headers: Record<string, string | number> = { "x-content-type-options": "nosniff" };
  if (answer.json !== undefined) {
    headers["content-type"] = "application/json";
    headers["cache-control"] = "no-store";
  }
  Object.assign(headers, answer.headers);
  if (whole && !hasNoBody(answer.status)) headers["content-length"] ??= body?.length ?? 0;
  if (options.last) headers["connection"] = "close";
  response.writeHead(answer.status, headers);
  if (body === undefined || options.head || hasNoBody(answer.status)) {
    response.flushHeaders();
    if (!whole) await body[Symbol.asyncIterator]().return?.();
    return 0;
  }
  if (!whole) return stream(response, body, options.clock, answer);
  if (body.length <= SMALL_ANSWER_BYTES) response.write(body);
  else await writeWhole(response, body, options.clock, answer);
  return body.length;
}

async function writeWhole(response: ServerResponse, body: Uint8Array, clock: Clock, answer: Answer): Promise<void> {
  for (let at = 0; at < body.length && !response.destroyed; at += ANSWER_WRITE_BYTES) {
    await write(response, [body.subarray(at, at + ANSWER_WRITE_BYTES)], clock, answer.isInTheWay);
  }
}

/** Ends an answer. Calls `cut` if the reader does not take the rest in time; usually the system has taken it at once. */
export function endAnswer(response: ServerResponse, clock: Clock, cut: () => void): void {
  response.end();
  // node:http joins what is written until the next tick.
  process.nextTick(() => {
    if (response.writableLength === 0) return;
    const timer = clock.after(BODY_PATIENCE_MS, cut);
    const over = () => timer[Symbol.dispose]();
    response.once("finish", over).once("close", over);
  });
}

function hasNoBody(status: number): boolean {
  return status === 204 || status === 304;
}

const NOTHING = new Uint8Array();

async function stream(
  response: ServerResponse,
  body: AsyncIterable<Uint8Array | readonly Uint8Array[]>,
  clock: Clock,
  { isInTheWay, isBegun = false }: Answer,
): Promise<number> {
  let sent = 0;
  // Otherwise the head goes out with the first piece: one write instead of two, and the reader wakes once.
  if (!isBegun) response.flushHeaders();
  for await (const pieces of body) {
    for (const part of partsOf(pieces instanceof Uint8Array ? [pieces] : pieces)) {
      if (response.destroyed) return sent;
      for (const piece of part) sent += piece.length;
      await write(response, part, clock, isInTheWay);
    }
  }
  return sent;
}

/** Consecutive pieces of ANSWER_WRITE_BYTES together, or more with the last of them. */
function* partsOf(pieces: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  let from = 0;
  let bytes = 0;
  for (const [index, piece] of pieces.entries()) {
    bytes += piece.length;
    if (bytes < ANSWER_WRITE_BYTES && index + 1 < pieces.length) continue;
    yield pieces.slice(from, index + 1);
    from = index + 1;
    bytes = 0;
  }
}

/** Writes them as one, and waits until the system has taken all. Rejects with an AbortError if it does not. */
function write(
  response: ServerResponse,
  pieces: readonly Uint8Array[],
  clock: Clock,
  isInTheWay: (() => boolean) | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (failure?: string) => {
      timer[Symbol.dispose]();
      watch[Symbol.dispose]();
      response.off("close", onClose);
      if (failure === undefined) resolve();
      else reject(new DOMException(failure, "AbortError"));
    };
    const onClose = () => end("the client went away");
    const timer = clock.after(BODY_PATIENCE_MS, () => end("the reader stopped reading"));
    const stands = standstill(response, clock);
    const blocks = isInTheWay && (() => stands() && isInTheWay());
    const watch = whenInTheWay(clock, blocks, () => end("the reader stopped reading while others wait"), LOOK_MS);
    response.once("close", onClose);
    // node:http joins what is written until the next tick.
    for (const piece of pieces.slice(0, -1)) response.write(piece);
    response.write(pieces.at(-1) ?? NOTHING, (error) => end(error ? "the client went away" : undefined));
  });
}

/** Call it repeatedly: returns whether the reader has taken nothing for too long. */
function standstill(response: ServerResponse, clock: Clock): () => boolean {
  let [left, sinceMs] = [unsentBytes(response), clock.monotonicMs()];
  return () => {
    const now = unsentBytes(response);
    if (now !== left) [left, sinceMs] = [now, clock.monotonicMs()];
    return clock.monotonicMs() - sinceMs >= READER_PATIENCE_MS;
  };
}

/** Bytes that the system has not taken yet, as in Node.js's own socket time-out. Undefined if unknown. */
function unsentBytes({ socket }: ServerResponse): number | undefined {
  return (socket as { readonly _handle?: { readonly writeQueueSize?: number } } | null)?._handle?.writeQueueSize;
}
