/**
 * Wallets: secp256k1 keys and their Ethereum addresses. A wallet owns buckets, certifies devices and signs in to masters.
 *
 * Signatures are 65 bytes r ‖ s ‖ v with low s, so each has one encoding; only tokens may encode v in two ways (token.ts).
 */
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { SynclineError } from "../base/errors.ts";
import type { Wallet } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { type TypedData, typedDataDigest } from "./typed-data.ts";

// A signing table of half the library's width takes half the time to make; most commands sign at most once.
secp256k1.Point.BASE.precompute(4);

export const WALLET_BYTES = 20;
export const WALLET_SIGNATURE_BYTES = 65;

/** Signs for a wallet: a key in memory, later a hardware wallet. */
export interface WalletSigner {
  readonly wallet: Wallet;
  /** 65 bytes r ‖ s ‖ v, low s, v 27 or 28. */
  sign(data: TypedData): Promise<Uint8Array>;
}

/** A signer for this 32-byte private key. Throws `key_invalid`. */
export function walletSigner(privateKey: Uint8Array): WalletSigner {
  const key = Uint8Array.from(privateKey);
  const wallet = walletOfKey(key);
  return { wallet, sign: async (data) => signDigest(key, typedDataDigest(data)) };
}

/** The address of this private key. Throws `key_invalid`. */
export function walletOfKey(privateKey: Uint8Array): Wallet {
  if (privateKey.length !== 32 || !secp256k1.utils.isValidSecretKey(privateKey)) {
    throw new SynclineError("key_invalid", "This is not a secp256k1 private key.", {
      hint: "A private key is 64 hex digits, not zero, and below the order of the curve.",
    });
  }
  return walletOfPublicKey(secp256k1.getPublicKey(privateKey, false));
}

export function createWalletKey(random: Random): Uint8Array {
  for (;;) {
    const key = random.bytes(32);
    if (secp256k1.utils.isValidSecretKey(key)) return key;
  }
}

/** The wallet that signed this. Throws `bad_signature` unless r, s and v are canonical and yield a key. */
export function recoverWallet(data: TypedData, signature: Uint8Array): Wallet {
  return recoverFromDigest(typedDataDigest(data), signature);
}

/** As recoverWallet, for a digest. */
export function recoverFromDigest(digest: Uint8Array, signature: Uint8Array): Wallet {
  const v = signature[64];
  if (signature.length !== WALLET_SIGNATURE_BYTES || (v !== 27 && v !== 28)) {
    throw new SynclineError("bad_signature", "A wallet's signature has the wrong length or v.");
  }
  try {
    const parsed = secp256k1.Signature.fromBytes(signature.subarray(0, 64)).addRecoveryBit(v - 27);
    if (parsed.hasHighS()) throw new SynclineError("bad_signature", "The signature's s is above half the curve order.");
    return walletOfPublicKey(parsed.recoverPublicKey(digest).toBytes(false));
  } catch (cause) {
    throw new SynclineError("bad_signature", "A wallet's signature is malformed.", { cause });
  }
}

/** From text with or without checksum case. Throws `bad_address`. */
export function parseWallet(text: string): Wallet {
  if (!/^0x[0-9a-fA-F]{40}$/.test(text)) {
    throw new SynclineError("bad_address", `${JSON.stringify(text.slice(0, 80))} is not a wallet address.`, {
      hint: "A wallet address is 0x followed by 40 hex digits.",
    });
  }
  return text.toLowerCase() as Wallet;
}

export function walletFromBytes(bytes: Uint8Array): Wallet {
  if (bytes.length !== WALLET_BYTES)
    throw new SynclineError("format_invalid", "A wallet address must be 20 bytes long.");
  return `0x${Buffer.from(bytes).toString("hex")}` as Wallet;
}

export function walletToBytes(wallet: Wallet): Uint8Array {
  return Buffer.from(wallet.slice(2), "hex");
}

function signDigest(key: Uint8Array, digest: Uint8Array): Uint8Array {
  const recovered = secp256k1.sign(digest, key, { prehash: false, lowS: true, format: "recovered" });
  const signature = new Uint8Array(WALLET_SIGNATURE_BYTES);
  signature.set(recovered.subarray(1));
  signature[64] = 27 + (recovered[0] ?? 0);
  return signature;
}

/** The last 20 bytes of the hash of the key's coordinates. */
function walletOfPublicKey(uncompressed: Uint8Array): Wallet {
  return walletFromBytes(keccak_256(uncompressed.subarray(1)).subarray(12));
}
