/**
 * BLAKE3, the project's only hash, in the fastest form for each size (0.25 µs for a tree key, 8 µs for 64 KiB).
 *
 * Uses WebAssembly below 4 KiB, and the native module above and for derive_key, which WebAssembly lacks. WebAssembly takes 10 ms
 * to start, so the native module makes the first short hashes, too. Without it, WebAssembly and JavaScript take over.
 */
import { createRequire } from "node:module";
import { blake3 as nobleBlake3 } from "@noble/hashes/blake3.js";
import type { createBLAKE3 as CreateBlake3, IHasher } from "hash-wasm";
import { orElse } from "../base/unless.ts";

export const HASH_BYTES = 32;

const NATIVE_FROM_BYTES = 4096;
const require = createRequire(import.meta.url);
const native = loadNative();
let plain = native === undefined ? await createPlain() : undefined;
/** Starting WebAssembly takes as long as this many short hashes by the native module. */
let shortLeft = 4_096;

/** blake3-256 of `bytes`: 32 bytes. */
export function blake3(bytes: Uint8Array): Uint8Array {
  if (native === undefined || (plain !== undefined && bytes.length < NATIVE_FROM_BYTES))
    return (plain as IHasher).init().update(bytes).digest("binary");
  // Should it fail, the native module goes on.
  if (bytes.length < NATIVE_FROM_BYTES && --shortLeft === 0) startPlain().catch(() => {});
  return native.blake3(bytes);
}

/** A keyed blake3-256 with this 32-byte key: about 0.25 µs for a tree key. */
export async function createKeyedHash(key: Uint8Array): Promise<(bytes: Uint8Array) => Uint8Array> {
  const hasher = await createPlain(key);
  return (bytes) => hasher.init().update(bytes).digest("binary");
}

/**
 * blake3 in derive_key mode: every use of the hash other than block CIDs has its own context string
 * (docs/reference/formats.md, Blocks), so that hashes of different uses cannot be confused.
 */
export function deriveHash(context: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  if (native !== undefined) return native.Blake3Hasher.deriveKey(context, bytes);
  return nobleBlake3(bytes, { context: Buffer.from(context) });
}

/** Only this hash: the whole package takes 20 ms to load, in each command and thread. */
function createPlain(key?: Uint8Array): Promise<IHasher> {
  const { createBLAKE3 } = require("hash-wasm/dist/blake3.umd.min.js") as { createBLAKE3: typeof CreateBlake3 };
  return createBLAKE3(256, key);
}

async function startPlain(): Promise<void> {
  plain = await createPlain();
}

interface NativeHash {
  blake3(bytes: Uint8Array): Uint8Array;
  readonly Blake3Hasher: { deriveKey(context: string, bytes: Uint8Array): Uint8Array };
}

function loadNative(): NativeHash | undefined {
  return orElse(undefined, () => require("@napi-rs/blake-hash") as NativeHash);
}
