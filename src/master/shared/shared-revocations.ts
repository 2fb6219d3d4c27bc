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
  /** When each token expires, in seconds since 1970, by digest. */
  #expiries = new Map<string, number>();
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
    return this.#expiries.has(digest);
  }

  async add(digest: string, exp: number): Promise<void> {
    // Effective at once here, even if the arbiter does not answer.
    this.#expiries.set(digest, exp);
    await this.#revoked.add(digest, exp);
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#timer?.[Symbol.dispose]();
  }

  async #read(): Promise<void> {
    const all = await this.#revoked.all();
    const nowSeconds = Number(this.#clock.nowNs() / 1_000_000_000n);
    // Revocations that did not reach the arbiter are known only here.
    const kept = [...this.#expiries].filter(([, exp]) => exp > nowSeconds);
    this.#expiries = new Map([...kept, ...all.map(({ digest, exp }) => [digest, exp] as const)]);
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
