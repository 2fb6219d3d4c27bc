/** The body of a WebDAV request, with this door's refusals. */
import type { IncomingMessage } from "node:http";
import { type BodyProblem, declaredBytes, RequestBody } from "../http/request-body.ts";
import type { Call } from "./call.ts";
import { Refusal } from "./refusal.ts";

/**
 * The body's length, as far as its sender declared it: macOS sends files in chunks, and uses a header of its own for the
 * length. Throws a Refusal, 400.
 */
export function expectedBytes(request: IncomingMessage): number | undefined {
  const declared = declaredBytes(request);
  const text = request.headers["x-expected-entity-length"];
  if (text === undefined) return declared;
  const expected = /^\d{1,15}$/.test(String(text)) ? Number(text) : undefined;
  if (expected === undefined || expected !== (declared ?? expected)) {
    throw new Refusal(400, "X-Expected-Entity-Length must be the number of bytes that follow.");
  }
  return expected;
}

/** Pieces as they arrive. Throws a Refusal: 413, 408, 415; rejects if the client disconnected before the end. */
export function readBody({ request, response, clock }: Call, maxBytes: number): AsyncGenerator<Buffer> {
  return new RequestBody(request, response, { clock, refuse: refuseBody }).read(maxBytes);
}

/** The whole body. Throws as `readBody`. */
export async function readWhole(call: Call, maxBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of readBody(call, maxBytes)) pieces.push(piece);
  return Buffer.concat(pieces);
}

function refuseBody({ what, message }: BodyProblem): Refusal {
  return new Refusal(STATUS[what], message);
}

const STATUS: Readonly<Record<BodyProblem["what"], number>> = {
  encoding: 415,
  "too long": 413,
  "too slow": 408,
  "in the way": 503,
  "read before": 400,
};
