/** Revoked tokens of all masters, kept in memory and read from the arbiter every few seconds. */
import type { RevokedTokens } from "../../arbiter/arbiter.ts";
import type { Clock } from "../../base/clock.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { RevocationList } from "../storage.ts";

const LOOK_MS = 5_000;

export class SharedRevocations implements RevocationList, Disposable {
  readonly #revoked: RevokedTokens;
  readonly #clock: Clock;
  readonly #log: Log;
  #digests = new Set<string>();
  #timer: Disposable | undefined;
  #ended = false;

  private constructor(revoked: RevokedTokens, clock: Clock, log: Log) {
    this.#revoked = revoked;
    this.#clock = clock;
    this.#log = log;
  }

  /** Throws `arbiter_unreachable`. */
  static async open(revoked: RevokedTokens, clock: Clock, log: Log): Promise<SharedRevocations> {
    const list = new SharedRevocations(revoked, clock, log);
    await list.#read();
    list.#lookLater();
    return list;
  }

  has(digest: string): boolean {
    return this.#digests.has(digest);
  }

  async add(digest: string, exp: number): Promise<void> {
    // Effective at once here, even if the arbiter does not answer.
    this.#digests.add(digest);
    await this.#revoked.add(digest, exp);
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#timer?.[Symbol.dispose]();
  }

  async #read(): Promise<void> {
    const added = this.#digests;
    const all = await this.#revoked.all();
    this.#digests = new Set([...all.map(({ digest }) => digest), ...added]);
  }

  #lookLater(): void {
    if (this.#ended) return;
    this.#timer = this.#clock.after(LOOK_MS, () => {
      void this.#read()
        .catch((error: unknown) => this.#log.warn("cannot read revoked tokens", { error: describeError(error) }))
        .then(() => this.#lookLater());
    });
  }
}
