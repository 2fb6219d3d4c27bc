/** Revoked tokens of all masters, kept in memory and read from the arbiter every few seconds. */
import { REVOKED_KEPT_S, type RevokedTokens } from "../../arbiter/arbiter.ts";
import type { Clock } from "../../base/clock.ts";
import { LastingTrouble } from "../../base/lasting-trouble.ts";
import type { Log } from "../../base/log.ts";
import type { RevocationList } from "../storage.ts";

const LOOK_MS = 5_000;
/** How many lost revocations one reading enters again. */
const MOST_ENTERED = 1_000;

export class SharedRevocations implements RevocationList, Disposable {
  onRevoked: (digest: string) => void = () => {};
  readonly #revoked: RevokedTokens;
  readonly #clock: Clock;
  readonly #trouble: LastingTrouble;
  /** When each token expires, in seconds since 1970, by digest. */
  readonly #expiries = new Map<string, number>();
  /** Those that the arbiter is not known to have. */
  readonly #unrecorded = new Set<string>();
  #timer: Disposable | undefined;
  #ended = false;

  private constructor(revoked: RevokedTokens, clock: Clock, log: Log) {
    this.#revoked = revoked;
    this.#clock = clock;
    this.#trouble = new LastingTrouble("cannot read revoked tokens", clock, log);
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

  isUnrecorded(digest: string): boolean {
    return this.#unrecorded.has(digest);
  }

  async add(digest: string, exp: number): Promise<void> {
    // Effective at once here, even if the arbiter does not answer.
    if (!this.#expiries.has(digest)) this.#unrecorded.add(digest);
    this.#learn(digest, exp);
    await this.#revoked.add(digest, exp);
    this.#unrecorded.delete(digest);
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#timer?.[Symbol.dispose]();
  }

  async #read(): Promise<void> {
    const all = await this.#revoked.all();
    const beforeS = Number(this.#clock.nowNs() / 1_000_000_000n) - REVOKED_KEPT_S;
    for (const [digest, exp] of this.#expiries) if (exp <= beforeS) this.#forget(digest);
    for (const { digest, exp } of all) {
      this.#unrecorded.delete(digest);
      if (!this.#expiries.has(digest)) this.#learn(digest, exp);
    }
    await this.#enter(this.#lacking(new Set(all.map(({ digest }) => digest))));
  }

  /** Valid tokens whose revocation the arbiter never got, or lost when a backup was restored. */
  #lacking(recorded: ReadonlySet<string>): string[] {
    const nowS = Number(this.#clock.nowNs() / 1_000_000_000n);
    return [...this.#expiries]
      .filter(([digest, exp]) => exp > nowS && !recorded.has(digest))
      .map(([digest]) => digest)
      .slice(0, MOST_ENTERED);
  }

  async #enter(digests: readonly string[]): Promise<void> {
    for (const digest of digests) {
      const exp = this.#expiries.get(digest);
      if (this.#ended) return;
      if (exp !== undefined) await this.add(digest, exp);
    }
  }

  #learn(digest: string, exp: number): void {
    this.#expiries.set(digest, exp);
    this.onRevoked(digest);
  }

  #forget(digest: string): void {
    this.#expiries.delete(digest);
    this.#unrecorded.delete(digest);
  }

  #lookLater(): void {
    if (this.#ended) return;
    this.#timer = this.#clock.after(LOOK_MS, () => {
      void this.#trouble.watch(() => this.#read()).then(() => this.#lookLater());
    });
  }
}
