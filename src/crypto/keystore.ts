/**
 * Private keys at rest: the Ethereum keystore, version 3, which every wallet program reads and writes.
 *
 * Source: https://ethereum.org/en/developers/docs/data-structures-and-encoding/web3-secret-storage/. Writes scrypt and
 * aes-128-ctr. Also reads pbkdf2, and any cost within bounds.
 */
import { createCipheriv, createDecipheriv, pbkdf2, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { SynclineError } from "../base/errors.ts";
import type { Wallet } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { parseWallet, walletOfKey } from "./wallet.ts";

/** scrypt's N for a passphrase that somebody chose: each guess takes a quarter of a gigabyte and about a second. */
export const CHOSEN_COST = 2 ** 18;
/**
 * For a random one of at least 128 bits: nobody guesses it, however cheap a guess is. Each sign-in pays this cost as well:
 * 15 ms and 4 MiB.
 */
export const RANDOM_COST = 2 ** 12;

/** The keystore as JSON text. `cost` is scrypt's N, a power of two. */
export async function encryptKey(
  privateKey: Uint8Array,
  passphrase: string,
  random: Random,
  cost: number,
): Promise<string> {
  const salt = random.bytes(SALT_BYTES);
  const iv = random.bytes(IV_BYTES);
  const derived = await deriveScrypt(passphrase, { n: cost, r: SCRYPT_R, p: 1, salt });
  const cipher = createCipheriv(CIPHER, derived.subarray(0, 16), iv);
  const ciphertext = Buffer.concat([cipher.update(privateKey), cipher.final()]);
  const keystore = {
    version: VERSION,
    id: uuid(random.bytes(16)),
    address: walletOfKey(privateKey).slice(2),
    crypto: {
      cipher: CIPHER,
      cipherparams: { iv: hex(iv) },
      ciphertext: hex(ciphertext),
      kdf: "scrypt",
      kdfparams: { dklen: DERIVED_BYTES, n: cost, p: 1, r: SCRYPT_R, salt: hex(salt) },
      mac: hex(macOf(derived, ciphertext)),
    },
  };
  return `${JSON.stringify(keystore, null, 2)}\n`;
}

/** The private key: 32 bytes. Throws `key_invalid` for a malformed keystore, `key_locked` for a wrong passphrase. */
export async function decryptKey(text: string, passphrase: string): Promise<Uint8Array> {
  const keystore = parseKeystore(text);
  const derived = await keystore.derive(passphrase);
  if (!timingSafeEqual(macOf(derived, keystore.ciphertext), keystore.mac)) {
    throw new SynclineError("key_locked", "The passphrase does not decrypt the key.", {
      hint: "Check the passphrase, or the file that holds it: key.pass beside key.json, or the one of --passphrase-file.",
    });
  }
  const decipher = createDecipheriv(CIPHER, derived.subarray(0, 16), keystore.iv);
  const digits = hex(Buffer.concat([decipher.update(keystore.ciphertext), decipher.final()]));
  // Some old programs omitted a key's leading zeros.
  const key = new Uint8Array(Buffer.from(digits.padStart(2 * PRIVATE_KEY_BYTES, "0"), "hex"));
  const wallet = walletOfKey(key);
  if (keystore.address !== undefined && keystore.address !== wallet) {
    throw malformed("its address does not match its key");
  }
  return key;
}

/** The wallet that the keystore names, without decrypting it; undefined if it names none. Throws `key_invalid`. */
export function walletOfKeystore(text: string): Wallet | undefined {
  return parseKeystore(text).address;
}

const VERSION = 3;
const CIPHER = "aes-128-ctr";
const SCRYPT_R = 8;
const SALT_BYTES = 32;
const IV_BYTES = 16;
const DERIVED_BYTES = 32;
const MAC_BYTES = 32;
const PRIVATE_KEY_BYTES = 32;
/** scrypt requires n < 2^(16·r) (RFC 7914, section 6). This bounds memory, whatever a key file says: 128·n·r bytes. */
const MAX_SCRYPT_BYTES = 2 ** 30;
const MAX_SCRYPT_P = 16;
const MAX_PBKDF2_ROUNDS = 10_000_000;

interface Keystore {
  readonly address: Wallet | undefined;
  readonly iv: Buffer;
  readonly ciphertext: Buffer;
  readonly mac: Buffer;
  derive(passphrase: string): Promise<Buffer>;
}

function parseKeystore(text: string): Keystore {
  const root = asObject(parseJson(text));
  if (root["version"] !== VERSION) throw malformed(`its version is not ${VERSION}`);
  const sealed = asObject(root["crypto"] ?? root["Crypto"]);
  if (sealed["cipher"] !== CIPHER) throw malformed(`its cipher is not ${CIPHER}`);
  const { address } = root;
  return {
    address: typeof address === "string" && address !== "" ? asWallet(address) : undefined,
    iv: asHex(asObject(sealed["cipherparams"])["iv"], IV_BYTES),
    ciphertext: asHex(sealed["ciphertext"]),
    mac: asHex(sealed["mac"], MAC_BYTES),
    derive: derivation(sealed["kdf"], asObject(sealed["kdfparams"])),
  };
}

function derivation(kdf: unknown, params: Record<string, unknown>): (passphrase: string) => Promise<Buffer> {
  const salt = asHex(params["salt"]);
  if (params["dklen"] !== DERIVED_BYTES) throw malformed("its derived key is not 32 bytes long");
  if (kdf === "scrypt") {
    const [n, r, p] = [asNatural(params["n"]), asNatural(params["r"]), asNatural(params["p"])];
    const bits = Math.log2(n);
    const sound = Number.isInteger(bits) && n > 1 && bits < 16 * r;
    const bounded = sound && 128 * n * r <= MAX_SCRYPT_BYTES && p <= MAX_SCRYPT_P;
    if (!bounded) throw malformed("its scrypt parameters are out of bounds");
    return (passphrase) => deriveScrypt(passphrase, { n, r, p, salt });
  }
  if (kdf === "pbkdf2" && params["prf"] === "hmac-sha256") {
    const rounds = asNatural(params["c"]);
    if (rounds > MAX_PBKDF2_ROUNDS) throw malformed("its pbkdf2 parameters are out of bounds");
    return (passphrase) => promisify(pbkdf2)(passphrase, salt, rounds, DERIVED_BYTES, "sha256");
  }
  throw malformed("its key derivation is neither scrypt nor pbkdf2 with hmac-sha256");
}

async function deriveScrypt(
  passphrase: string,
  { n, r, p, salt }: { n: number; r: number; p: number; salt: Uint8Array },
): Promise<Buffer> {
  // OpenSSL counts some working memory beyond the 128·n·r bytes of the algorithm itself.
  const options = { N: n, r, p, maxmem: 128 * r * (n + p + 2) + 2 ** 20 };
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salt, DERIVED_BYTES, options, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}

function macOf(derived: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return keccak_256(Buffer.concat([derived.subarray(16, 32), ciphertext]));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw malformed("it is not JSON", cause);
  }
}

function asObject(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw malformed("a part is missing or malformed");
  return value as Record<string, unknown>;
}

function asNatural(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1)
    throw malformed("a number is missing or invalid");
  return value;
}

function asHex(value: unknown, length?: number): Buffer {
  const sound = typeof value === "string" && /^(0x)?([0-9a-fA-F]{2})+$/.test(value);
  const bytes = Buffer.from(sound ? value.replace(/^0x/, "") : "", "hex");
  if (bytes.length === 0 || (length !== undefined && bytes.length !== length))
    throw malformed("a value is not hex, or has the wrong length");
  return bytes;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function asWallet(address: string): Wallet {
  try {
    return parseWallet(address.startsWith("0x") ? address : `0x${address}`);
  } catch (cause) {
    throw malformed("its address is not a wallet address", cause);
  }
}

/** Version 4 of RFC 9562 from 16 random bytes. */
function uuid(random: Uint8Array): string {
  const bytes = Buffer.from(random);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return hex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function malformed(why: string, cause?: unknown): SynclineError {
  return new SynclineError("key_invalid", `This is not a version 3 Ethereum keystore: ${why}.`, { cause });
}
