/** Revoked tokens, by digest: durable before a revocation is answered, forgotten long after the token has expired. */
import type Database from "better-sqlite3";
import { REVOKED_KEPT_S } from "../../arbiter/arbiter.ts";
import { SynclineError } from "../../base/errors.ts";
import type { RevocationList } from "../storage.ts";
import { type Databases, systemDatabases } from "../../objects/databases.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS revoked (
    digest TEXT PRIMARY KEY,
    exp    INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS revoked_by_exp ON revoked (exp)`;

export class Revocations implements RevocationList, Disposable {
  onRevoked: (digest: string) => void = () => {};
  readonly #db: Database.Database;
  readonly #digests: Set<string>;
  readonly #unrecorded = new Set<string>();

  /** Forgets tokens that expired long before `nowSeconds`. Throws `store_failed`. */
  constructor(path: string, nowSeconds: number, databases: Databases = systemDatabases) {
    try {
      this.#db = databases.open(path);
      this.#db.pragma("journal_mode = WAL");
      this.#db.pragma("synchronous = FULL");
      this.#db.exec(SCHEMA);
      this.#forget(nowSeconds);
      const rows = this.#db.prepare<[], { digest: string }>("SELECT digest FROM revoked").all();
      this.#digests = new Set(rows.map(({ digest }) => digest));
    } catch (cause) {
      throw failed(path, cause);
    }
  }

  has(digest: string): boolean {
    return this.#digests.has(digest);
  }

  isUnrecorded(digest: string): boolean {
    return this.#unrecorded.has(digest);
  }

  /** Resolves when it survives power loss. Throws `store_failed`. */
  async add(digest: string, exp: number, nowSeconds: number): Promise<void> {
    // Effective at once, even if the write fails.
    this.#digests.add(digest);
    this.onRevoked(digest);
    try {
      this.#db.prepare("INSERT OR IGNORE INTO revoked (digest, exp) VALUES (?, ?)").run(digest, exp);
      this.#unrecorded.delete(digest);
      for (const expired of this.#forget(nowSeconds)) this.#digests.delete(expired);
    } catch (cause) {
      this.#unrecorded.add(digest);
      throw failed(this.#db.name, cause);
    }
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }

  #forget(nowSeconds: number): string[] {
    const gone = this.#db.prepare<[number], { digest: string }>("DELETE FROM revoked WHERE exp <= ? RETURNING digest");
    return gone.all(nowSeconds - REVOKED_KEPT_S).map(({ digest }) => digest);
  }
}

/** All revoked tokens in a table, which no master may use meanwhile. Throws `store_failed`. */
export function revokedIn(path: string, databases: Databases): { digest: string; exp: number }[] {
  if (!databases.exists(path)) return [];
  try {
    const db = databases.open(path, { readonly: true });
    try {
      return db.prepare<[], { digest: string; exp: number }>("SELECT digest, exp FROM revoked").all();
    } finally {
      db.close();
    }
  } catch (cause) {
    throw failed(path, cause);
  }
}

function failed(path: string, cause: unknown): SynclineError {
  return new SynclineError("store_failed", `Cannot use the table of revoked tokens, ${path}: ${String(cause)}`, {
    hint: "Check the disk and its free space. Deleting the file makes revoked tokens valid again until they expire.",
    cause,
  });
}
