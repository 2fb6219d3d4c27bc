/** An arbiter in a SQLite file that can be put back to an earlier copy of it, as by a snapshot of its disk. */
import { copyFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { SqliteArbiter } from "../../src/arbiter/sqlite-arbiter.ts";
import type { Clock } from "../../src/base/clock.ts";
import { temporaryFolder } from "./temporary-folder.ts";

export class RestorableArbiter {
  /** Goes on after a restore. Closing it does nothing. */
  readonly arbiter: SqliteArbiter;
  readonly #path: string;
  readonly #clock: Clock;
  #now: SqliteArbiter;

  static async create(clock: Clock): Promise<RestorableArbiter> {
    return new RestorableArbiter(join(await temporaryFolder(), "arbiter.db"), clock);
  }

  private constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
    this.#now = new SqliteArbiter(path, clock);
    const { roots, packs, revoked } = this.#now;
    const parts: Record<string | symbol, unknown> = {
      roots: forwarding(() => this.#now.roots, roots),
      packs: forwarding(() => this.#now.packs, packs),
      revoked: forwarding(() => this.#now.revoked, revoked),
      [Symbol.asyncDispose]: async () => {},
    };
    this.arbiter = forwarding(() => this.#now, this.#now, parts);
  }

  /** Keeps a copy of all that it holds now. Returns its path. */
  async keepCopy(): Promise<string> {
    await this.#now[Symbol.asyncDispose]();
    await copyFile(this.#path, `${this.#path}.copy`);
    this.#now = new SqliteArbiter(this.#path, this.#clock);
    return `${this.#path}.copy`;
  }

  /** Puts the copy in its place. */
  async restore(): Promise<void> {
    await this.#now[Symbol.asyncDispose]();
    for (const part of ["-wal", "-shm"]) await rm(`${this.#path}${part}`, { force: true });
    await copyFile(`${this.#path}.copy`, this.#path);
    this.#now = new SqliteArbiter(this.#path, this.#clock);
  }
}

function forwarding<Port extends object>(
  now: () => Port,
  first: Port,
  parts: Record<string | symbol, unknown> = {},
): Port {
  return new Proxy(first, {
    get(_, name) {
      if (name in parts) return parts[name];
      const value: unknown = Reflect.get(now(), name);
      if (typeof value !== "function") return value;
      return (...call: unknown[]) => (Reflect.get(now(), name) as (...call: unknown[]) => unknown).apply(now(), call);
    },
    set(_, name, value) {
      parts[name] = value;
      return true;
    },
  });
}
