/** The server's view of the app password file: reread when it changes, so that a revoked password stops working at once. */
import { readFileSync, statSync } from "node:fs";
import { type AppPassword, decodePasswords } from "./app-passwords.ts";

export class PasswordFile {
  readonly #path: string;
  #seen = "";
  #byName: ReadonlyMap<string, AppPassword> = new Map();

  constructor(path: string) {
    this.#path = path;
  }

  /** Throws `config_invalid` and the disk's errors; a missing file has no passwords. */
  find(name: string): AppPassword | undefined {
    return this.#current().get(name);
  }

  /** Whether any password was made for Digest. */
  get hasDigest(): boolean {
    return [...this.#current().values()].some(({ digest }) => digest !== undefined);
  }

  #current(): ReadonlyMap<string, AppPassword> {
    const stat = statSync(this.#path, { bigint: true, throwIfNoEntry: false });
    const seen = stat === undefined ? "" : `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;
    if (seen === this.#seen) return this.#byName;
    const passwords = stat === undefined ? [] : decodePasswords(readFileSync(this.#path), this.#path);
    this.#byName = new Map(passwords.map((password) => [password.name, password]));
    this.#seen = seen;
    return this.#byName;
  }
}
