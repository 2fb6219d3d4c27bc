/** Fuzzing of decoders: damages bytes, and checks what a strict decoder makes of them. */
import * as fc from "fast-check";
import { hasCode } from "../../src/base/errors.ts";

/** Replaces, inserts, removes or cuts off at a position, given as a fraction of the length. */
export interface Mutation {
  readonly at: number;
  readonly to: number;
  readonly kind: number;
}

export function mutate(bytes: Uint8Array, edits: readonly Mutation[]): Buffer {
  let result = Buffer.from(bytes);
  for (const { at, to, kind } of edits) {
    const place = Math.min(Math.floor(at * result.length), Math.max(result.length - 1, 0));
    const before = result.subarray(0, place);
    const after = result.subarray(place + 1);
    const here = result.subarray(place, place + 1);
    if (kind % 8 === 0) result = Buffer.concat([before, Buffer.of(to), here, after]);
    else if (kind % 8 === 1) result = Buffer.concat([before, after]);
    else if (kind % 8 === 2) result = Buffer.from(before);
    else result = Buffer.concat([before, Buffer.of(kind % 8 === 3 ? (here[0] ?? 0) ^ (1 << (to % 8)) : to), after]);
  }
  return result;
}

export function arbitraryMutations(): fc.Arbitrary<Mutation[]> {
  const byte = fc.integer({ min: 0, max: 255 });
  const at = fc.double({ min: 0, max: 1, noNaN: true });
  return fc.array(fc.record({ at, to: byte, kind: byte }), { minLength: 1, maxLength: 4 });
}

/**
 * Runs `decodeAndEncode` on damaged input. "refused": it threw a code that decoders may throw; "kept": it returned the same
 * bytes; otherwise a description of what a strict decoder never does.
 */
export function judge(input: Uint8Array, decodeAndEncode: (input: Uint8Array) => Uint8Array): string {
  try {
    return Buffer.from(decodeAndEncode(input)).equals(input) ? "kept" : "accepted, but spelt otherwise";
  } catch (error) {
    return REFUSALS.some((code) => hasCode(error, code)) ? "refused" : `thrown: ${String(error)}`;
  }
}

const REFUSALS = ["format_invalid", "feature_unknown", "bad_signature", "key_invalid"] as const;

export const STRICT = ["refused", "kept"];
