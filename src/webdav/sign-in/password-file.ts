/** The file of app passwords as a server sees it: read again when it changed, so that one that was taken back ends at once. */
import { readFileSync, statSync } from "node:fs";
import type { AppPassword } from "./app-passwords.ts";
import { decodePasswords } from "./app-passwords.ts";

export class PasswordFile {
  readonly #path: string;
  #seen = "";
  #byName: ReadonlyMap<string, AppPassword> = new Map();

  constructor(path: string) {
    this.#path = path;
  }

  /** Throws `config_invalid` and what the disk says; a file that is gone has no passwords. */
  find(name: string): AppPassword | undefined {
    return this.#current().get(name);
  }

  /** Whether any of them was made for Digest. */
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
