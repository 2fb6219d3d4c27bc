/** Sends an answer: whole, or streamed as fast as its reader takes it; a reader that stands still is cut. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { Clock } from "../../base/clock.ts";
import { BODY_PATIENCE_MS } from "../../base/limits.ts";
import type { Answer } from "./route.ts";

export interface ReplyOptions {
  /** HEAD: everything but the body. */
  readonly head: boolean;
  /** Closes the connection afterwards. */
  readonly last: boolean;
  readonly clock: Clock;
}

/**
 * Writes head and body; the caller ends the response. Answers the bytes of the body. Rejects when the body fails midway or its
 * reader does not read: then the connection must be cut, since the head promised more.
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
  if (!whole) return stream(response, body, options.clock);
  response.write(body);
  return body.length;
}

function hasNoBody(status: number): boolean {
  return status === 204 || status === 304;
}

async function stream(response: ServerResponse, body: AsyncIterable<Uint8Array>, clock: Clock): Promise<number> {
  let sent = 0;
  response.flushHeaders();
  for await (const piece of body) {
    if (response.destroyed) break;
    sent += piece.length;
    if (!response.write(piece)) await drained(response, clock);
  }
  return sent;
}

/** Until the reader took what was written. */
async function drained(response: ServerResponse, clock: Clock): Promise<void> {
  const over = new AbortController();
  const timer = clock.after(BODY_PATIENCE_MS, () =>
    over.abort(new DOMException("the reader stands still", "AbortError")),
  );
  const onClose = () => over.abort(new DOMException("the client went away", "AbortError"));
  response.once("close", onClose);
  try {
    if (response.destroyed) onClose();
    await once(response, "drain", { signal: over.signal });
  } finally {
    timer[Symbol.dispose]();
    response.off("close", onClose);
  }
}
