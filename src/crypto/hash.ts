/**
 * BLAKE3, the one hash of the project, in the fastest form for each size (measured: docs/decisions.md).
 *
 * WebAssembly wins below 4 KiB, the native module above; without the native module WebAssembly does both.
 */
import { createRequire } from "node:module";
import { blake3 as nobleBlake3 } from "@noble/hashes/blake3.js";
import { createBLAKE3 } from "hash-wasm";

export const HASH_BYTES = 32;

const NATIVE_FROM_BYTES = 4096;
const plain = await createBLAKE3();
const native = loadNative();

/** blake3-256 of `bytes`: 32 bytes. */
export function blake3(bytes: Uint8Array): Uint8Array {
  if (native !== undefined && bytes.length >= NATIVE_FROM_BYTES) return native(bytes);
  return plain.init().update(bytes).digest("binary");
}

/** A keyed blake3-256 with this 32-byte key: about 0.25 µs for a tree key. */
export async function createKeyedHash(key: Uint8Array): Promise<(bytes: Uint8Array) => Uint8Array> {
  const hasher = await createBLAKE3(256, key);
  return (bytes) => hasher.init().update(bytes).digest("binary");
}

/**
 * blake3 in its derive_key mode: every use of the hash other than a block's address has a context string of its own
 * (format.md, Blocks), so that no hash can be taken for another's.
 */
export function deriveHash(context: string, ...parts: readonly Uint8Array[]): Uint8Array {
  let keyed = contexts.get(context);
  if (keyed === undefined) contexts.set(context, (keyed = nobleBlake3.create({ context: Buffer.from(context) })));
  const hasher = keyed.clone();
  for (const part of parts) hasher.update(part);
  return hasher.digest();
}

/** Hashers that have taken in their context, which is as long a work as a short input. */
const contexts = new Map<string, ReturnType<typeof nobleBlake3.create>>();

function loadNative(): ((bytes: Uint8Array) => Uint8Array) | undefined {
  try {
    const module = createRequire(import.meta.url)("@napi-rs/blake-hash") as { blake3(bytes: Uint8Array): Uint8Array };
    return module.blake3;
  } catch {
    return undefined;
  }
}
