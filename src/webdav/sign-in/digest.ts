/**
 * Digest authentication (RFC 7616): SHA-256, and MD5 for Windows, whose WebDAV client sends no Basic over plain http and
 * knows no other digest. It keeps passwords off the wire, but neither hides nor protects bodies.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { BoundedMap } from "../../base/bounded-map.ts";
import type { Clock } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";
import { REALM, type DigestSecrets } from "./app-passwords.ts";

/** A nonce's lifetime. A client then gets another one and is not asked for the password again. */
const NONCE_MS = 5 * 60_000;
const MAX_NONCES = 4_096;
/** How many requests of one nonce may arrive out of order. */
const WINDOW = 64;

export type DigestVerdict = "yes" | "no" | "stale";

export class Digests {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #key: Uint8Array;
  /** The user of a nonce, and its request counts: the highest, and the ones before it as bits. */
  readonly #counts = new BoundedMap<string, { name: string; highest: number; seen: bigint }>(MAX_NONCES);

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
    this.#key = random.bytes(32);
  }

  /** Values of WWW-Authenticate, the better one first. */
  challenges(isStale: boolean): string[] {
    const nonce = this.#nonce();
    const stale = isStale ? ", stale=true" : "";
    return ["SHA-256", "MD5"].map(
      (algorithm) => `Digest realm="${REALM}", qop="auth", algorithm=${algorithm}, nonce="${nonce}"${stale}`,
    );
  }

  /** Whether the Authorization header's fields are right for this request. `secretsOf` returns a name's stored secrets. */
  verify(
    fields: ReadonlyMap<string, string>,
    request: { readonly method: string; readonly url: string },
    secretsOf: (name: string) => DigestSecrets | undefined,
  ): DigestVerdict {
    const field = (name: string) => fields.get(name) ?? "";
    const hashName = HASHES.get(field("algorithm").toUpperCase());
    if (hashName === undefined || field("realm") !== REALM || field("qop") !== "auth") return "no";
    if (field("uri") !== request.url || !/^[0-9a-f]{8}$/i.test(field("nc"))) return "no";
    const hash = (text: string) => createHash(hashName).update(text).digest("hex");
    const ha1 = secretsOf(field("username"))?.[hashName] ?? hash("nobody");
    const ha2 = hash(`${request.method}:${field("uri")}`);
    const expected = hash([ha1, field("nonce"), field("nc"), field("cnonce"), "auth", ha2].join(":"));
    const given = field("response").toLowerCase();
    const isRight =
      /^[0-9a-f]+$/.test(given) &&
      given.length === expected.length &&
      timingSafeEqual(Buffer.from(given), Buffer.from(expected));
    if (!isRight || secretsOf(field("username")) === undefined) return "no";
    const count = Number.parseInt(field("nc"), 16);
    return this.#isFresh(field("nonce"), field("username"), count) ? "yes" : "stale";
  }

  /** Whether the nonce is recent, and was used with the right password of this name. */
  wasRight(fields: ReadonlyMap<string, string>): boolean {
    const nonce = fields.get("nonce") ?? "";
    const used = this.#counts.get(nonce);
    return used !== undefined && used.name === fields.get("username") && this.#isYoung(nonce);
  }

  /** Its time and random bytes, signed: unused nonces take no memory. */
  #nonce(): string {
    const head = Buffer.alloc(16);
    head.writeDoubleBE(this.#clock.monotonicMs());
    head.set(this.#random.bytes(8), 8);
    return Buffer.concat([head, this.#seal(head)]).toString("base64url");
  }

  #seal(head: Uint8Array): Buffer {
    return createHmac("sha256", this.#key).update(head).digest().subarray(0, 16);
  }

  /** Whether the nonce is ours and recent, and the count is new: a repeated one is a replay. */
  #isFresh(nonce: string, name: string, count: number): boolean {
    if (!this.#isYoung(nonce)) return false;
    const { highest, seen } = this.#counts.get(nonce) ?? { highest: 0, seen: 0n };
    const behind = highest - count;
    if (behind >= WINDOW || (behind >= 0 && ((seen >> BigInt(behind)) & 1n) === 1n)) return false;
    const isAhead = behind < 0;
    const shifted = isAhead ? ((seen << BigInt(Math.min(-behind, WINDOW))) | 1n) & MASK : seen | (1n << BigInt(behind));
    this.#counts.set(nonce, { name, highest: Math.max(highest, count), seen: shifted });
    return true;
  }

  #isYoung(nonce: string): boolean {
    const bytes = Buffer.from(nonce, "base64url");
    if (bytes.length !== 32 || !timingSafeEqual(this.#seal(bytes.subarray(0, 16)), bytes.subarray(16))) return false;
    return this.#clock.monotonicMs() - bytes.readDoubleBE(0) <= NONCE_MS;
  }
}

const MASK = (1n << BigInt(WINDOW)) - 1n;
const HASHES = new Map<string, "md5" | "sha256">([
  ["", "md5"],
  ["MD5", "md5"],
  ["SHA-256", "sha256"],
]);

/**
 * The fields of `Digest a=b, c="d"`, names in lower case. Undefined for anything else. One pass over the input, since
 * anyone may send it.
 */
export function digestFields(authorization: string): ReadonlyMap<string, string> | undefined {
  const list = /^digest +(.*)$/is.exec(authorization)?.[1];
  if (list === undefined) return undefined;
  const fields = new Map<string, string>();
  for (const [, name = "", quoted, plain] of list.matchAll(
    /(?<![a-z*])([a-z*]+) *= *(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/gi,
  )) {
    fields.set(name.toLowerCase(), quoted === undefined ? (plain ?? "") : quoted.replace(/\\(.)/g, "$1"));
  }
  return fields;
}
