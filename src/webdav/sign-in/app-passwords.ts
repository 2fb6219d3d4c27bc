/**
 * Passwords for programs ("app passwords"): random, each with its own user name to sign in with, so that each can be
 * revoked alone. Stored as scrypt hashes. For Digest, which Windows requires over plain http, also as HA1, which is
 * equivalent to the password for this realm.
 */
import { createHash, scrypt, timingSafeEqual } from "node:crypto";
import { SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";

/** Shown by browsers, and part of each HA1. */
export const REALM = "Syncline";

export interface AppPassword {
  readonly name: string;
  /** RFC 3339. */
  readonly made: string;
  readonly hash: PasswordHash;
  readonly digest: DigestSecrets | undefined;
}

/** scrypt (RFC 7914), salt and result in base64. */
export interface PasswordHash {
  readonly n: number;
  readonly r: number;
  readonly p: number;
  readonly salt: string;
  readonly key: string;
}

/** HA1 of RFC 7616, section 3.4.2, in hexadecimal digits. */
export interface DigestSecrets {
  readonly md5: string;
  readonly sha256: string;
}

/**
 * OWASP's password storage cheat sheet gives N = 2^14, r = 8, p = 5 among settings of equal strength: this one takes the
 * least memory, 16 MiB. The passwords are random besides, 123 bits.
 */
const COST = { n: 2 ** 14, r: 8, p: 5 } as const;
/** The most that a file may ask for: 128·n·r bytes (RFC 7914, section 2), p times over. */
const MAX_SCRYPT_BYTES = 2 ** 28;
const MAX_SCRYPT_P = 16;
const KEY_BYTES = 32;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
/** Without easily confused characters: 0 o, 1 l i. */
const LETTERS = "abcdefghjkmnpqrstuvwxyz23456789";
const GROUPS = 5;
const GROUP_LETTERS = 5;

/** "k7wq4-…": 25 letters of 31, 123 bits. */
export function randomPassword(random: Random): string {
  const letters: string[] = [];
  while (letters.length < GROUPS * GROUP_LETTERS) {
    for (const byte of random.bytes(32)) {
      // The last bytes would favor some letters.
      if (byte < 8 * LETTERS.length && letters.length < GROUPS * GROUP_LETTERS)
        letters.push(LETTERS[byte % LETTERS.length] ?? "");
    }
  }
  return letters.join("").replace(/.{5}(?=.)/g, "$&-");
}

/** Throws `usage` for an invalid name. */
export async function makeAppPassword(
  name: string,
  password: string,
  made: string,
  withDigest: boolean,
  random: Random,
  cost: Omit<PasswordHash, "salt" | "key"> = COST,
): Promise<AppPassword> {
  if (!NAME.test(name)) {
    throw new SynclineError("usage", `${JSON.stringify(name)} is not a valid password name.`, {
      hint: "Use up to 64 letters, digits, dots, hyphens, underscores and @.",
    });
  }
  const salt = Buffer.from(random.bytes(16)).toString("base64");
  const key = (await derive(password, { ...cost, salt })).toString("base64");
  return { name, made, hash: { ...cost, salt, key }, digest: withDigest ? digestSecrets(name, password) : undefined };
}

/** Takes a quarter of a second, on a thread of Node.js' pool. */
export async function isPassword(password: string, hash: PasswordHash): Promise<boolean> {
  const expected = Buffer.from(hash.key, "base64");
  const derived = await derive(password, hash);
  return expected.length === derived.length && timingSafeEqual(expected, derived);
}

/** A hash that no password matches: comparing with it takes as long as with any other. */
export const NOBODY: PasswordHash = { ...COST, salt: "", key: Buffer.alloc(KEY_BYTES).toString("base64") };

export function encodePasswords(passwords: readonly AppPassword[]): Buffer {
  return Buffer.from(`${JSON.stringify({ version: 1, passwords }, undefined, 2)}\n`);
}

/** Throws `config_invalid`. */
export function decodePasswords(bytes: Uint8Array, path: string): AppPassword[] {
  try {
    const { version, passwords } = JSON.parse(Buffer.from(bytes).toString("utf8")) as {
      version?: unknown;
      passwords?: readonly AppPassword[];
    };
    if (version === 1 && Array.isArray(passwords) && passwords.every(isComplete)) return passwords;
  } catch {
    // Invalid JSON: reported below.
  }
  throw new SynclineError("config_invalid", `${path} is not a list of app passwords.`, {
    hint: "Move it away and create new ones: syncline webdav password",
  });
}

function isComplete({ name, made, hash, digest }: AppPassword): boolean {
  const texts = [name, made, hash.salt, hash.key, ...(digest === undefined ? [] : [digest.md5, digest.sha256])];
  const areCounts = [hash.n, hash.r, hash.p].every((cost) => Number.isInteger(cost) && cost > 0);
  const isBounded = scryptBytes(hash) <= MAX_SCRYPT_BYTES && hash.p <= MAX_SCRYPT_P;
  return areCounts && isBounded && texts.every((text) => typeof text === "string");
}

function digestSecrets(name: string, password: string): DigestSecrets {
  const ha1 = (algorithm: string) => createHash(algorithm).update(`${name}:${REALM}:${password}`).digest("hex");
  return { md5: ha1("md5"), sha256: ha1("sha256") };
}

function scryptBytes({ n, r }: Pick<PasswordHash, "n" | "r">): number {
  return 128 * n * r;
}

function derive(password: string, { n, r, p, salt }: Omit<PasswordHash, "key">): Promise<Buffer> {
  const options = { N: n, r, p, maxmem: 2 * scryptBytes({ n, r }) };
  return new Promise((resolve, reject) => {
    scrypt(password, Buffer.from(salt, "base64"), KEY_BYTES, options, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}
