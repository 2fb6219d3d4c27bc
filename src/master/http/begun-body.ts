/** Reserves memory only for bodies that really arrive: a tiny upload could hold up others of the same owner for long. */
import { FREE_BODY_BYTES } from "../limits.ts";

/**
 * Passes a body on once FREE_BODY_BYTES of it have arrived, or all of it, and `reserve` has resolved. Until then it uses no
 * more memory than the connection does anyway.
 */
export async function* begunBody(
  body: AsyncIterable<Uint8Array>,
  reserve: () => Promise<void> = async () => {},
): AsyncGenerator<Uint8Array> {
  const pieces = body[Symbol.asyncIterator]();
  try {
    const { first, failure } = await begin(pieces);
    if (first.length > 0) await reserve();
    yield* first;
    // Bytes before a failure count too: an interrupted upload need not send them again.
    if (failure !== undefined) throw failure.cause;
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) yield next.value;
  } finally {
    await pieces.return?.();
  }
}

interface Beginning {
  readonly first: readonly Uint8Array[];
  readonly failure?: { readonly cause: unknown };
}

async function begin(pieces: AsyncIterator<Uint8Array>): Promise<Beginning> {
  const first: Uint8Array[] = [];
  try {
    for (let bytes = 0; bytes < FREE_BODY_BYTES;) {
      const next = await pieces.next();
      if (next.done === true) break;
      first.push(next.value);
      bytes += next.value.length;
    }
    return { first };
  } catch (cause) {
    return { first, failure: { cause } };
  }
}
