/** What a client says its bytes hash to: OC-Checksum, as those of ownCloud and rclone (`vendor = owncloud`) send it. */
import { createHash } from "node:crypto";
import { Refusal } from "./refusal.ts";

export class Checksums {
  readonly #expected: readonly { readonly hash: ReturnType<typeof createHash>; readonly digest: string }[];

  /** `header`: "SHA1:…", or several of them, in hexadecimal digits. Kinds that are not known here prove nothing. */
  constructor(header: string | readonly string[] | undefined) {
    const words = typeof header === "string" ? header.trim().split(/\s+/) : [];
    this.#expected = words.flatMap((word) => {
      const [, kind = "", digest = ""] = /^([A-Z0-9]+):([0-9a-f]+)$/i.exec(word) ?? [];
      const algorithm = ALGORITHMS.get(kind.toUpperCase());
      return algorithm === undefined ? [] : [{ hash: createHash(algorithm), digest: digest.toLowerCase() }];
    });
  }

  add(bytes: Uint8Array): void {
    for (const { hash } of this.#expected) hash.update(bytes);
  }

  /** Throws a Refusal, 400, when other bytes came than were sent. */
  check(): void {
    if (this.#expected.every(({ hash, digest }) => hash.digest("hex") === digest)) return;
    throw new Refusal(400, "The bytes that came do not have the checksum that was sent with them.");
  }
}

const ALGORITHMS = new Map([
  ["MD5", "md5"],
  ["SHA1", "sha1"],
  ["SHA256", "sha256"],
]);
