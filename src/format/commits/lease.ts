/**
 * A lease: packs that a writer has uploaded, or is about to, before the commit object that will list them. Collections keep
 * them for a day from the lease's date in the store. dag-cbor `[1, [reference 33, …]]`, ascending.
 */
import { SynclineError } from "../../base/errors.ts";
import type { PackName } from "../../base/ids.ts";
import { decodeCbor, encodeCbor } from "../blocks/dag-cbor.ts";
import { packFromReference, packReference } from "../blocks/object-name.ts";

/** How long a lease protects packs, and `bases/<writer>` a root, counted from its date in the store. */
export const LEASE_LIFE_MS = 24 * 60 * 60 * 1000;
export const BASES_LIFE_MS = 90 * LEASE_LIFE_MS;

export function encodeLease(packs: readonly PackName[]): Uint8Array {
  return encodeCbor([1, packs.map(packReference).sort(Buffer.compare)]);
}

/** Throws `format_invalid`. */
export function decodeLease(bytes: Uint8Array): PackName[] {
  const value = decodeCbor(bytes);
  const [format, references] = Array.isArray(value) ? value : [];
  if (format !== 1 || !Array.isArray(references) || value === null) {
    throw new SynclineError("format_invalid", "A lease is malformed.");
  }
  const packs = references.map((reference: unknown) => {
    if (reference instanceof Uint8Array) return packFromReference(reference);
    throw new SynclineError("format_invalid", "A lease has an entry that is not a pack reference.");
  });
  if (Buffer.compare(encodeLease(packs), bytes) === 0) return packs;
  throw new SynclineError("format_invalid", "A lease does not have its one canonical encoding.");
}
