/**
 * Queues signature checks: each takes milliseconds of the only serving thread, and anyone can request them. A connection
 * whose last bearer was valid skips the queue; the others take turns, for a limited share of the time.
 */
import { BoundedMap } from "../../base/bounded-map.ts";
import type { Clock } from "../../base/clock.ts";
import { networkOf } from "../../http/peer-network.ts";
import { DOUBTS_REST, PACED_ADDRESSES, SUSPICION_MS } from "../limits.ts";

/** A caller that presents a bearer. */
export interface Peer {
  /** One object per connection. */
  readonly connection: object;
  readonly address: string | undefined;
  /** Aborted once the caller no longer waits. */
  readonly signal: AbortSignal;
}

/** Pending verifications by connection, next in line first. */
type Line = Map<object, (() => void)[]>;

export class SignatureQueue {
  readonly #clock: Clock;
  readonly #trusted = new WeakSet<object>();
  /** When an address last sent an invalid signature. */
  readonly #failedMs = new BoundedMap<string, number>(PACED_ADDRESSES);
  /** Addresses without a recent failure go first; the others follow. */
  readonly #unsuspected: Line = new Map();
  readonly #suspected: Line = new Map();
  #restsUntilMs = -Infinity;
  #waits = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `verify` when it is this peer's turn. Rejects with the signal's reason, and with what `verify` throws. */
  async resolve<Result>(peer: Peer, verify: () => Result): Promise<Result> {
    return this.#trusted.has(peer.connection) ? this.#verify(peer, verify) : this.inTurn(peer, verify);
  }

  /** As `resolve`, also for connections that skip the queue. */
  inTurn<Result>(peer: Peer, verify: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#join(peer, () => {
        try {
          resolve(this.#verify(peer, verify));
        } catch (error) {
          reject(error);
        }
      });
    });
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

  #join({ connection, address }: Peer, work: () => void): void {
    const failedMs = this.#failedMs.get(networkOf(address)) ?? -Infinity;
    const isSuspected = this.#clock.monotonicMs() - failedMs < SUSPICION_MS;
    const line = isSuspected ? this.#suspected : this.#unsuspected;
    const own = line.get(connection);
    if (own === undefined) line.set(connection, [work]);
    else own.push(work);
    this.#work();
  }

  /** Verifies queued signatures, with a pause after each. */
  #work(): void {
    while (!this.#waits) {
      const fromMs = this.#clock.monotonicMs();
      if (fromMs < this.#restsUntilMs) return this.#workLater(this.#restsUntilMs - fromMs);
      const next = this.#next();
      if (next === undefined) return;
      next();
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

  #next(): (() => void) | undefined {
    const line = this.#unsuspected.size > 0 ? this.#unsuspected : this.#suspected;
    const [first] = line;
    if (first === undefined) return undefined;
    const [connection, own] = first;
    line.delete(connection);
    const next = own.shift();
    if (own.length > 0) line.set(connection, own);
    return next;
  }
}
