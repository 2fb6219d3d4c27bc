/** The checksum that a client sends with its bytes: OC-Checksum, as in ownCloud and rclone (`vendor = owncloud`). */
import { createHash } from "node:crypto";
import { BoundedMap } from "../../base/bounded-map.ts";
import { KNOWN_CHECKSUMS } from "../limits.ts";
import { Refusal } from "../refusal.ts";

export class Checksums {
  readonly #expected: readonly { readonly kind: string; readonly digest: string }[];
  readonly #hashes: ReadonlyMap<string, ReturnType<typeof createHash>>;
  #text: string | undefined;

  /** `header`: "SHA1:…", or several of them, in hexadecimal digits. Unknown algorithms prove nothing. */
  constructor(header: string | readonly string[] | undefined) {
    const words = typeof header === "string" ? header.trim().split(/\s+/) : [];
    this.#expected = words.flatMap((word) => {
      const [, kind = "", digest = ""] = /^([A-Z0-9]+):([0-9a-f]+)$/i.exec(word) ?? [];
      return ALGORITHMS.has(kind.toUpperCase()) ? [{ kind: kind.toUpperCase(), digest: digest.toLowerCase() }] : [];
    });
    // rclone sends SHA-1, and compares MD5 if a server may have both.
    const kinds = this.#expected.length === 0 ? [] : [...OFFERED, ...this.#expected.map(({ kind }) => kind)];
    this.#hashes = new Map(kinds.map((kind) => [kind, createHash(ALGORITHMS.get(kind) ?? "")]));
  }

  add(bytes: Uint8Array): void {
    for (const hash of this.#hashes.values()) hash.update(bytes);
  }

  /** For later queries, after `check`; undefined: the client sent none. */
  get text(): string | undefined {
    return this.#text;
  }

  /** Call this once all bytes have arrived. Throws a Refusal, 400, if they do not match. */
  check(): void {
    if (this.#expected.length === 0) return;
    const digests = new Map([...this.#hashes].map(([kind, hash]) => [kind, hash.digest("hex")]));
    if (!this.#expected.every(({ kind, digest }) => digests.get(kind) === digest))
      throw new Refusal(400, "The received bytes do not match the checksum sent with them.");
    this.#text = [...digests].map(([kind, digest]) => `${kind}:${digest}`).join(" ");
  }
}

export interface KnownChecksum {
  readonly etag: string;
  /** "SHA1:… MD5:…". */
  readonly text: string;
}

/** Stores them across restarts. */
export interface ChecksumStore {
  /** The last ones added, oldest first. */
  load(): readonly KnownChecksum[];
  add(known: KnownChecksum): void;
}

/**
 * Verified checksums that came with their bytes, by entity tag: equal bytes have one tag, and other bytes never have it. No
 * file is read to compute one.
 */
export class KnownChecksums {
  readonly #byTag = new BoundedMap<string, string>(KNOWN_CHECKSUMS);
  readonly #store: ChecksumStore | undefined;

  constructor(store?: ChecksumStore) {
    this.#store = store;
    for (const { etag, text } of store?.load() ?? []) this.#byTag.set(etag, text);
  }

  of(etag: string): string | undefined {
    return this.#byTag.get(etag);
  }

  remember(etag: string, { text }: Checksums): void {
    if (text === undefined || this.#byTag.get(etag) === text) return;
    this.#byTag.set(etag, text);
    this.#store?.add({ etag, text });
  }
}

const OFFERED = ["SHA1", "MD5"];
const ALGORITHMS = new Map([
  ["MD5", "md5"],
  ["SHA1", "sha1"],
  ["SHA256", "sha256"],
]);
