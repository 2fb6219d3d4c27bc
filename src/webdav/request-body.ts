/** The body of a WebDAV request, with the refusals of this door. */
import type { IncomingMessage } from "node:http";
import { type BodyProblem, declaredBytes, RequestBody } from "../http/request-body.ts";
import type { Call } from "./call.ts";
import { Refusal } from "./refusal.ts";

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
    throw new Refusal(400, "X-Expected-Entity-Length must be the number of bytes that follow.");
  }
  return expected;
}

/** Pieces as they come. Throws a Refusal: 413, 408, 415; rejects when the client went away before the end. */
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
