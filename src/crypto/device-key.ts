/**
 * Device keys: ed25519 (RFC 8032). Every agent state and writing slot has its own; it signs commits, and its hash is the
 * writer id.
 *
 * node:crypto signs and verifies (47,000 and 13,700 a second). It accepts invalid public keys, so those are checked
 * separately, once per key.
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { BoundedMap } from "../base/bounded-map.ts";
import { SynclineError } from "../base/errors.ts";
import type { WriterId } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { blake3 } from "./hash.ts";

export const DEVICE_KEY_BYTES = 32;
export const DEVICE_SIGNATURE_BYTES = 64;

export interface DeviceKey {
  readonly writer: WriterId;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** The secret that everything else derives from: 32 bytes, for storage. */
  readonly seed: Uint8Array;
  /** 64 bytes. */
  sign(message: Uint8Array): Uint8Array;
}

export function createDeviceKey(random: Random): DeviceKey {
  return deviceKeyFromSeed(random.bytes(DEVICE_KEY_BYTES));
}

/** Throws `key_invalid` unless `seed` has 32 bytes. */
export function deviceKeyFromSeed(seed: Uint8Array): DeviceKey {
  if (seed.length !== DEVICE_KEY_BYTES)
    throw new SynclineError("key_invalid", "A device key's seed must be 32 bytes long.");
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: "der", type: "pkcs8" });
  const publicKey = Uint8Array.from(
    createPublicKey(key).export({ format: "der", type: "spki" }).subarray(SPKI_HEAD.length),
  );
  return {
    writer: writerOf(publicKey),
    publicKey,
    seed: Uint8Array.from(seed),
    sign: (message) => new Uint8Array(sign(null, message, key)),
  };
}

/** blake3(key)[0..16] (docs/reference/formats.md, Device certificate). */
export function writerOf(publicKey: Uint8Array): WriterId {
  return Buffer.from(blake3(publicKey)).toString("hex", 0, 16) as WriterId;
}

/** Throws `key_invalid` for non-canonical encodings and points of small order. */
export function checkDeviceKey(publicKey: Uint8Array): void {
  let sound = publicKey.length === DEVICE_KEY_BYTES;
  try {
    sound &&= !ed25519.Point.fromBytes(publicKey, false).isSmallOrder();
  } catch {
    sound = false;
  }
  if (!sound) throw new SynclineError("key_invalid", "A device key is not a canonical ed25519 key of full order.");
}

/** Whether this key made the signature. The key must have passed `checkDeviceKey`. */
export function verifyDeviceSignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== DEVICE_SIGNATURE_BYTES) return false;
  return verify(null, message, keyObjectOf(publicKey), signature);
}

const KEYS_REMEMBERED = 256;
// DER around the raw key (RFC 8410).
const PKCS8_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI_HEAD = Buffer.from("302a300506032b6570032100", "hex");

/** A bucket has few devices, and making a key object takes as long as verifying. */
const keyObjects = new BoundedMap<string, KeyObject>(KEYS_REMEMBERED);

function keyObjectOf(publicKey: Uint8Array): KeyObject {
  const name = Buffer.from(publicKey).toString("latin1");
  const known = keyObjects.get(name);
  if (known !== undefined) return known;
  const made = createPublicKey({ key: Buffer.concat([SPKI_HEAD, publicKey]), format: "der", type: "spki" });
  keyObjects.set(name, made);
  return made;
}
