/** A request's body: asked for only when it is wanted, within a limit, and not waited for without end. */
import type { IncomingMessage } from "node:http";
import { BODY_PATIENCE_MS } from "../base/limits.ts";
import type { Call } from "./call.ts";
import { Refusal } from "./refusal.ts";

/** Content-Length, or undefined when its sender did not know it. */
export function declaredBytes(request: IncomingMessage): number | undefined {
  if (request.headers["transfer-encoding"] !== undefined) return undefined;
  return Number(request.headers["content-length"] ?? 0);
}

/**
 * How long a body will be, as far as its sender said so: macOS sends its files in chunks, and has a header of its own for that. Throws a
 * Refusal, 400.
 */
export function expectedBytes(request: IncomingMessage): number | undefined {
  const declared = declaredBytes(request);
  const text = request.headers["x-expected-entity-length"];
  if (text === undefined) return declared;
  const expected = /^\d{1,15}$/.test(String(text)) ? Number(text) : undefined;
  if (expected === undefined || expected !== (declared ?? expected)) {
    throw new Refusal(400, "X-Expected-Entity-Length is not how many bytes come.");
  }
  return expected;
}

/** Pieces as they come. Throws a Refusal: 413, 408, 415; rejects when the client went away before the end. */
export async function* readBody(call: Call, maxBytes: number): AsyncGenerator<Buffer> {
  const { request, response } = call;
  const encoding = request.headers["content-encoding"] ?? "identity";
  if (encoding !== "identity") throw new Refusal(415, "Bodies are taken as they are, without Content-Encoding.");
  const declared = declaredBytes(request);
  if ((declared ?? 0) > maxBytes) throw tooLarge(maxBytes);
  if (declared === 0) return;
  // Nothing is sent ahead of the answer to HTTP/1.0 (RFC 9110, section 10.1.1).
  const isWaiting = request.httpVersion !== "1.0" && /^100-continue$/i.test(request.headers.expect ?? "");
  if (isWaiting) response.writeContinue();
  for (let received = 0; ;) {
    const piece = request.read() as Buffer | null;
    if (piece !== null) {
      received += piece.length;
      if (received > maxBytes) throw tooLarge(maxBytes);
      yield piece;
    } else if (request.readableEnded) return;
    else await more(call);
  }
}

/** The whole body. Throws as `readBody`. */
export async function readWhole(call: Call, maxBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of readBody(call, maxBytes)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Until there is more to read, or the end. */
async function more({ request, clock }: Call): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const gone = () => reject(new DOMException("the client went away", "AbortError"));
    if (request.destroyed) return gone();
    const settle = (act: () => void) => () => {
      timer[Symbol.dispose]();
      request.off("readable", onMore).off("end", onMore).off("close", onGone).off("error", onGone);
      act();
    };
    const onMore = settle(resolve);
    const onGone = settle(gone);
    const timer = clock.after(
      BODY_PATIENCE_MS,
      settle(() => reject(new Refusal(408, `Nothing came for ${BODY_PATIENCE_MS / 1000} s.`))),
    );
    request.on("readable", onMore).on("end", onMore).on("close", onGone).on("error", onGone);
  });
}

function tooLarge(maxBytes: number): Refusal {
  return new Refusal(413, `A body has at most ${maxBytes} bytes here.`);
}
