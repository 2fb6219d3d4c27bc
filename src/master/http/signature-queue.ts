/**
 * Queues signature checks: each takes milliseconds of the only serving thread, and anyone can request them. A connection
 * whose last bearer was valid skips the queue; the others take turns, for a limited share of the time, and beyond a bound are
 * told to come back.
 */
import { BoundedMap } from "../../base/bounded-map.ts";
import type { Clock } from "../../base/clock.ts";
import { networkOf } from "../../http/peer-network.ts";
import { BUSY_RETRY_S, DOUBTS_REST, PACED_ADDRESSES, SUSPICION_MS } from "../limits.ts";
import { Refusal } from "./refusal.ts";
import { WaitingChecks } from "./waiting-checks.ts";

/** A caller that presents a bearer. */
export interface Peer {
  /** One object per connection. */
  readonly connection: object;
  readonly address: string | undefined;
  /** Aborted once the caller no longer waits. */
  readonly signal: AbortSignal;
}

export class SignatureQueue {
  readonly #clock: Clock;
  readonly #trusted = new WeakSet<object>();
  /** When an address last sent an invalid signature. */
  readonly #failedMs = new BoundedMap<string, number>(PACED_ADDRESSES);
  /** Networks without a recent failure go first; the others follow. */
  readonly #waiting = new WaitingChecks();
  #restsUntilMs = -Infinity;
  #waits = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `verify` when it is this peer's turn. Rejects with the signal's reason, `busy`, and what `verify` throws. */
  async resolve<Result>(peer: Peer, verify: () => Result): Promise<Result> {
    return this.#trusted.has(peer.connection) ? this.#verify(peer, verify) : this.inTurn(peer, verify);
  }

  /** As `resolve`, also for connections that skip the queue. */
  async inTurn<Result>(peer: Peer, verify: () => Result): Promise<Result> {
    const { connection, address, signal } = peer;
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const run = () => {
      try {
        resolve(this.#verify(peer, verify));
      } catch (error) {
        reject(error);
      }
    };
    const check = { network: networkOf(address), connection, run, refuse: () => reject(busy()) };
    const leave = () => {
      this.#waiting.delete(check);
      reject(signal.reason);
    };
    signal.addEventListener("abort", leave, { once: true });
    this.#waiting.add(check);
    this.#work();
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  /** The connection has presented a valid bearer. */
  trust({ connection }: Peer): void {
    this.#trusted.add(connection);
  }

  #verify<Result>({ connection, address, signal }: Peer, verify: () => Result): Result {
    signal.throwIfAborted();
    try {
      return verify();
    } catch (error) {
      this.#trusted.delete(connection);
      this.#failedMs.set(networkOf(address), this.#clock.monotonicMs());
      throw error;
    }
  }

  /** Verifies queued signatures, with a pause after each. */
  #work(): void {
    while (!this.#waits) {
      const fromMs = this.#clock.monotonicMs();
      if (fromMs < this.#restsUntilMs) return this.#workLater(this.#restsUntilMs - fromMs);
      const next = this.#waiting.take((network) => this.#isSuspected(network, fromMs));
      if (next === undefined) return;
      next.run();
      const untilMs = this.#clock.monotonicMs();
      this.#restsUntilMs = untilMs + (untilMs - fromMs) * DOUBTS_REST;
    }
  }

  #workLater(ms: number): void {
    this.#waits = true;
    this.#clock.after(ms, () => {
      this.#waits = false;
      this.#work();
    });
  }

  #isSuspected(network: string, nowMs: number): boolean {
    return nowMs - (this.#failedMs.get(network) ?? -Infinity) < SUSPICION_MS;
  }
}

function busy(): Refusal {
  const message = "Too many callers with new tokens wait to be identified. Try again after a moment.";
  return new Refusal("busy", message, { headers: { "retry-after": String(BUSY_RETRY_S) } });
}
